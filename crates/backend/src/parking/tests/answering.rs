//! What answers do, and those that do nothing.

use isthmus_exchange::{LogRecord, Progress};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_backend_gets_the_very_answer_and_the_client_the_result() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, asked, answer) = fixture.parked(&anna).await;
    let reply = fixture
        .resume(&anna, &asked, &json!({"q1": yes()}))
        .await
        .unwrap();
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.as_str(), r#"{"action":"accept","content":{"x":1}}"#);
    assert_eq!(fixture.admission.in_use(), 1);
    peer.finish("done").await;
    assert_eq!(text(reply.outcome().await), "done");
    fixture.assert_all_calls_have_ended();
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_answers_is_kept_and_only_the_rest_is_asked_again() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, reply) = fixture.call(&anna).await;
    let mut one = peer.elicit().await;
    let two = peer.ask(Method::RootsList, json!({})).await;
    let first = asked(reply.outcome().await);
    let again = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    let again = asked(again.unwrap().outcome().await);
    assert_eq!((again.round(), again.keys()), (2, vec!["q2"]));
    settle().await;
    assert!(one.try_recv().is_err(), "the backend is not touched");
    let rest = json!({"q2": {"roots": []}});
    let reply = fixture.resume(&anna, &again, &rest).await.unwrap();
    assert!(one.await.unwrap().is_ok() && two.await.unwrap().is_ok());
    peer.finish("done").await;
    assert_eq!(text(reply.outcome().await), "done");
}

