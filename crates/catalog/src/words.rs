//! The operator's own words in place of the backend's.

use isthmus_config::Override;
use isthmus_protocol::RawJson;
use isthmus_protocol::object::{self, ObjectEdit};

/// `definition` with the members that `words` sets; everything else keeps its bytes.
pub(crate) fn reworded(definition: &RawJson, words: &Override) -> RawJson {
    let Override {
        title,
        description,
        annotations,
    } = words;
    let mut edit = ObjectEdit::new(definition);
    for (key, text) in [("title", title), ("description", description)] {
        if let Some(text) = text {
            edit = edit.set(key, RawJson::from_serialize(text));
        }
    }
    let definition = edit.finish();
    let Some(annotations) = annotations else {
        return definition;
    };
    object::edit_member(&definition, "annotations", |edit| {
        annotations.iter().fold(edit, |edit, (key, value)| {
            edit.set(key.clone(), RawJson::from_serialize(value))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_operator_set_is_replaced() {
        let check = |words: Override, before: &str, after: &str| {
            let before = RawJson::parse(before.to_owned()).unwrap();
            assert_eq!(reworded(&before, &words).as_str(), after);
        };
        let annotations = serde_json::json!({"readOnlyHint": true});
        let words = Override {
            description: Some("Mine".to_owned()),
            annotations: annotations.as_object().cloned(),
            ..Override::default()
        };
        check(
            words.clone(),
            r#"{"name":"a","annotations":{"openWorldHint":1.0},"description":"theirs","x": 1e400}"#,
            r#"{"name":"a","annotations":{"openWorldHint":1.0,"readOnlyHint":true},"description":"Mine","x": 1e400}"#,
        );
        check(
            words,
            r#"{"name":"a"}"#,
            r#"{"name":"a","description":"Mine","annotations":{"readOnlyHint":true}}"#,
        );
        let title = Override {
            title: Some("T".to_owned()),
            ..Override::default()
        };
        check(title, r#"{"name":"a"}"#, r#"{"name":"a","title":"T"}"#);
    }
}
