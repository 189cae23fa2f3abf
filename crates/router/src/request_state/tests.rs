use isthmus_exchange::Principal;

use super::*;

fn states() -> RequestStates {
    RequestStates::new(Arc::new(SealKeys::generate()), Duration::from_secs(60))
}

fn asked(subject: &str, route: &str, arguments: &str) -> Asked {
    let params = format!(r#"{{"name":"t","arguments":{arguments}}}"#);
    Asked {
        route: route.into(),
        method: Method::ToolsCall,
        params: RawJson::parse(params).unwrap(),
        principal: Principal::authenticated("test", "", subject, "")
            .id()
            .clone(),
    }
}

fn files() -> BackendName {
    BackendName::parse("files").unwrap()
}

fn seal(states: &RequestStates, asked: &Asked, state: Option<Continuation>) -> String {
    let required = InputRequired {
        requests: Some(RawJson::empty_object()),
        state,
    };
    let sealed = states.seal(asked, &files(), "native.t", required).unwrap();
    let Some(Continuation::Opaque(token)) = sealed.state else {
        panic!("not sealed")
    };
    token
}

fn refusal(states: &RequestStates, asked: &Asked, token: &str) -> String {
    let error = states.unseal(asked, token).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidParams);
    error.message().to_owned()
}

#[test]
fn a_state_says_where_the_request_went_and_how_it_goes_on() {
    let states = states();
    let anna = asked("anna", "/mcp", "{}");
    let all = [
        None,
        Some(Continuation::Opaque("inner \u{0}\"é".to_owned())),
        Some(Continuation::Parked {
            park: ParkId(u128::MAX - 7),
            round: 3,
        }),
        Some(Continuation::Restart {
            elicitations: vec!["a".to_owned(), "b".to_owned()],
        }),
    ];
    for state in all {
        let token = seal(&states, &anna, state.clone());
        let resumed = Resumed {
            backend: files(),
            native: "native.t".to_owned(),
            state,
        };
        assert_eq!(states.unseal(&anna, &token).unwrap(), resumed);
    }
}

#[test]
fn whoever_it_was_not_given_to_cannot_tell_why_it_does_not_open() {
    let states = states();
    let anna = asked("anna", "/mcp", "{}");
    let token = seal(
        &states,
        &anna,
        Some(Continuation::Opaque("inner".to_owned())),
    );
    let mut tampered = token.clone().into_bytes();
    tampered[40] ^= 1;
    let refusals = [
        refusal(&states, &asked("bert", "/mcp", "{}"), &token),
        refusal(&states, &asked("bert", "/mcp", "[]"), &token),
        refusal(&states, &anna, &String::from_utf8(tampered).unwrap()),
        refusal(&states, &anna, "made up"),
        refusal(&states, &anna, ""),
        refusal(&states, &anna, &"A".repeat(LONGEST_TOKEN + 1)),
        refusal(&self::states(), &anna, &token),
        refusal(&states, &asked("anna", "/other", "{}"), &token),
    ];
    for refusal in &refusals {
        assert_eq!(refusal, &refusals[0]);
        assert!(refusal.contains("send the request anew"), "{refusal}");
    }
}

#[test]
fn changed_parameters_are_refused_in_words() {
    let states = states();
    let token = seal(&states, &asked("anna", "/mcp", "{}"), None);
    let refused = refusal(&states, &asked("anna", "/mcp", r#"{"a":1}"#), &token);
    assert!(refused.contains("other parameters"), "{refused}");
    let reads = Asked {
        method: Method::PromptsGet,
        ..asked("anna", "/mcp", "{}")
    };
    assert!(refusal(&states, &reads, &token).contains("other parameters"));
}

#[test]
fn a_state_is_good_for_as_long_as_the_park_waits_else_for_an_hour() {
    let states = states();
    let anna = asked("anna", "/mcp", "{}");
    let check = |state: Option<Continuation>, seconds: u64| {
        let token = seal(&states, &anna, state);
        let start = now();
        assert!(states.unseal_at(&anna, &token, start + seconds - 5).is_ok());
        let late = states.unseal_at(&anna, &token, start + seconds + 5);
        let late = late.unwrap_err();
        assert_eq!(*late.kind(), ErrorKind::InvalidParams);
        assert!(late.message().contains("has expired"), "{late}");
    };
    let park = ParkId(1);
    check(Some(Continuation::Parked { park, round: 1 }), 60);
    check(Some(Continuation::Opaque(String::new())), 3600);
    check(None, 3600);
}

#[test]
fn a_backend_that_gives_too_much_or_nothing_at_all_misbehaves() {
    let states = states();
    let anna = asked("anna", "/mcp", "{}");
    let sealed = |requests: Option<RawJson>, state: Option<Continuation>| {
        let required = InputRequired { requests, state };
        states.seal(&anna, &files(), "t", required)
    };
    // Every character of it has to be escaped, and it opens all the same.
    let largest = Continuation::Opaque("\u{1}".repeat(LARGEST_STATE));
    let Some(Continuation::Opaque(token)) = sealed(None, Some(largest.clone())).unwrap().state
    else {
        panic!("not sealed")
    };
    assert_eq!(states.unseal(&anna, &token).unwrap().state, Some(largest));
    let too_much = [
        Continuation::Opaque("x".repeat(LARGEST_STATE + 1)),
        Continuation::Restart {
            elicitations: vec!["x".repeat(LARGEST_STATE); 2],
        },
    ];
    for state in too_much {
        let error = sealed(None, Some(state)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::BackendMisbehaved(files()));
    }
    let error = sealed(None, None).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BackendMisbehaved(files()));
}
