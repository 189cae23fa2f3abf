//! A backend of 2025-11-25 that wants its user to visit a page first.

use crate::traffic::exposed_elicitation_id;
use tokio::time::Instant;

use super::*;

fn visit_first() -> Error {
    let page =
        json!({"mode": "url", "elicitationId": "e1", "url": "https://e.example", "message": "?"});
    let error = JsonRpcError::new(-32042, "log in").with_data(&json!({"elicitations": [page]}));
    Error::answered(BackendName::parse("b").unwrap(), error)
}

async fn told_to_visit(fixture: &mut Fixture) -> InputRequired {
    let call = fixture.call(tool_call(detached(EVERYTHING)));
    fixture.next().await.end(Err(visit_first()));
    inputs(call.await.unwrap().unwrap().outcome().await)
}

#[tokio::test(start_paused = true)]
async fn a_stateless_caller_is_sent_there_and_its_retry_starts_the_call_over() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let required = told_to_visit(&mut fixture).await;
    let requests = required.requests.clone().unwrap();
    assert!(requests.as_str().contains("https://e.example") && !requests.as_str().contains("e1"));
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"u1": {"action": "accept"}}),
    );
    let begun = Instant::now();
    let call = fixture.call(retry);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(fixture.sent.try_recv().is_err());
    let id = exposed_elicitation_id(fixture.backend.name(), "e1");
    let done = PeerNotice::ElicitationComplete { id };
    for opened in fixture.opened.lock().unwrap().iter() {
        let _ = opened.notices.send(done.clone());
    }
    let sent = fixture.next().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(sent.params(), json!({"name": "t", "arguments": {"a": 1}}));
    sent.complete(json!({"x": 1}));
    assert_eq!(
        result(call.await.unwrap().unwrap().outcome().await),
        json!({"x": 1})
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_says_nothing_is_asked_again_after_a_while() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let required = told_to_visit(&mut fixture).await;
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"u1": {"action": "accept"}}),
    );
    let call = fixture.call(retry);
    fixture.next().await.end(Err(visit_first()));
    inputs(call.await.unwrap().unwrap().outcome().await);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_does_not_want_to_ends_the_call() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let required = told_to_visit(&mut fixture).await;
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"u1": {"action": "decline"}}),
    );
    let refused = fixture.call(retry).await.unwrap().unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::CannotAsk(_)));
    assert!(fixture.sent.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_live_caller_gets_the_error_with_ids_of_ours() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    for later in [false, true] {
        let call = fixture.call(tool_call(live(Revision::V2025_11_25, EVERYTHING)));
        let sent = fixture.next().await;
        let error = if later {
            let steps = sent.begin();
            let reply = call.await.unwrap().unwrap();
            steps.send(Step::Done(Err(visit_first()))).await.unwrap();
            reply.outcome().await.unwrap_err()
        } else {
            sent.end(Err(visit_first()));
            call.await.unwrap().unwrap_err()
        };
        let ErrorKind::Answered { error, backend } = error.kind() else {
            panic!("{error:?}")
        };
        let data = error.data.as_ref().unwrap().as_str();
        assert!(data.contains(&exposed_elicitation_id(backend, "e1")) && !data.contains("\"e1\""));
    }
}
