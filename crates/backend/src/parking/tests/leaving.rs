//! What happens when a client or a backend goes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_its_call_runs_cancels_it_and_later_learns_that() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let reply = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
    drop(reply);
    assert!(peer.is_cancelled().await);
    let later = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    let later = later.unwrap_err();
    assert_eq!(*later.kind(), ErrorKind::Expired);
    assert!(later.message().contains("cancelled"), "{later}");
    fixture.assert_all_calls_have_ended();
}

#[tokio::test(start_paused = true)]
async fn as_long_as_one_retry_waits_the_call_goes_on() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    let one = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    let two = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
    drop(one);
    settle().await;
    peer.finish("done").await;
    assert_eq!(text(two.outcome().await), "done");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_it_is_asked_cancels_and_one_that_was_asked_does_not() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, reply) = fixture.call(&anna).await;
    drop(reply);
    assert!(peer.is_cancelled().await);
    let (peer, mut reply) = fixture.call(&anna).await;
    let _answer = peer.elicit().await;
    assert!(matches!(reply.next().await, Step::Done(Ok(_))));
    drop(reply);
    assert!(!peer.is_cancelled().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_within_the_moment_of_gathering_cancels() {
    let fixture = Fixture::new();
    let (peer, mut reply) = fixture.call(&client("anna")).await;
    let _answer = peer.elicit().await;
    assert!(futures_util::poll!(std::pin::pin!(reply.next())).is_pending());
    drop(reply);
    assert!(peer.is_cancelled().await);
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_client_left_before_it_was_looked_at_changes_nothing() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (_peer, first, mut answer) = fixture.parked(&anna).await;
    {
        let responses = json!({"q1": yes()});
        let mut resuming = std::pin::pin!(fixture.resume(&anna, &first, &responses));
        assert!(futures_util::poll!(resuming.as_mut()).is_pending());
    }
    settle().await;
    assert!(answer.try_recv().is_err());
    let again = fixture.resume(&anna, &first, &json!({})).await.unwrap();
    assert_eq!(asked(again.outcome().await), first);
}

#[tokio::test(start_paused = true)]
async fn what_the_backend_takes_back_is_asked_no_more_and_its_answer_ignored() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, reply) = fixture.call(&anna).await;
    let one = peer.elicit().await;
    let two = peer.elicit().await;
    let first = asked(reply.outcome().await);
    drop(one);
    settle().await;
    let again = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    assert_eq!(asked(again.outcome().await).keys(), ["q2"]);
    drop(two);
    settle().await;
    // Nothing is left to ask: whoever comes waits for the outcome.
    let reply = fixture
        .resume(&anna, &first, &json!({"q2": yes()}))
        .await
        .unwrap();
    peer.finish("without you").await;
    assert_eq!(text(reply.outcome().await), "without you");
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_the_client_is_away_is_there_when_it_comes() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, answer) = fixture.parked(&anna).await;
    drop(answer);
    peer.finish("without you").await;
    tokio::time::sleep(LIFETIME / 2).await;
    fixture.assert_all_calls_have_ended();
    for _ in 0..2 {
        let reply = fixture
            .resume(&anna, &first, &json!({"q1": yes()}))
            .await
            .unwrap();
        assert_eq!(text(reply.outcome().await), "without you");
    }
    tokio::time::sleep(park::GRACE * 2).await;
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_leaves_its_error_to_the_client_that_comes_back() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, _answer) = fixture.parked(&anna).await;
    let error = Error::new(ErrorKind::BackendUnavailable(backend()), "it died");
    peer.steps.send(Step::Done(Err(error))).await.unwrap();
    settle().await;
    let told = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    assert_eq!(kind(told), ErrorKind::BackendUnavailable(backend()));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_stays_silent_after_an_answer_runs_out_of_time() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, _answer) = fixture.parked(&anna).await;
    // Time that the user took does not count.
    tokio::time::sleep(PATIENCE * 2).await;
    let begun = Instant::now();
    let reply = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap();
    assert!(matches!(
        kind(reply.outcome().await),
        ErrorKind::TimedOut(Some(_))
    ));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(peer.is_cancelled().await);
    fixture.assert_all_calls_have_ended();
}
