//! Rounds of a stateless backend for a caller that is asked in place.

use isthmus_exchange::{LogRecord, Progress};
use tokio::time::Instant;

use super::*;

const ANSWER: Duration = Duration::from_secs(10 * 60);

fn caller() -> Caller {
    live(Revision::V2025_11_25, EVERYTHING)
}

fn elicit() -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": "?"}})
}

fn sample() -> Value {
    json!({"method": "sampling/createMessage", "params": {"maxTokens": 1}})
}

fn roots() -> Value {
    json!({"method": "roots/list"})
}

async fn begin(fixture: &mut Fixture, requests: Value, state: Option<&str>) -> Reply {
    let call = fixture.call(tool_call(caller()));
    fixture.next().await.require(requests, state);
    call.await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_is_asked_at_once_and_goes_back_with_the_very_state() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let state = "s\u{e9}\\\"\u{0}";
    let asked = json!({"b": elicit(), "a": roots()});
    let mut reply = begin(&mut fixture, asked, Some(state)).await;
    let first = question(&mut reply).await;
    let second = question(&mut reply).await;
    assert_eq!(first.method, Method::ElicitationCreate);
    assert_eq!(second.method, Method::RootsList);
    second.answer(Ok(raw(&json!({"roots": []}))));
    first.answer(Ok(raw(&json!({"action": "decline"}))));
    let reply = tokio::spawn(reply.outcome());
    let sent = fixture.next().await;
    assert_eq!(
        sent.params(),
        json!({
            "name": "t", "arguments": {"a": 1}, "requestState": state,
            "inputResponses": {"a": {"roots": []}, "b": {"action": "decline"}},
        })
    );
    sent.complete(json!({"x": 1}));
    assert_eq!(result(reply.await.unwrap()), json!({"x": 1}));
}

