//! What a backend is told of a caller, and who may be asked.

use super::*;

async fn sent_for(fixture: &mut Fixture, request: Request) -> Outgoing {
    let call = fixture.call(request);
    let sent = fixture.next().await;
    let outgoing = sent.outgoing.clone();
    sent.complete(json!({}));
    call.await.unwrap().unwrap();
    outgoing
}

#[tokio::test(start_paused = true)]
async fn a_stateless_backend_is_promised_what_this_caller_can_do() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let cases = [
        (live(Revision::V2025_11_25, EVERYTHING), EVERYTHING),
        (
            live(Revision::V2025_06_18, EVERYTHING),
            r#"{"elicitation":{},"sampling":{},"roots":{}}"#,
        ),
        (
            live(Revision::V2025_03_26, EVERYTHING),
            r#"{"sampling":{},"roots":{}}"#,
        ),
        (live(Revision::V2025_11_25, "{}"), "{}"),
        (detached(EVERYTHING), EVERYTHING),
        (detached(r#"{"tasks":{}}"#), "{}"),
    ];
    for (caller, promised) in cases {
        let outgoing = sent_for(&mut fixture, tool_call(caller)).await;
        let (promised, sent): (Value, Value) = (
            serde_json::from_str(promised).unwrap(),
            outgoing.capabilities.read().unwrap(),
        );
        assert_eq!(sent, promised);
    }
}

#[tokio::test(start_paused = true)]
async fn listing_promises_that_apps_can_be_shown() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let backend = fixture.backend.clone();
    let listing = tokio::spawn(async move { backend.listing().await });
    let sent = fixture.next().await;
    assert_eq!(sent.outgoing.method, Method::ToolsList);
    assert!(crate::capabilities::include_apps(
        &sent.outgoing.capabilities
    ));
    sent.complete(json!({"tools": []}));
    listing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_detached_caller_is_asked_by_three_methods_only_and_in_a_shared_session_nobody_is() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let complete = |caller: Caller| {
        let mut request = tool_call(caller);
        request.method = Method::CompletionComplete;
        request
    };
    let live = || live(Revision::V2025_11_25, EVERYTHING);
    let asker = sent_for(&mut fixture, tool_call(live())).await.asker;
    assert!(asker.is_some_and(|asker| asker.live && asker.scope == ScopeId(1)));
    let asker = sent_for(&mut fixture, complete(live())).await.asker;
    assert!(asker.is_some());
    let asker = sent_for(&mut fixture, tool_call(detached(EVERYTHING)))
        .await
        .asker;
    assert!(asker.is_some_and(|asker| !asker.live));
    let asker = sent_for(&mut fixture, complete(detached(EVERYTHING)))
        .await
        .asker;
    assert!(asker.is_none());
    let mut shared = Fixture::with(Revision::V2025_11_25, |settings| {
        settings.sessions = Some(SessionPolicy::Shared);
    });
    assert!(
        sent_for(&mut shared, tool_call(live()))
            .await
            .asker
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_backend_ended_is_replaced_and_told_the_level_again() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let caller = live(Revision::V2025_11_25, EVERYTHING);
    caller.scope.set_log_level(LogLevel::Warning);
    let mut request = tool_call(caller);
    request.wants.log_level = Some(LogLevel::Warning);
    let call = fixture.call(request);
    let mut methods = Vec::new();
    for round in 0..2 {
        let level = fixture.next().await;
        methods.push(level.outgoing.method.clone());
        level.complete(json!({}));
        let sent = fixture.next().await;
        methods.push(sent.outgoing.method.clone());
        if round == 0 {
            let opened = fixture.opened.lock().unwrap().clone();
            opened.iter().for_each(|open| open.closed.cancel());
            let gone = Error::new(ErrorKind::SessionUnknown, "gone");
            sent.end(Err(gone));
        } else {
            sent.complete(json!({"x": 1}));
        }
    }
    let expected = [Method::LoggingSetLevel, Method::ToolsCall];
    assert_eq!(methods, [expected.clone(), expected].concat());
    assert_eq!(
        result(call.await.unwrap().unwrap().outcome().await),
        json!({"x": 1})
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_been_accepted_is_not_sent_again() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let call = fixture.call(tool_call(live(Revision::V2025_11_25, EVERYTHING)));
    let sent = fixture.next().await;
    let broken = ErrorKind::BackendUnavailable(fixture.backend.name().clone());
    sent.end(Err(Error::new(broken, "broken off")));
    assert!(call.await.unwrap().is_err());
    assert!(fixture.sent.try_recv().is_err());
}
