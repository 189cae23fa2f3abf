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
    assert_eq!(offer(&voices).as_str(), expected);
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
        r#"{"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"completions":{},"logging":{}}}"#,
    );
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