#[tokio::test(start_paused = true)]
async fn answers_of_one_round_are_not_sent_in_the_next() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let mut reply = begin(&mut fixture, json!({"a": elicit()}), Some("one")).await;
    question(&mut reply)
        .await
        .answer(Ok(raw(&json!({"action": "accept"}))));
    let next = tokio::spawn(async move {
        question(&mut reply)
            .await
            .answer(Ok(raw(&json!({"roots": []}))));
        reply.outcome().await
    });
    fixture.next().await.require(json!({"c": roots()}), None);
    let sent = fixture.next().await;
    let expected =
        json!({"name": "t", "arguments": {"a": 1}, "inputResponses": {"c": {"roots": []}}});
    assert_eq!(sent.params(), expected);
    sent.complete(json!({}));
    result(next.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_elicitation_that_nobody_answers_is_cancelled() {
    for refused in [
        Some(Err(JsonRpcError::new(-32603, "no window"))),
        Some(Ok(raw(&json!({"action": "perhaps"})))),
        None,
    ] {
        let mut fixture = Fixture::new(Revision::V2026_07_28);
        let mut reply = begin(&mut fixture, json!({"a": elicit()}), None).await;
        let question = question(&mut reply).await;
        match refused {
            Some(answer) => question.answer(answer),
            None => drop(question),
        }
        let reply = tokio::spawn(reply.outcome());
        let sent = fixture.next().await;
        assert_eq!(
            sent.params()["inputResponses"],
            json!({"a": {"action": "cancel"}})
        );
        sent.complete(json!({}));
        result(reply.await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn sampling_that_is_refused_ends_the_call_and_takes_the_other_questions_back() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let asked = json!({"a": elicit(), "b": sample()});
    let mut reply = begin(&mut fixture, asked, None).await;
    let mut elicited = question(&mut reply).await;
    let sampled = question(&mut reply).await;
    sampled.answer(Err(JsonRpcError::new(-1, "the user said no")));
    let refused = reply.outcome().await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::CannotAsk(_)));
    assert!(refused.message().contains("the user said no"));
    elicited.withdrawn().await;
    assert!(fixture.sent.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_a_time_and_the_call_waits_for_it() {
    let mut fixture = Fixture::with(Revision::V2026_07_28, |settings| {
        settings.timeouts.call = Duration::from_secs(60);
    });
    let mut reply = begin(&mut fixture, json!({"a": elicit()}), None).await;
    let begun = Instant::now();
    let mut asked = question(&mut reply).await;
    let reply = tokio::spawn(reply.outcome());
    asked.withdrawn().await;
    assert_eq!(begun.elapsed(), ANSWER);
    let sent = fixture.next().await;
    assert_eq!(
        sent.params()["inputResponses"],
        json!({"a": {"action": "cancel"}})
    );
    sent.complete(json!({}));
    result(reply.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_round_without_questions_is_paced() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let reply = begin(&mut fixture, json!(null), Some("s")).await;
    let reply = tokio::spawn(reply.outcome());
    let mut waited = Vec::new();
    for _ in 0..4 {
        let begun = Instant::now();
        let sent = fixture.next().await;
        waited.push(begun.elapsed().as_millis());
        assert_eq!(sent.params()["requestState"], "s");
        assert!(sent.params().get("inputResponses").is_none());
        sent.require(json!({}), Some("s"));
    }
    assert_eq!(waited, [500, 1000, 2000, 4000]);
    fixture.next().await.complete(json!({}));
    result(reply.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_wants_input_for_ever_is_stopped() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let mut reply = begin(&mut fixture, json!({"a": roots()}), None).await;
    let answering = tokio::spawn(async move {
        let mut asked = 0;
        loop {
            match reply.next().await {
                Step::Event(Event::Question(question)) => {
                    asked += 1;
                    question.answer(Ok(raw(&json!({"roots": []}))));
                }
                Step::Event(_) => {}
                Step::Done(outcome) => return (asked, outcome),
            }
        }
    });
    for _ in 0..10 {
        fixture.next().await.require(json!({"a": roots()}), None);
    }
    let (asked, outcome) = answering.await.unwrap();
    assert_eq!(asked, 10);
    assert!(matches!(
        outcome.unwrap_err().kind(),
        ErrorKind::BackendMisbehaved(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_did_not_declare_is_never_asked() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let caller = live(Revision::V2025_11_25, r#"{"elicitation":{}}"#);
    let call = fixture.call(tool_call(caller));
    let asked = json!({"a": elicit(), "b": roots()});
    fixture.next().await.require(asked, None);
    let refused = call.await.unwrap().unwrap().outcome().await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::MissingCapability(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_question_is_the_backends_mistake() {
    for wrong in [
        json!({"a": {"method": "tools/call"}}),
        json!({"a": 7}),
        json!([]),
    ] {
        let mut fixture = Fixture::new(Revision::V2026_07_28);
        let reply = begin(&mut fixture, wrong, None).await;
        let refused = reply.outcome().await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::BackendMisbehaved(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn progress_and_messages_of_every_round_flow_on_and_progress_never_goes_back() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let call = fixture.call(tool_call(caller()));
    let progress = |at: u32| {
        Step::Event(Event::Progress(Progress {
            params: raw(&json!({ "progress": at })),
        }))
    };
    let log = || {
        Step::Event(Event::Log(LogRecord {
            level: LogLevel::Warning,
            params: raw(&json!({"level": "warning"})),
        }))
    };
    let steps = fixture.next().await.begin();
    let mut reply = call.await.unwrap().unwrap();
    steps.send(progress(1)).await.unwrap();
    steps.send(log()).await.unwrap();
    let wants = required(json!({"a": roots()}), None);
    steps.send(Step::Done(Ok(wants))).await.unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        loop {
            heard.push(match reply.next().await {
                Step::Event(Event::Progress(progress)) => progress.params.as_str().to_owned(),
                Step::Event(Event::Log(_)) => "log".to_owned(),
                Step::Event(Event::Question(question)) => {
                    question.answer(Ok(raw(&json!({"roots": []}))));
                    "question".to_owned()
                }
                Step::Event(other) => panic!("{other:?}"),
                Step::Done(_) => return heard,
            });
        }
    });
    let steps = fixture.next().await.begin();
    // The next round begins to count anew.
    steps.send(progress(1)).await.unwrap();
    steps.send(progress(2)).await.unwrap();
    steps.send(log()).await.unwrap();
    steps
        .send(Step::Done(Ok(complete(json!({})))))
        .await
        .unwrap();
    let expected = [
        r#"{"progress":1}"#,
        "log",
        "question",
        r#"{"progress":2}"#,
        "log",
    ];
    assert_eq!(heard.await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_ends_the_round_that_is_going_on() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let mut reply = begin(&mut fixture, json!({"a": roots(), "b": elicit()}), None).await;
    let mut first = question(&mut reply).await;
    let mut second = question(&mut reply).await;
    drop(reply);
    first.withdrawn().await;
    second.withdrawn().await;
    let mut reply = begin(&mut fixture, json!({"a": roots()}), None).await;
    question(&mut reply)
        .await
        .answer(Ok(raw(&json!({"roots": []}))));
    let reading = tokio::spawn(reply.outcome());
    let steps = fixture.next().await.begin();
    reading.abort();
    steps.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_needs_no_input_is_left_alone() {
    let mut fixture = Fixture::new(Revision::V2026_07_28);
    let call = fixture.call(tool_call(caller()));
    fixture.next().await.complete(json!({"x": 1}));
    let reply = call.await.unwrap().unwrap();
    assert!(reply.into_ready().is_ok());
}
