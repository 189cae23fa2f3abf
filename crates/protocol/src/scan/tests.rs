use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn agrees_with_serde(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok() == check(text).is_ok()
}

#[test]
fn the_grammar_is_that_of_json() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[]",
        "{}",
        "[,]",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1}",
        "{\"a\" : [1 , {} , [ ] ] }",
        "[1}",
        "{]",
        "[{]}",
        "1 2",
        "01",
        "-",
        "-0",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1E-5",
        "1.5e400",
        "+1",
        "tru",
        "true",
        "nul",
        "null ",
        "falsey",
        "\"",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\n\"",
        "\"\n\"",
        "\"\u{7f}\"",
        "\u{feff}1",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{\"a\":1}}",
        "\"1234567\\\"\"",
        "\"1234567\u{1}8\"",
        "nan",
        "Infinity",
    ] {
        assert!(agrees_with_serde(text.as_bytes()), "{text:?}");
    }
    assert!(check(b"\"\xff\"").is_err());
}

#[test]
fn nesting_is_bounded_exactly() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(check(nested(128).as_bytes()).is_ok());
    assert_eq!(check(nested(129).as_bytes()), Err(InvalidJson::TooDeep));
    let objects = "{\"a\":".repeat(129) + "1" + &"}".repeat(129);
    assert_eq!(check(objects.as_bytes()), Err(InvalidJson::TooDeep));
    assert_eq!(
        check("[".repeat(1_000_000).as_bytes()),
        Err(InvalidJson::TooDeep)
    );
}

#[test]
fn brackets_beside_each_other_or_in_strings_are_not_nesting() {
    let wide = format!("[{}1]", "[],{},".repeat(500));
    assert!(check(wide.as_bytes()).is_ok());
    let text = format!("\"{}\"", "[{".repeat(500));
    assert!(check(text.as_bytes()).is_ok());
}

#[test]
fn members_and_elements_are_found_where_they_stand() {
    let text = br#" { "a" : 1 , "\u0062":[2, {"c":3}],"":null } "#;
    let mut members = Members::of(text).unwrap();
    let mut seen = Vec::new();
    while let Some(member) = members.next().unwrap() {
        seen.push((
            member.key().into_owned(),
            String::from_utf8_lossy(&text[member.value]).into_owned(),
        ));
    }
    let expected = [("a", "1"), ("b", "[2, {\"c\":3}]"), ("", "null")];
    assert_eq!(
        seen,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert!(members.into_cursor().end().is_ok());

    let mut elements = Elements::of(b"[1,[2] , 3]").unwrap();
    let mut ranges = Vec::new();
    while let Some(range) = elements.next().unwrap() {
        ranges.push(range);
    }
    assert_eq!(ranges, [1..2, 3..6, 9..10]);
}

#[test]
fn a_key_with_half_a_surrogate_pair_is_no_key_of_ours() {
    let mut members = Members::of(br#"{"name\ud800":1}"#).unwrap();
    assert_ne!(members.next().unwrap().unwrap().key(), "name");
}

proptest! {
    #[test]
    fn any_text_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}:,\"\\\\ue0-9.+ tfn\u{1}\u{e9}a-]{0,40}") {
        prop_assert!(agrees_with_serde(text.as_bytes()), "{text:?}");
    }

    #[test]
    fn known_text_is_skipped_as_it_is_checked(text in "[\\[\\]{}:,\"\\\\ue0-9.+ tfn\u{e9}a-]{0,40}", inner in "\\PC{0,60}") {
        // Other text must end all the same.
        let _ = Cursor::new(text.as_bytes(), 0).skip();
        let inner = serde_json::to_string(&inner).unwrap();
        for value in [format!("{{{inner}:[{inner},{{}} ,-1.5e3,{inner}]}}"), inner, "12".to_owned(), "null".to_owned()] {
            let text = format!(" {value} ,{text}");
            prop_assert_eq!(Cursor::new(text.as_bytes(), 0).skip(), Ok(1..1 + value.len()));
        }
    }

    #[test]
    fn any_bytes_in_a_string_are_judged_as_serde_json_judges_them(inner in prop::collection::vec(any::<u8>(), 0..40)) {
        let text = [b"\"".as_slice(), &inner, b"\""].concat();
        prop_assert!(agrees_with_serde(&text), "{text:?}");
    }
}
