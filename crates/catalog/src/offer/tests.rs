use isthmus_protocol::Revision;

use super::*;

fn facts(capabilities: &str, instructions: Option<&str>) -> PeerFacts {
    PeerFacts {
        revision: Revision::LATEST,
        capabilities: RawJson::parse(capabilities.to_owned()).unwrap(),
        server_info: None,
        instructions: instructions.map(str::to_owned),
    }
}

fn check(said: &[(&str, Option<PeerFacts>, bool)], expected: &str) {
    check_with_pages(said, false, expected);
}

fn check_with_pages(said: &[(&str, Option<PeerFacts>, bool)], has_pages: bool, expected: &str) {
    let named: Vec<_> = said
        .iter()
        .map(|(name, facts, may_come)| (BackendName::parse(name).unwrap(), facts, *may_come))
        .collect();
    let voices: Vec<_> = named
        .iter()
        .map(|(backend, facts, may_come)| Voice {
            backend,
            prefix: backend.as_str(),
            facts: facts.as_ref(),
            may_come: *may_come,
        })
        .collect();
    assert_eq!(
        offer(&voices, has_pages, TaskOffer::default()).as_str(),
        expected
    );
}

#[test]
fn a_capability_is_offered_if_any_backend_has_it() {
    let one = facts(r#"{"tools":{},"logging":{},"x":1}"#, None);
    let other = facts(r#"{"resources":{"subscribe":true},"tools":{}}"#, None);
    check(
        &[("a", Some(one), false), ("b", Some(other), false)],
        r#"{"capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{}}}"#,
    );
    check(&[("a", None, false)], r#"{"capabilities":{}}"#);
}

#[test]
fn a_backend_that_is_still_starting_may_bring_anything() {
    check(
        &[("a", None, true)],
        r#"{"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"completions":{},"logging":{},"extensions":{"io.modelcontextprotocol/ui":{}}}}"#,
    );
}

#[test]
fn apps_are_offered_if_a_backend_says_so_or_a_tool_has_a_page() {
    const WITHOUT_SETTINGS: &str =
        r#"{"capabilities":{"extensions":{"io.modelcontextprotocol/ui":{}}}}"#;
    let silent = || ("a", Some(facts("{}", None)), false);
    check_with_pages(&[silent()], true, WITHOUT_SETTINGS);
    let says = |name, settings: &str| {
        let capabilities = format!(
            r#"{{"extensions":{{"io.modelcontextprotocol/ui":{settings},"dev.example/other":{{}}}}}}"#
        );
        (name, Some(facts(&capabilities, None)), false)
    };
    check(
        &[
            silent(),
            says("b", r#"{"x":1.0}"#),
            says("c", r#"{"x":1.0}"#),
        ],
        r#"{"capabilities":{"extensions":{"io.modelcontextprotocol/ui":{"x":1.0}}}}"#,
    );
    // Two that differ cannot be merged without knowing what they mean.
    check(
        &[says("b", r#"{"x":1}"#), says("c", r#"{"x":2}"#)],
        WITHOUT_SETTINGS,
    );
    check(&[says("b", "true")], WITHOUT_SETTINGS);
}

#[test]
fn one_backends_instructions_stand_as_they_are_and_several_under_headings() {
    let said = |text| Some(facts("{}", Some(text)));
    check(
        &[("a", said(" Do this. "), false)],
        r#"{"capabilities":{},"instructions":" Do this. "}"#,
    );
    check(
        &[
            ("a", said("Do this.\n"), false),
            ("b", said("  "), false),
            ("c", said("Do that."), false),
            ("d", Some(facts("{}", None)), false),
        ],
        r##"{"capabilities":{},"instructions":"# a (names begin with `a__`)\n\nDo this.\n\n# c (names begin with `c__`)\n\nDo that."}"##,
    );
}

#[test]
fn long_instructions_are_cut_between_characters() {
    let long = "ä".repeat(LONGEST_PART);
    let cut = cut(&long, LONGEST_PART);
    assert!(cut.len() <= LONGEST_PART);
    assert!(cut.ends_with("ä…"));
}
