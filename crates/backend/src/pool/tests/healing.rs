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
    assert!(lock(&renewed.watched).last().unwrap().uris.contains("x://a"));
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
