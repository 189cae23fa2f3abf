//! What a new conversation is told that takes the place of a lost one (LC-3).

use isthmus_protocol::{LogLevel, Method};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_new_conversation_declares_the_same_and_knows_level_and_subscriptions() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = who_can(session(1, "a"), r#"{"roots":{}}"#);
    let lease = pool.acquire(&caller).await.unwrap();
    lease.raise_log_level(LogLevel::Warning).await;
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    lease.conversation().closed().cancel();
    settle().await;
    let renewed = lock(&opener.opened)[1].clone();
    assert_eq!(renewed.declared.as_str(), r#"{"roots":{}}"#);
    let requested = lock(&renewed.requested).clone();
    assert_eq!(requested[0].method, Method::LoggingSetLevel);
    assert!(requested[0].params.as_str().contains("warning"));
    assert!(
        lock(&renewed.watched)
            .last()
            .unwrap()
            .uris
            .contains("x://a")
    );
    // The caller goes on with that one.
    let next = pool.acquire(&caller).await.unwrap();
    assert_eq!(opened(&opener), 2);
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_any_more_is_not_opened_again() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.conversation().closed().cancel();
    settle().await;
    assert_eq!(opened(&opener), 1);
    assert_eq!(pool.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_told_again_once_the_new_conversation_watches() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    let mut notices = pool.notices();
    lease.conversation().closed().cancel();
    settle().await;
    assert_eq!(opened(&opener), 2);
    for _ in 0..2 {
        let notice = notices.recv().await.unwrap().notice;
        assert!(matches!(notice, Notice::ResourceUpdated { uri, .. } if uri == "x://a"));
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_told_when_more_was_said_than_could_be_followed() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    let mut notices = pool.notices();
    let conversation = lock(&opener.opened)[0].clone();
    for number in 0..20 {
        let uri = format!("x://{number}");
        let params = RawJson::empty_object();
        let notice = PeerNotice::ResourceUpdated { uri, params };
        conversation.notices.send(notice).unwrap();
    }
    settle().await;
    let mut told = false;
    while let Ok(notice) = notices.try_recv() {
        told |= matches!(notice.notice, Notice::ResourceUpdated { uri, .. } if uri == "x://a");
    }
    assert!(told);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_watched_through_a_conversation_that_ends_with_its_call() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerCall);
    let caller = session(1, "a");
    let lease = pool.acquire(&caller).await.unwrap();
    let refused = lease.subscribe(ScopeId(1), "x://a").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidParams);
    drop(lease);
    settle().await;
    assert_eq!(opened(&opener), 1);
    assert!(pool.existing(&caller).is_none());
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_come_together_are_few_changes() {
    let (pool, opener) = fixture(Revision::V2026_07_28, Sharing::PerPrincipal);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    let uris = ["x://a", "x://b", "x://c", "x://refused", "x://d"];
    let all = uris.map(|uri| lease.subscribe(ScopeId(1), uri));
    let all = futures_util::future::join_all(all).await;
    let honoured: Vec<bool> = all.iter().map(Result::is_ok).collect();
    assert_eq!(honoured, [true, true, true, false, true]);
    let watched = lock(&opener.opened)[0].clone();
    let watched = lock(&watched.watched);
    // The first, all that came meanwhile, and once more for what was not honoured.
    assert_eq!(watched.len(), 3);
    assert_eq!(watched[1].uris.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_is_found_and_nothing_is_opened_to_find_it() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = session(1, "a");
    assert!(pool.existing(&caller).is_none());
    assert_eq!(opened(&opener), 0);
    let lease = pool.acquire(&caller).await.unwrap();
    assert!(pool.existing(&caller).is_some());
    assert!(pool.existing(&session(2, "a")).is_none());
    lease.conversation().closed().cancel();
    assert!(pool.existing(&caller).is_none());
}
