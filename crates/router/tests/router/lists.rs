//! Lists and what a route offers.

use std::time::Duration;

use isthmus_backend::BackendState;
use isthmus_config::{Process, StdioWire, Wire};
use isthmus_exchange::{ErrorKind, Freshness};
use isthmus_protocol::{Method, object};
use tokio::time::Instant;

use crate::scripted::{Scripted, listing};
use crate::{
    PROMPT, RESOURCE, TOOL, ask, complete, list, request, router, session, settle, stateless,
};

#[tokio::test(start_paused = true)]
async fn a_list_makes_no_request_to_a_backend() {
    let files = Scripted::ready("files", &[(TOOL, "read", ""), (RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    for _ in 0..10 {
        assert_eq!(list(&stage, TOOL).await, ["files__read"]);
        assert_eq!(list(&stage, RESOURCE).await, ["x:"]);
        assert!(list(&stage, PROMPT).await.is_empty());
    }
    assert_eq!(files.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_list_waits_until_a_starting_backend_is_there() {
    let files = Scripted::starting("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    let listed = tokio::spawn(async move { list(&stage, TOOL).await });
    settle().await;
    assert!(!listed.is_finished());
    files.come_up();
    assert_eq!(listed.await.unwrap(), ["files__read"]);
}

#[tokio::test(start_paused = true)]
async fn lists_wait_for_a_backend_that_hangs_only_once() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let hangs = Scripted::starting("hangs", &[]);
    let (_router, stage) = router([&files, &hangs]);
    let before = Instant::now();
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_there_costs_only_its_own_items() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let broken = Scripted::ready("broken", &[(TOOL, "x", "")]);
    broken.cannot_list();
    let down = Scripted::starting("down", &[]);
    down.go_down();
    let (router, stage) = router([&broken, &down, &files]);
    let before = Instant::now();
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    assert_eq!(before.elapsed(), Duration::ZERO);
    let status = router.status();
    let failures: Vec<_> = status
        .backends
        .iter()
        .map(|b| b.failure.as_deref())
        .collect();
    assert_eq!(failures, [Some("no list today"), Some("unplugged"), None]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_keeps_what_was_listed_and_is_tried_again() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    files.cannot_list();
    files.announces(TOOL);
    settle().await;
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    files.lists(&[(TOOL, "write", "")]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_stays_away_leaves_the_lists_and_returns_to_them() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    files.go_down();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(list(&stage, TOOL).await.is_empty());
    // It can still be asked for: its own words are better than "unknown tool".
    ask(&stage, Method::ToolsCall, r#"{"name":"files__read"}"#)
        .await
        .unwrap();
    files.come_up();
    settle().await;
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
}

#[tokio::test(start_paused = true)]
async fn a_parked_backend_leaves_the_lists_at_once() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    let reason = "crashes".to_owned();
    files.be(BackendState::Parked { reason });
    settle().await;
    assert!(list(&stage, TOOL).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn listings_are_fetched_again_on_schedule() {
    let process = Process::new("true");
    let mut settings = isthmus_config::Backend::new("files", Wire::Stdio(StdioWire { process }));
    settings.refresh = Duration::from_secs(100);
    let files = Scripted::with_settings(settings, &[(TOOL, "read", "")]);
    files.come_up();
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    files.lists(&[(TOOL, "write", "")]);
    tokio::time::sleep(Duration::from_secs(89)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_time_is_up_is_fetched_again_if_nobody_tells_of_changes() {
    let files = Scripted::ready("files", &[]);
    let timed = |key: &str| {
        let mut listing = listing(&[(TOOL, key, "")]);
        listing.freshness = Freshness {
            ttl: Some(Duration::from_secs(10)),
            public: true,
            watched: false,
        };
        listing
    };
    files.lists_all(timed("read"));
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    files.lists_all(timed("write"));
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
    // One that takes its time is waited for a moment, and not again.
    *files.slow.lock().unwrap() = Duration::from_secs(20);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let before = Instant::now();
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
    assert!(before.elapsed() < Duration::from_millis(1100));
}

#[tokio::test(start_paused = true)]
async fn a_merged_list_is_kept_as_long_as_its_shortest_part_and_public_if_all_are() {
    let timed = |seconds, public| {
        let mut listing = listing(&[]);
        listing.freshness = Freshness {
            ttl: Some(Duration::from_secs(seconds)),
            public,
            watched: true,
        };
        listing
    };
    let (one, other) = (Scripted::ready("one", &[]), Scripted::ready("other", &[]));
    one.lists_all(timed(60, true));
    other.lists_all(timed(20, true));
    let (_router, stage) = router([&one, &other]);
    let hint = async || {
        let reply = stage
            .run(request(&stateless(), Method::ToolsList, "{}"))
            .await
            .unwrap();
        let hint = complete(reply).await.unwrap().cache.unwrap();
        (hint.ttl.as_secs(), hint.public)
    };
    assert_eq!(hint().await, (20, true));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(hint().await, (15, true));
    other.lists_all(timed(20, false));
    other.announces(TOOL);
    settle().await;
    assert_eq!(hint().await, (20, false));
    other.go_down();
    settle().await;
    assert_eq!(hint().await, (0, false));
}

#[tokio::test(start_paused = true)]
async fn older_clients_get_definitions_of_their_revision() {
    let schema = r#""outputSchema":{"type":"array"},"execution":{"taskSupport":"optional"}"#;
    let files = Scripted::ready("files", &[(TOOL, "read", schema)]);
    let (_router, stage) = router([&files]);
    let newest = ask(&stage, Method::ToolsList, "{}").await.unwrap();
    assert_eq!(
        newest.as_str(),
        r#"{"tools":[{"name":"files__read","outputSchema":{"type":"array"}}]}"#
    );
    let older = crate::ask_as(&session(1), &stage, Method::ToolsList, "{}")
        .await
        .unwrap();
    assert!(
        older
            .as_str()
            .contains(r#""outputSchema":{"type":"object""#),
        "{older}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_not_ours_is_an_invalid_parameter() {
    let (_router, stage) = router([&Scripted::ready("files", &[(TOOL, "read", "")])]);
    for params in [r#"{"cursor":"1"}"#, r#"{"cursor":""}"#, r#"{"cursor":7}"#] {
        let error = ask(&stage, Method::ToolsList, params).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidParams, "{params}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_does_not_wait_long_for_backends_that_are_starting() {
    let (files, hangs) = (
        Scripted::ready("files", &[]),
        Scripted::starting("hangs", &[]),
    );
    let mut known = listing(&[]);
    known.facts.capabilities = crate::json(r#"{"tools":{}}"#);
    known.facts.instructions = Some("Read.".to_owned());
    files.lists_all(known);
    let (_router, stage) = router([&files, &hangs]);
    let before = Instant::now();
    let offer = ask(&stage, Method::ServerDiscover, "{}").await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    // It may bring anything, and a stateful client asks only once.
    let capabilities = object::member(&offer, "capabilities").unwrap();
    assert!(object::member(&capabilities, "prompts").is_some());
    hangs.go_down();
    settle().await;
    let offer = ask(&stage, Method::ServerDiscover, "{}").await.unwrap();
    assert_eq!(
        offer.as_str(),
        r##"{"capabilities":{"tools":{"listChanged":true}},"instructions":"# files (names begin with `files__`)\n\nRead."}"##
    );
}
