//! Questions for a caller that cannot be asked in place.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stateful_backends_question_parks_the_call_and_the_retry_goes_on_with_it() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let call = fixture.call(tool_call(detached(EVERYTHING)));
    let steps = fixture.next().await.begin();
    let reply = call.await.unwrap().unwrap();
    let answer = ask(&steps, Method::ElicitationCreate).await;
    let required = inputs(reply.outcome().await);
    assert!(matches!(
        required.state,
        Some(Continuation::Parked { round: 1, .. })
    ));
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"q1": {"action": "accept"}}),
    );
    let reply = fixture.parking.resume(retry).await.unwrap();
    assert!(answer.await.unwrap().is_ok());
    steps
        .send(Step::Done(Ok(complete(json!({"x": 1})))))
        .await
        .unwrap();
    assert_eq!(result(reply.outcome().await), json!({"x": 1}));
}

#[tokio::test(start_paused = true)]
async fn a_session_for_one_call_lasts_as_long_as_its_park() {
    let mut fixture = Fixture::with(Revision::V2025_11_25, |settings| {
        settings.sessions = Some(SessionPolicy::PerCall);
    });
    let call = fixture.call(tool_call(detached(EVERYTHING)));
    let steps = fixture.next().await.begin();
    let reply = call.await.unwrap().unwrap();
    let answer = ask(&steps, Method::RootsList).await;
    let required = inputs(reply.outcome().await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let own = fixture.opened(1);
    assert!(!own.closed.is_cancelled());
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"q1": {"roots": []}}),
    );
    let reply = fixture.parking.resume(retry).await.unwrap();
    answer.await.unwrap().unwrap();
    steps
        .send(Step::Done(Ok(complete(json!({})))))
        .await
        .unwrap();
    result(reply.outcome().await);
    own.closed.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn closing_a_backend_gives_parks_their_time_and_then_ends_them() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let call = fixture.call(tool_call(detached(EVERYTHING)));
    let steps = fixture.next().await.begin();
    let reply = call.await.unwrap().unwrap();
    let _answer = ask(&steps, Method::RootsList).await;
    let required = inputs(reply.outcome().await);
    let begun = Instant::now();
    fixture.backend.close().await;
    let drain = Bounds::default().drain;
    assert!(begun.elapsed() >= drain && begun.elapsed() < drain + Duration::from_secs(2));
    assert!(steps.is_closed());
    let retry = retry_of(
        detached(EVERYTHING),
        &required,
        &json!({"q1": {"roots": []}}),
    );
    let late = fixture.parking.resume(retry).await.unwrap_err();
    assert_eq!(*late.kind(), ErrorKind::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_stateless_backends_questions_pass_through_with_its_state() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let call = fixture.call(tool_call(detached(EVERYTHING)));
    let asked = json!({"k": {"method": "roots/list"}});
    fixture.next().await.require(asked.clone(), Some("s"));
    let required = inputs(call.await.unwrap().unwrap().outcome().await);
    assert_eq!(required.requests, Some(raw(&asked)));
    assert_eq!(required.state, Some(Continuation::Opaque("s".to_owned())));
    let responses = json!({"k": {"roots": []}});
    let call = fixture.call(retry_of(detached(EVERYTHING), &required, &responses));
    let sent = fixture.next().await;
    assert_eq!(sent.params()["requestState"], "s");
    assert_eq!(sent.params()["inputResponses"], responses);
    sent.complete(json!({}));
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stateless_backend_cannot_ask_what_was_not_declared() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    for later in [false, true] {
        let call = fixture.call(tool_call(detached(r#"{"elicitation":{}}"#)));
        let sent = fixture.next().await;
        let asked = required(json!({"k": {"method": "roots/list"}}), None);
        let refused = if later {
            let steps = sent.begin();
            let reply = call.await.unwrap().unwrap();
            steps.send(Step::Done(Ok(asked))).await.unwrap();
            reply.outcome().await.unwrap_err()
        } else {
            sent.end(Ok(asked));
            call.await.unwrap().unwrap_err()
        };
        assert!(matches!(refused.kind(), ErrorKind::MissingCapability(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_callers_question_passes_through_and_its_answer_back() {
    let mut fixture = Fixture::new(Revision::V2025_11_25);
    let call = fixture.call(tool_call(live(Revision::V2025_11_25, EVERYTHING)));
    let steps = fixture.next().await.begin();
    let mut reply = call.await.unwrap().unwrap();
    let answer = ask(&steps, Method::SamplingCreateMessage).await;
    question(&mut reply)
        .await
        .answer(Ok(raw(&json!({"role": "assistant"}))));
    let reply = tokio::spawn(reply.outcome());
    assert_eq!(
        answer.await.unwrap().unwrap().as_str(),
        r#"{"role":"assistant"}"#
    );
    steps
        .send(Step::Done(Ok(complete(json!({})))))
        .await
        .unwrap();
    result(reply.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_parked_state_that_comes_to_a_backend_is_none_of_its_own() {
    let fixture = Fixture::new(Revision::V2025_11_25);
    let parked = InputRequired {
        requests: None,
        state: Some(Continuation::Parked {
            park: isthmus_exchange::ParkId(1),
            round: 1,
        }),
    };
    let retry = retry_of(detached(EVERYTHING), &parked, &json!({}));
    let refused = fixture.call(retry).await.unwrap().unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Expired);
}
