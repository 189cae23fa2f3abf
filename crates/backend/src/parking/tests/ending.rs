//! Parks end: when nobody comes, when there are too many, when the gateway or the backend stops.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_park_that_nobody_comes_back_to_ends_and_says_so_on_both_sides() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, reply) = fixture.call(&anna).await;
    let elicited = peer.elicit().await;
    let sampled = peer.ask(Method::SamplingCreateMessage, json!({})).await;
    let first = asked(reply.outcome().await);
    tokio::time::sleep(LIFETIME - Duration::from_secs(1)).await;
    assert!(!peer.steps.is_closed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cancel = elicited.await.unwrap().unwrap();
    assert_eq!(cancel.as_str(), r#"{"action":"cancel"}"#);
    assert!(sampled.await.unwrap().is_err());
    assert!(peer.is_cancelled().await);
    let late = fixture
        .resume(&anna, &first, &json!({"q1": yes()}))
        .await
        .unwrap_err();
    assert_eq!(*late.kind(), ErrorKind::Expired);
    assert!(late.message().contains("send the call again"));
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn every_round_has_the_whole_time() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, mut asked_now, _answer) = fixture.parked(&anna).await;
    for round in 1..5 {
        tokio::time::sleep(LIFETIME - Duration::from_secs(1)).await;
        let responses = json!({format!("q{round}"): yes()});
        let retrying = fixture.resuming(&anna, &asked_now, &responses);
        settle().await;
        std::mem::forget(peer.elicit().await);
        asked_now = asked(retrying.await.unwrap());
    }
    assert!(!peer.is_cancelled().await);
}

#[tokio::test(start_paused = true)]
async fn one_principal_may_have_so_many_and_all_together_so_many() {
    let bounds = Bounds {
        parks: 3,
        parks_per_principal: 2,
        ..Bounds::default()
    };
    let fixture = Fixture::bounded(bounds, 512);
    let (anna, bert) = (client("anna"), client("bert"));
    let _parked = [fixture.parked(&anna).await, fixture.parked(&anna).await];
    let refused = |caller: Caller| {
        let fixture = &fixture;
        async move {
            let (peer, reply) = fixture.call(&caller).await;
            let _answer = peer.elicit().await;
            let refused = kind(reply.outcome().await);
            assert!(
                matches!(refused, ErrorKind::Overloaded { .. }),
                "{refused:?}"
            );
            assert!(peer.is_cancelled().await);
        }
    };
    refused(anna.clone()).await;
    let (peer, asked, _answer) = fixture.parked(&bert).await;
    refused(bert.clone()).await;
    // One that has ended makes room, although its outcome is kept.
    let reply = fixture
        .resume(&bert, &asked, &json!({"q1": yes()}))
        .await
        .unwrap();
    peer.finish("done").await;
    text(reply.outcome().await);
    fixture.parked(&bert).await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_park_at_once_and_admits_no_other() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let (away, first, elicited) = fixture.parked(&anna).await;
    let (running, second, _answer) = fixture.parked(&anna).await;
    let reply = fixture
        .resume(&anna, &second, &json!({"q1": yes()}))
        .await
        .unwrap();
    let (settled, third, _answer) = fixture.parked(&anna).await;
    settled.finish("done").await;
    let begun = Instant::now();
    fixture.parking.close().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(kind(reply.outcome().await), ErrorKind::Expired);
    assert!(elicited.await.unwrap().is_ok());
    assert!(away.is_cancelled().await && running.is_cancelled().await);
    for asked in [first, second, third] {
        let late = fixture.resume(&anna, &asked, &json!({"q1": yes()})).await;
        assert_eq!(kind(late), ErrorKind::Expired);
    }
    let (peer, reply) = fixture.call(&anna).await;
    let _answer = peer.elicit().await;
    assert!(matches!(
        kind(reply.outcome().await),
        ErrorKind::BackendUnavailable(_)
    ));
    drop(peer);
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_removed_waits_for_its_parks_and_not_for_ever() {
    let patience = Duration::from_secs(30);
    let fixture = Fixture::new();
    let anna = client("anna");
    let (peer, first, _answer) = fixture.parked(&anna).await;
    let begun = Instant::now();
    let comes_back = async {
        tokio::time::sleep(patience / 2).await;
        let reply = fixture
            .resume(&anna, &first, &json!({"q1": yes()}))
            .await
            .unwrap();
        peer.finish("done").await;
        assert_eq!(text(reply.outcome().await), "done");
    };
    tokio::join!(fixture.parks.end(patience), comes_back);
    assert_eq!(begun.elapsed(), patience / 2);
    let fixture = Fixture::new();
    let (peer, first, _answer) = fixture.parked(&anna).await;
    let begun = Instant::now();
    fixture.parks.end(patience).await;
    assert!(begun.elapsed() < patience + Duration::from_secs(1));
    assert!(peer.is_cancelled().await);
    let late = fixture.resume(&anna, &first, &json!({"q1": yes()})).await;
    assert_eq!(kind(late), ErrorKind::Expired);
    fixture.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_kept_within_a_number_of_bytes() {
    let fixture = Fixture::new();
    let anna = client("anna");
    let large = "x".repeat(table::KEPT_BYTES / 2);
    let mut all = Vec::new();
    for _ in 0..3 {
        let (peer, asked, answer) = fixture.parked(&anna).await;
        drop(answer);
        peer.finish(&large).await;
        settle().await;
        all.push(asked);
    }
    let last = all.pop().unwrap();
    assert_eq!(fixture.parking.0.table.keeping().count().0, 1);
    let kept = fixture.resume(&anna, &last, &json!(null)).await.unwrap();
    assert_eq!(text(kept.outcome().await), large);
    for asked in all {
        let gone = fixture.resume(&anna, &asked, &json!(null)).await;
        assert_eq!(kind(gone), ErrorKind::Expired);
    }
}