#[tokio::test(start_paused = true)]
async fn a_retry_without_answers_is_asked_the_same_again() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (_peer, first, _answer) = fixture.parked(&anna).await;
    for nothing in [
        json!(null),
        json!({}),
        json!({"other": 1, "q01": yes(), "q2": yes()}),
    ] {
        let again = fixture.resume(&anna, &first, &nothing).await.unwrap();
        assert_eq!(asked(again.outcome().await), first, "{nothing}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_is_refused_whole_and_never_reaches_the_backend() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, reply) = fixture.call(&anna).await;
    let mut one = peer.elicit().await;
    let _two = peer.elicit().await;
    let first = asked(reply.outcome().await);
    for unsound in [
        json!([]),
        json!({"q1": yes(), "q2": 7}),
        json!({"q1": yes(), "q2": {}}),
        json!({"q1": yes(), "q2": {"action": "maybe"}}),
    ] {
        let refused = fixture.resume(&anna, &first, &unsound).await;
        assert_eq!(kind(refused), ErrorKind::InvalidParams, "{unsound}");
    }
    let again = fixture.resume(&anna, &first, &json!({})).await.unwrap();
    assert_eq!(asked(again.outcome().await), first, "nothing was kept");
    assert!(one.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_old_round_is_asked_the_new_one_and_answers_nothing() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let retrying = fixture.resuming(&anna, &first, &json!({"q1": yes()}));
    answer.await.unwrap().unwrap();
    let mut second_answer = peer.elicit().await;
    let second = asked(retrying.await.unwrap());
    let stale = json!({"q1": yes(), "q2": yes()});
    let again = fixture.resume(&anna, &first, &stale).await.unwrap();
    assert_eq!(asked(again.outcome().await), second);
    assert!(second_answer.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn two_retries_at_a_time_get_the_same_and_the_backend_one_answer() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let one = fixture.resuming(&anna, &first, &json!({"q1": yes()}));
    let two = fixture.resuming(&anna, &first, &json!({"q1": {"action": "decline"}}));
    let given = answer.await.unwrap().unwrap();
    assert!(given.as_str().contains("accept"));
    settle().await;
    assert_eq!(fixture.admission.in_use(), 1);
    peer.finish("done").await;
    assert_eq!(text(one.await.unwrap()), "done");
    assert_eq!(text(two.await.unwrap()), "done");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_comes_twice_gets_the_same_outcome_for_a_while() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, _answer) = fixture.parked(&anna).await;
    let reply = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    peer.finish("done").await;
    assert_eq!(text(reply.outcome().await), "done");
    fixture.assert_all_calls_have_ended();
    for responses in [json!({"q1": yes()}), json!(null), json!([])] {
        let again = fixture.resume(&anna, &first, &responses).await.unwrap();
        assert_eq!(text(again.outcome().await), "done");
    }
    tokio::time::sleep(park::GRACE + Duration::from_millis(1)).await;
    let late = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    assert_eq!(kind(late), ErrorKind::Expired);
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn another_principal_learns_no_more_than_of_a_park_that_never_was() {
    let fixture = Fixture::new();
    let (_peer, first, mut answer) = fixture.parked(&client("anna")).await;
    let bert = client("bert");
    let foreign = fixture.resume(&bert, &first, &json!({"q1": yes()})).await;
    let unknown = Asked {
        state: Continuation::Parked {
            park: ParkId(7),
            round: 1,
        },
        requests: Vec::new(),
    };
    let unknown = fixture.resume(&bert, &unknown, &json!({"q1": yes()})).await;
    let (foreign, unknown) = (foreign.unwrap_err(), unknown.unwrap_err());
    assert_eq!(foreign.kind(), unknown.kind());
    assert_eq!(foreign.message(), unknown.message());
    assert_eq!(*foreign.kind(), ErrorKind::Expired);
    assert!(answer.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_anew_what_its_client_can_do() {
    let fixture = Fixture::new();
    let (peer, first, answer) = fixture.parked(&client("anna")).await;
    let poorer = client_that_can("anna", r#"{"roots":{}}"#);
    let refused = fixture.resume(&poorer, &first, &json!({"q1": yes()})).await;
    assert!(matches!(kind(refused), ErrorKind::MissingCapability(_)));
    // The park has stayed. From here on a question is measured by the retry.
    let richer = client_that_can("anna", r#"{"elicitation":{}}"#);
    let reply = fixture
        .resume(&richer, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
    let roots = peer.ask(Method::RootsList, json!({})).await;
    assert!(matches!(
        kind(reply.outcome().await),
        ErrorKind::MissingCapability(_)
    ));
    assert!(roots.await.unwrap().is_err());
    assert!(peer.is_cancelled().await);
    fixture.assert_all_calls_have_ended();
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_anew_what_it_wants_to_hear() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, _answer) = fixture.parked(&anna).await;
    let progress = |at: u32| {
        Event::Progress(Progress {
            params: RawJson::from_serialize(&json!({ "progress": at })),
        })
    };
    let log = |level| {
        Event::Log(LogRecord {
            level,
            params: RawJson::empty_object(),
        })
    };
    peer.event(progress(1)).await;
    peer.event(progress(2)).await;
    peer.event(log(LogLevel::Debug)).await;
    peer.event(log(LogLevel::Error)).await;
    settle().await;
    let mut request = retry(&anna, &first, &json!({"q1": yes()}));
    request.wants = wants(Some(LogLevel::Info));
    let mut reply = fixture.parking.resume(request).await.unwrap();
    let other = fixture.resume(&anna, &first, &json!(null)).await.unwrap();
    peer.event(progress(3)).await;
    peer.finish("done").await;
    let mut heard = Vec::new();
    while let Step::Event(event) = reply.next().await {
        heard.push(match event {
            Event::Progress(progress) => progress.params.as_str().to_owned(),
            Event::Log(record) => record.level.as_str().to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(heard, ["error", r#"{"progress":2}"#, r#"{"progress":3}"#]);
    let mut other = other;
    assert!(
        matches!(other.next().await, Step::Done(Ok(_))),
        "it wanted to hear nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_place_the_call_waits_on_and_keeps_its_answers() {
    let fixture = Fixture::bounded(Bounds::default(), 1);
    let anna = client("anna");
    let (peer, first, mut answer) = fixture.parked(&anna).await;
    let running = fixture.admission.admit(&backend()).await.unwrap();
    let waiting = fixture.resuming(&anna, &first, &json!({"q1": yes()}));
    settle().await;
    let queued = tokio::spawn({
        let admission = fixture.admission.clone();
        async move { admission.admit(&backend()).await.map(drop) }
    });
    settle().await;
    assert!(!waiting.is_finished());
    // The queue has room for one: whoever came second was refused.
    assert!(matches!(
        kind(queued.await.unwrap()),
        ErrorKind::Overloaded { .. }
    ));
    assert!(answer.try_recv().is_err());
    drop(running);
    answer.await.unwrap().unwrap();
    peer.finish("done").await;
    assert_eq!(text(waiting.await.unwrap()), "done");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_refused_a_place_may_come_again_without_its_answers() {
    let fixture = Fixture::bounded(Bounds::default(), 1);
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let running = fixture.admission.admit(&backend()).await.unwrap();
    let queued = tokio::spawn({
        let admission = fixture.admission.clone();
        async move { admission.admit(&backend()).await.map(drop) }
    });
    settle().await;
    let refused = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    assert!(matches!(
        kind(refused.outcome().await),
        ErrorKind::Overloaded { .. }
    ));
    drop(running);
    queued.await.unwrap().unwrap();
    let reply = fixture.resume(&anna, &first, &json!(null)).await.unwrap();
    answer.await.unwrap().unwrap();
    peer.finish("done").await;
    assert_eq!(text(reply.outcome().await), "done");
}
