//! The document as JSON Schema.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::Document;

/// The JSON Schema (2020-12) of `gateway.yaml`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.insert("title".to_owned(), "gateway.yaml".into());
    schema.into()
}

/// What may be left out is not written as `null`: takes out what schemars adds for `Option`.
fn without_null(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if members.get("default") == Some(&Value::Null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = members.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
    if choices.len() == 1
        && let Some(Value::Object(only)) = choices.pop()
    {
        members.remove("anyOf");
        for (key, value) in only {
            members.entry(key).or_insert(value);
        }
    }
}
