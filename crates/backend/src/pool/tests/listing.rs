//! Which conversation is listed by.

use super::*;

const ASKED: &str = r#"{"elicitation":{}}"#;
const SHOWS_APPS: &str = r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/ui":{}}}"#;

fn processes() -> (Arc<Pool>, Arc<Opener>) {
    let (_, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let settings = PoolSettings {
        processes: true,
        ..settings(Sharing::PerPrincipal)
    };
    (Pool::new(opener.clone(), settings), opener)
}

fn alive(opener: &Opener) -> usize {
    let opened = lock(&opener.opened);
    let alive = opened.iter().filter(|open| !open.closed.is_cancelled());
    alive.count()
}

#[tokio::test(start_paused = true)]
async fn listing_declares_that_apps_can_be_shown() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let _listing = pool.acquire_listing().await.unwrap();
    let declared = lock(&opener.opened)[0].declared.clone();
    assert!(crate::capabilities::include_apps(&declared));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_apps_does_not_adopt_what_lists_apps() {
    let (pool, _) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let listing = pool.acquire_listing().await.unwrap();
    pool.note_apps(true);
    let plain = pool.acquire(&session(1, "a")).await.unwrap();
    assert!(!Arc::ptr_eq(plain.conversation(), listing.conversation()));
}

#[tokio::test(start_paused = true)]
async fn a_second_process_only_to_list_does_not_stay() {
    let (pool, opener) = processes();
    let listing = pool.acquire_listing().await.unwrap();
    pool.note_apps(false);
    let mut movable = pool.movable();
    let able = who_can(session(1, "a"), ASKED);
    let callers = pool.acquire(&able).await.unwrap();
    movable.changed().await.unwrap();
    let moved = pool.move_listing(&listing).unwrap();
    assert!(Arc::ptr_eq(moved.conversation(), callers.conversation()));
    assert_eq!(alive(&opener), 2, "a listing may still be on its way");
    drop(listing);
    settle().await;
    assert_eq!(alive(&opener), 1);
    assert!(pool.move_listing(&moved).is_none());
    let again = pool.acquire_listing().await.unwrap();
    assert!(Arc::ptr_eq(again.conversation(), callers.conversation()));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_alone_sees_apps_stays() {
    let (pool, opener) = processes();
    let listing = pool.acquire_listing().await.unwrap();
    let able = pool.acquire(&who_can(session(1, "a"), ASKED)).await;
    pool.note_apps(true);
    assert!(pool.move_listing(&listing).is_none());
    let shows = pool
        .acquire(&who_can(session(2, "a"), SHOWS_APPS))
        .await
        .unwrap();
    let moved = pool.move_listing(&listing).unwrap();
    assert!(Arc::ptr_eq(moved.conversation(), shows.conversation()));
    drop((listing, able));
    settle().await;
    assert_eq!(alive(&opener), 2);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_cost_no_process_and_see_no_more_are_left_as_they_are() {
    let (pool, _) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let listing = pool.acquire_listing().await.unwrap();
    pool.note_apps(false);
    let shows_apps = r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":[]}}}"#;
    let _callers = pool
        .acquire(&who_can(session(1, "a"), shows_apps))
        .await
        .unwrap();
    assert!(pool.move_listing(&listing).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_can_do_more_is_listed_by_as_soon_as_it_looks() {
    for by_process in [true, false] {
        let (_, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
        let settings = PoolSettings {
            processes: by_process,
            ..settings(Sharing::PerPrincipal)
        };
        let pool = Pool::new(opener.clone(), settings);
        let listing = pool.acquire_listing().await.unwrap();
        let able = who_can(session(1, "a"), ASKED);
        pool.expect(&able);
        settle().await;
        assert_eq!(
            lock(&opener.opened).len(),
            1,
            "what there is is not known yet"
        );
        pool.note_apps(false);
        pool.expect(&session(2, "a"));
        settle().await;
        assert_eq!(lock(&opener.opened).len(), 1, "it can do no more");
        for _ in 0..3 {
            pool.expect(&able);
            settle().await;
        }
        assert_eq!(lock(&opener.opened).len(), 2);
        let moved = pool.move_listing(&listing).unwrap();
        assert!(
            lock(&opener.opened)[1]
                .declared
                .as_str()
                .contains("elicitation")
        );
        drop(listing);
        settle().await;
        assert_eq!(alive(&opener), 1);
        // One who can do still more, and then one who can do less.
        let abler = r#"{"elicitation":{},"sampling":{}}"#;
        for declared in [abler, ASKED] {
            pool.expect(&who_can(session(3, "b"), declared));
            settle().await;
        }
        assert_eq!(lock(&opener.opened).len(), 3);
        let moved = pool.move_listing(&moved).unwrap();
        assert!(pool.move_listing(&moved).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_one_client_or_one_call_is_not_opened_to_look() {
    for (sharing, processes, opened) in [
        // One more session beside the client's own, in place of the one that only listed.
        (Sharing::PerClient, false, 2),
        (Sharing::PerClient, true, 1),
        (Sharing::PerCall, false, 1),
        (Sharing::Shared, false, 1),
    ] {
        let (_, opener) = fixture(Revision::V2025_11_25, sharing);
        let settings = PoolSettings {
            processes,
            ..settings(sharing)
        };
        let pool = Pool::new(opener.clone(), settings);
        let listing = pool.acquire_listing().await.unwrap();
        pool.note_apps(false);
        pool.expect(&who_can(session(1, "a"), ASKED));
        settle().await;
        assert_eq!(lock(&opener.opened).len(), opened, "{sharing:?}");
        assert_eq!(pool.move_listing(&listing).is_some(), opened == 2);
    }
}
