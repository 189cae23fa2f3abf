use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

#[test]
fn a_member_is_found_by_its_decoded_key_and_the_last_one_counts() {
    let object = raw(r#"{"a":1,"\u0062":{"c":"x\ny"},"a":2}"#);
    assert_eq!(member(&object, "a").unwrap().as_str(), "2");
    assert_eq!(
        member_at(&object, &["b", "c"]).unwrap().as_str(),
        r#""x\ny""#
    );
    assert_eq!(
        string_member(&member(&object, "b").unwrap(), "c").unwrap(),
        "x\ny"
    );
    assert_eq!(string_member(&object, "a"), None);
    assert!(member(&object, "z").is_none());
    assert!(member(&raw("[1]"), "a").is_none());
    assert!(members(&raw("1")).is_err());
    assert_eq!(members(&object).unwrap().len(), 3);
    assert_eq!(elements(&raw("[1, [2]]")).unwrap().len(), 2);
}

#[test]
fn an_edit_leaves_every_other_byte_alone() {
    let check = |source: &str, expected: &str| {
        let edited = ObjectEdit::new(&raw(source))
            .set("s", raw("9"))
            .remove("r")
            .finish();
        assert_eq!(edited.as_str(), expected, "{source}");
    };
    check("{}", r#"{"s":9}"#);
    check("{ }", r#"{"s":9 }"#);
    check("[]", r#"{"s":9}"#);
    check(r#"{ "r":1 }"#, r#"{ "s":9 }"#);
    check(r#"{ "r" : 1 , "a":1.0 }"#, r#"{ "a":1.0,"s":9 }"#);
    check(
        r#"{"a":1 , "r":{"s":1}, "b" : [ 2 ] }"#,
        r#"{"a":1, "b" : [ 2 ],"s":9 }"#,
    );
    check(r#"{"a":1,"r":2}"#, r#"{"a":1,"s":9}"#);
    check(
        r#"{"r":1,"\u0072":2,"s" : "old","b":3}"#,
        r#"{"s" : 9,"b":3}"#,
    );
    check(r#"{"s":1,"x":0,"s":2}"#, r#"{"s":9,"x":0}"#);
    check(r#"{"r":1,"s":1,"r":2}"#, r#"{"s":9}"#);
}

#[test]
fn an_edit_that_changes_nothing_gives_the_same_buffer() {
    let source = raw(r#"{"s":9,"a":[]}"#);
    let edited = ObjectEdit::new(&source)
        .set("s", raw("9"))
        .remove("r")
        .finish();
    assert_eq!(edited.as_bytes().as_ptr(), source.as_bytes().as_ptr());
}

#[test]
fn a_nested_member_is_made_when_needed_and_goes_when_empty() {
    let set = |source: &str| {
        edit_member(&raw(source), "_meta", |meta| meta.set("k", raw("1"))).to_string()
    };
    assert_eq!(set("{}"), r#"{"_meta":{"k":1}}"#);
    assert_eq!(
        set(r#"{"_meta":{"a":0},"b":1}"#),
        r#"{"_meta":{"a":0,"k":1},"b":1}"#
    );
    let remove =
        |source: &str| edit_member(&raw(source), "_meta", |meta| meta.remove("k")).to_string();
    assert_eq!(remove(r#"{"_meta":{"k":0},"b":1}"#), r#"{"b":1}"#);
    assert_eq!(remove(r#"{"_meta":{},"b":1}"#), r#"{"_meta":{},"b":1}"#);
}

#[test]
fn objects_and_arrays_are_assembled_from_parts() {
    assert_eq!(
        assemble([("a\"", raw("1")), ("b", raw("[ ]"))]).as_str(),
        r#"{"a\"":1,"b":[ ]}"#
    );
    assert_eq!(assemble_array(&[raw("1"), raw("{}")]).as_str(), "[1,{}]");
}

fn spaces() -> impl Strategy<Value = String> {
    "[ \n\t]{0,2}"
}

/// Objects with odd spacing, a few keys, and some of them twice.
fn objects() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1.0"),
        Just("\"x\""),
        Just("[{\"k\":2}]"),
        Just("{ }"),
        Just("1e400")
    ];
    let member = (spaces(), "[a-d]", spaces(), spaces(), value, spaces())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}\"{key}\"{b}:{c}{value}{d}"));
    (prop::collection::vec(member, 0..6), spaces())
        .prop_map(|(members, space)| format!("{{{space}{}}}", members.join(",")))
}

proptest! {
    #[test]
    fn editing_equals_editing_the_members_one_by_one(source in objects(), set in "[a-e]", remove in "[a-e]") {
        let source = raw(&source);
        let edited = ObjectEdit::new(&source).set(&*set, raw("[\"new\"]")).remove(&*remove).finish();
        let mut expected = Vec::new();
        let mut is_set = set == remove;
        for (key, value) in members(&source).unwrap() {
            if key == remove || (key == set && is_set) {
                continue;
            }
            let value = if key == set { raw("[\"new\"]") } else { value };
            is_set |= key == set;
            expected.push((key, value));
        }
        if !is_set {
            expected.push((set, raw("[\"new\"]")));
        }
        prop_assert_eq!(members(&edited).unwrap(), expected);
        prop_assert!(edited.read::<serde::de::IgnoredAny>().is_ok());
    }

    #[test]
    fn taking_away_what_was_added_gives_the_same_members(source in objects()) {
        let source = raw(&source);
        let added = ObjectEdit::new(&source).set("z", raw("{}")).finish();
        let back = ObjectEdit::new(&added).remove("z").finish();
        prop_assert_eq!(back, source);
    }

    #[test]
    fn assembled_objects_read_back(entries in prop::collection::btree_map("\\PC{0,6}", "\\PC{0,6}", 0..5)) {
        let object = assemble(entries.iter().map(|(key, value)| (key.as_str(), RawJson::string(value))));
        let read: Value = object.read().unwrap();
        let expected: Value = serde_json::to_value(&entries).unwrap();
        prop_assert_eq!(read, expected);
    }
}
