//! Who shares a conversation depends on what it declares.

use super::*;

const ASKED: &str = r#"{"elicitation":{},"roots":{"listChanged":true}}"#;

#[tokio::test(start_paused = true)]
async fn callers_share_a_conversation_only_if_they_can_do_the_same() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let plain = pool.acquire(&session(1, "a")).await.unwrap();
    let able = pool
        .acquire(&who_can(session(2, "a"), ASKED))
        .await
        .unwrap();
    let equal = r#"{"roots":{"listChanged":true},"elicitation":{"form":{}},"experimental":{}}"#;
    let same = pool
        .acquire(&who_can(session(3, "a"), equal))
        .await
        .unwrap();
    assert!(!Arc::ptr_eq(plain.conversation(), able.conversation()));
    assert!(Arc::ptr_eq(same.conversation(), able.conversation()));
    assert_eq!(opened(&opener), 2);
    assert_eq!(lock(&opener.opened)[1].declared.as_str(), ASKED);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_all_share_declares_nothing_and_asks_nobody() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    let able = pool
        .acquire(&who_can(session(1, "a"), ASKED))
        .await
        .unwrap();
    let plain = pool.acquire(&session(2, "b")).await.unwrap();
    assert!(Arc::ptr_eq(able.conversation(), plain.conversation()));
    assert_eq!(lock(&opener.opened)[0].declared.as_str(), "{}");
    assert!(!pool.may_ask());
}

#[tokio::test(start_paused = true)]
async fn a_backend_hears_of_changed_roots_once_before_the_next_call() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = who_can(session(1, "a"), ASKED);
    caller.scope.roots_changed();
    let changes = || {
        lock(&opener.opened)[0]
            .roots_changes
            .load(Ordering::Relaxed)
    };
    pool.acquire(&caller)
        .await
        .unwrap()
        .tell_roots(&caller)
        .await;
    assert_eq!(changes(), 0, "it has not asked for any roots yet");
    caller.scope.roots_changed();
    caller.scope.roots_changed();
    for _ in 0..2 {
        pool.acquire(&caller)
            .await
            .unwrap()
            .tell_roots(&caller)
            .await;
        assert_eq!(changes(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_was_not_promised_to_hear_of_roots_does_not() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = who_can(session(1, "a"), r#"{"roots":{}}"#);
    for _ in 0..2 {
        pool.acquire(&caller)
            .await
            .unwrap()
            .tell_roots(&caller)
            .await;
        caller.scope.roots_changed();
    }
    assert_eq!(
        lock(&opener.opened)[0]
            .roots_changes
            .load(Ordering::Relaxed),
        0
    );
}
