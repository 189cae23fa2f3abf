//! How many conversations there may be.

use super::*;

fn bounded(
    sharing: Sharing,
    conversations: usize,
    per_principal: usize,
) -> (Arc<Pool>, Arc<Opener>) {
    let (_, opener) = fixture(Revision::V2025_11_25, sharing);
    let settings = PoolSettings {
        conversations,
        per_principal,
        idle: Duration::from_secs(100_000),
        ..settings(sharing)
    };
    (Pool::new(opener.clone(), settings), opener)
}

fn is_overloaded(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Overloaded { .. })
}

#[tokio::test(start_paused = true)]
async fn clients_that_come_and_go_never_have_more_sessions_than_allowed() {
    let (pool, opener) = bounded(Sharing::PerClient, 5, 5);
    for id in 0..200 {
        // None of them ever says that it is gone.
        drop(pool.acquire(&session(id, "a")).await.unwrap());
        assert!(pool.len() <= 5);
    }
    let alive = lock(&opener.opened).clone();
    let alive = alive.iter().filter(|open| !open.closed.is_cancelled());
    assert!(alive.count() <= 5);
}

#[tokio::test(start_paused = true)]
async fn the_longest_unused_session_goes_first_and_one_in_use_does_not_go() {
    let (pool, opener) = bounded(Sharing::PerClient, 3, 3);
    let used = pool.acquire(&session(1, "a")).await.unwrap();
    for id in [2, 3] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(pool.acquire(&session(id, "a")).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(pool.acquire(&session(4, "a")).await.unwrap());
    settle().await;
    let closed: Vec<bool> = lock(&opener.opened)
        .iter()
        .map(|open| open.closed.is_cancelled())
        .collect();
    assert_eq!(closed, [false, true, false, false]);
    drop(used);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_in_use_one_more_is_refused_in_words_and_admitted_later() {
    let (pool, _) = bounded(Sharing::PerCall, 2, 2);
    let caller = session(1, "a");
    let first = pool.acquire(&caller).await.unwrap();
    let second = pool.acquire(&caller).await.unwrap();
    let refused = pool.acquire(&caller).await.unwrap_err();
    assert!(is_overloaded(&refused) && refused.message().contains('2'));
    drop(first);
    pool.acquire(&caller).await.unwrap();
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn one_principal_cannot_take_the_room_of_all() {
    let (pool, _) = bounded(Sharing::PerCall, 10, 2);
    let (anna, bert) = (session(1, "anna"), session(2, "bert"));
    let held = [
        pool.acquire(&anna).await.unwrap(),
        pool.acquire(&anna).await.unwrap(),
    ];
    assert!(is_overloaded(&pool.acquire(&anna).await.unwrap_err()));
    pool.acquire(&bert).await.unwrap();
    drop(held);
    pool.acquire(&anna).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_subscribed_to_is_not_idle() {
    let (pool, _) = bounded(Sharing::PerClient, 2, 2);
    let first = session(1, "a");
    let lease = pool.acquire(&first).await.unwrap();
    lease.subscribe(first.scope.id(), "x://a").await.unwrap();
    drop(lease);
    drop(pool.acquire(&session(2, "a")).await.unwrap());
    drop(pool.acquire(&session(3, "a")).await.unwrap());
    let again = pool.acquire(&first).await.unwrap();
    assert_eq!(again.conversation().facts().revision, Revision::V2025_11_25);
    assert_eq!(again.slot().uris().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_only_caller_left_while_it_opened_is_closed() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerCall);
    let caller = session(1, "a");
    {
        let mut acquiring = std::pin::pin!(pool.acquire(&caller));
        assert!(futures_util::poll!(acquiring.as_mut()).is_pending());
    }
    settle().await;
    assert_eq!(opened(&opener), 1);
    assert!(lock(&opener.opened)[0].closed.is_cancelled());
    assert_eq!(pool.len(), 0);
}
