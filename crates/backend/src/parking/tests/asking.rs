//! What a client is asked, and when.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_question_ends_the_request_and_gives_its_place_back() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    assert_eq!(fixture.admission.in_use(), 1);
    let _answer = peer.elicit().await;
    let asked = asked(reply.outcome().await);
    assert_eq!(
        asked.requests,
        [("q1".to_owned(), "elicitation/create".to_owned())]
    );
    assert_eq!(asked.round(), 1);
    assert_eq!(fixture.admission.in_use(), 0);
    assert!(!peer.is_cancelled().await);
}

#[tokio::test(start_paused = true)]
async fn questions_that_come_together_are_asked_together() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    let reply = tokio::spawn(reply.outcome());
    let begun = Instant::now();
    let _one = peer.elicit().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _two = peer.ask(Method::RootsList, json!({})).await;
    let asked = asked(reply.await.unwrap());
    assert_eq!(asked.keys(), ["q1", "q2"]);
    assert_eq!(begun.elapsed(), Duration::from_millis(45));
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_wait_for_ever_for_a_backend_that_goes_on_asking() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    let reply = tokio::spawn(reply.outcome());
    let begun = Instant::now();
    let mut answers = Vec::new();
    while !reply.is_finished() {
        answers.push(peer.elicit().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    asked(reply.await.unwrap());
    assert!(begun.elapsed() <= Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_at_once_after_all_is_not_parked() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    drop(peer.elicit().await);
    peer.finish("done").await;
    assert_eq!(text(reply.outcome().await), "done");
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_question_taken_back_at_once_is_never_asked() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    drop(peer.elicit().await);
    let reply = tokio::spawn(reply.outcome());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!reply.is_finished());
    peer.finish("done").await;
    assert_eq!(text(reply.await.unwrap()), "done");
}

#[tokio::test(start_paused = true)]
async fn what_the_client_did_not_declare_ends_the_call_and_is_never_asked() {
    let fixture = Fixture::new();
    let caller = client_that_can("anna", r#"{"elicitation":{}}"#);
    let (peer, reply) = fixture.call(&caller).await;
    let answer = peer.ask(Method::RootsList, json!({})).await;
    let ErrorKind::MissingCapability(missing) = kind(reply.outcome().await) else {
        panic!("another error")
    };
    assert_eq!(missing.as_str(), r#"{"roots":{}}"#);
    assert_eq!(answer.await.unwrap().unwrap_err().code, -32601);
    assert!(peer.is_cancelled().await);
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn rounds_follow_each_other_and_no_key_comes_twice() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, mut asked_now, mut answer) = fixture.parked(&anna).await;
    for round in 1..20_u32 {
        let key = format!("q{round}");
        assert_eq!(
            (asked_now.round(), asked_now.keys()),
            (round, vec![key.as_str()])
        );
        let retrying = fixture.resuming(&anna, &asked_now, &json!({key: yes()}));
        assert!(answer.await.unwrap().is_ok());
        answer = peer.elicit().await;
        asked_now = asked(retrying.await.unwrap());
    }
    let retrying = fixture.resuming(&anna, &asked_now, &json!({"q20": yes()}));
    answer.await.unwrap().unwrap();
    peer.finish("done").await;
    assert_eq!(text(retrying.await.unwrap()), "done");
    fixture.assert_all_calls_have_ended();
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_while_the_client_is_away_comes_in_the_round_after() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let _later = peer.ask(Method::RootsList, json!({})).await;
    settle().await;
    let next = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    let next = asked(next.unwrap().outcome().await);
    assert!(answer.await.unwrap().is_ok());
    assert_eq!((next.round(), next.keys()), (2, vec!["q2"]));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_asks_for_ever_is_told_that_nobody_answers() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, mut asked_now, mut answer) = fixture.parked(&anna).await;
    for round in 1..crate::asking::MOST_IN_ALL {
        let responses = json!({format!("q{round}"): yes()});
        let retrying = fixture.resuming(&anna, &asked_now, &responses);
        answer.await.unwrap().unwrap();
        answer = peer.elicit().await;
        asked_now = asked(retrying.await.unwrap());
    }
    let last = json!({format!("q{}", crate::asking::MOST_IN_ALL): yes()});
    let retrying = fixture.resuming(&anna, &asked_now, &last);
    answer.await.unwrap().unwrap();
    assert!(peer.elicit().await.await.is_err());
    peer.finish("gave up").await;
    assert_eq!(text(retrying.await.unwrap()), "gave up");
}

#[tokio::test(start_paused = true)]
async fn of_too_many_questions_at_once_the_last_are_not_asked() {
    let fixture = Fixture::new();
    let (peer, reply) = fixture.call(&client("anna")).await;
    let reply = tokio::spawn(reply.outcome());
    let mut answers = Vec::new();
    for _ in 0..=crate::asking::MOST_AT_ONCE {
        answers.push(peer.elicit().await);
    }
    assert_eq!(
        asked(reply.await.unwrap()).requests.len(),
        crate::asking::MOST_AT_ONCE
    );
    assert!(answers.pop().unwrap().await.is_err());
}
