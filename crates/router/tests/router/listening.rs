//! Listens: what is acknowledged, what is heard, and when they end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use isthmus_backend::Audience;
use isthmus_exchange::{AllAllowed, ListenFilter, LogRecord, Notice, Outcome, ScopeId, Step};
use isthmus_protocol::LogLevel;

use crate::scripted::Scripted;
use crate::{
    PROMPT, RESOURCE, TOOL, everything, is_silent, json, list, listen, next_notice, router, serve,
    session, settle, stateless,
};

fn uris(uris: &[&str]) -> BTreeSet<String> {
    uris.iter().map(|uri| (*uri).to_owned()).collect()
}

fn update(uri: &str, params: &str) -> Notice {
    Notice::ResourceUpdated {
        uri: uri.to_owned(),
        params: json(params),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_once_it_can_be_seen_and_only_to_who_asked() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    let tools = ListenFilter {
        tools: true,
        ..ListenFilter::default()
    };
    let (acknowledged, mut hears_tools) = listen(&stage, &stateless(), tools.clone()).await;
    assert_eq!(acknowledged, tools);
    let prompts = ListenFilter {
        prompts: true,
        ..ListenFilter::default()
    };
    let (_, mut hears_prompts) = listen(&stage, &stateless(), prompts).await;
    assert!(is_silent(&mut hears_tools).await);
    files.lists(&[(TOOL, "write", ""), (RESOURCE, "x:", "")]);
    files.announces(TOOL);
    assert_eq!(
        next_notice(&mut hears_tools).await,
        Notice::ListChanged(TOOL)
    );
    assert_eq!(list(&stage, TOOL).await, ["files__write"]);
    assert!(is_silent(&mut hears_tools).await);
    assert!(is_silent(&mut hears_prompts).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_announces_is_told_even_if_we_see_no_difference() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    let (_, mut reply) = listen(&stage, &session(1), everything()).await;
    files.announces(PROMPT);
    assert_eq!(next_notice(&mut reply).await, Notice::ListChanged(PROMPT));
    assert!(is_silent(&mut reply).await);
    assert_eq!(files.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_announcements_becomes_few_fetches_and_few_notices() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    let (_, mut reply) = listen(&stage, &session(1), everything()).await;
    for _ in 0..1000 {
        for _ in 0..50 {
            files.announces(TOOL);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(files.fetches() <= 7, "{}", files.fetches());
    assert_eq!(next_notice(&mut reply).await, Notice::ListChanged(TOOL));
    // Whoever did not listen for a while is told once.
    assert!(is_silent(&mut reply).await);
}

#[tokio::test(start_paused = true)]
async fn backends_that_come_late_are_announced() {
    let files = Scripted::starting("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    assert!(list(&stage, TOOL).await.is_empty());
    let (_, mut reply) = listen(&stage, &session(1), everything()).await;
    files.come_up();
    assert_eq!(next_notice(&mut reply).await, Notice::ListChanged(TOOL));
    assert!(is_silent(&mut reply).await);
}

#[tokio::test(start_paused = true)]
async fn updates_come_in_the_form_in_which_they_were_asked_for() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:/a", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:/a", "")]);
    let (_router, stage) = router([&one, &two]);
    let filter = ListenFilter {
        uris: uris(&["x:/a", "two+x:/a", "nobodys:"]),
        ..ListenFilter::default()
    };
    let (acknowledged, mut reply) = listen(&stage, &stateless(), filter).await;
    assert_eq!(acknowledged.uris, uris(&["x:/a", "two+x:/a"]));
    assert_eq!(one.heard(), ["subscribe 0 x:/a"]);
    assert_eq!(two.heard(), ["subscribe 0 x:/a"]);
    one.updates("x:/a");
    assert_eq!(
        next_notice(&mut reply).await,
        update("x:/a", r#"{"uri":"x:/a","n":1.0}"#)
    );
    two.updates("x:/a/below");
    let below = update("two+x:/a/below", r#"{"uri":"two+x:/a/below","n":1.0}"#);
    assert_eq!(next_notice(&mut reply).await, below);
    two.updates("x:/another");
    assert!(is_silent(&mut reply).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_refuses_or_does_not_answer_soon_is_not_acknowledged() {
    let refuses = Scripted::ready("refuses", &[(RESOURCE, "x:", "")]);
    *refuses.refuses_subscriptions.lock().unwrap() = true;
    let slow = Scripted::ready("slow", &[(RESOURCE, "y:", "")]);
    let mut cannot = crate::scripted::listing(&[(RESOURCE, "z:", "")]);
    cannot.facts.capabilities = json(r#"{"resources":{}}"#);
    let unable = Scripted::ready("unable", &[]);
    unable.lists_all(cannot);
    let (router, stage) = router([&refuses, &slow, &unable]);
    router.wait_ready().await;
    *slow.slow.lock().unwrap() = Duration::from_secs(3);
    let filter = ListenFilter {
        uris: uris(&["x:", "y:", "z:"]),
        ..ListenFilter::default()
    };
    let (acknowledged, _reply) = listen(&stage, &stateless(), filter).await;
    assert!(acknowledged.uris.is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    // It did subscribe, too late: so it is told to stop.
    assert_eq!(slow.heard(), ["subscribe 0 y:", "unsubscribe 0 y:"]);
    assert!(unable.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_listens_of_one_scope_are_one_subscription_until_the_last_is_dropped() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    let filter = ListenFilter {
        uris: uris(&["x:"]),
        ..ListenFilter::default()
    };
    let caller = stateless();
    let (_, one) = listen(&stage, &caller, filter.clone()).await;
    let (_, other) = listen(&stage, &caller, filter.clone()).await;
    assert_eq!(files.heard(), ["subscribe 0 x:"]);
    drop(one);
    settle().await;
    assert!(files.heard().is_empty());
    drop(other);
    settle().await;
    assert_eq!(files.heard(), ["unsubscribe 0 x:"]);
    let (_, _again) = listen(&stage, &caller, filter).await;
    assert_eq!(files.heard(), ["subscribe 0 x:"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_reaches_its_audience_only() {
    let files = Scripted::ready("files", &[]);
    let (_router, stage) = router([&files]);
    let (anna, berta) = (session(1), session(2));
    let (_, mut hears_anna) = listen(&stage, &anna, everything()).await;
    let (_, mut hears_berta) = listen(&stage, &berta, everything()).await;
    let (_, mut hears_lists) = listen(
        &stage,
        &anna,
        ListenFilter {
            follow_scope: false,
            ..everything()
        },
    )
    .await;
    let log = |level| {
        Notice::Log(LogRecord {
            level,
            params: json("{}"),
        })
    };
    files.says(Audience::Scope(ScopeId(1)), log(LogLevel::Debug));
    assert_eq!(next_notice(&mut hears_anna).await, log(LogLevel::Debug));
    files.says(
        Audience::Principal(berta.principal.id().clone()),
        log(LogLevel::Info),
    );
    assert_eq!(next_notice(&mut hears_berta).await, log(LogLevel::Info));
    assert!(is_silent(&mut hears_anna).await);
    // From now on Anna wants to hear of errors only.
    anna.scope.set_log_level(LogLevel::Error);
    files.says(Audience::Everyone, log(LogLevel::Warning));
    files.says(Audience::Everyone, log(LogLevel::Alert));
    assert_eq!(next_notice(&mut hears_anna).await, log(LogLevel::Alert));
    assert!(is_silent(&mut hears_lists).await);
}

#[tokio::test(start_paused = true)]
async fn a_listen_ends_with_its_scope_or_its_route() {
    let files = Scripted::ready("files", &[]);
    let (router, stage) = router([&files]);
    let (anna, berta) = (session(1), session(2));
    let (_, mut hears_anna) = listen(&stage, &anna, everything()).await;
    let (_, mut hears_berta) = listen(&stage, &berta, everything()).await;
    anna.scope.end();
    assert!(matches!(
        hears_anna.next().await,
        Step::Done(Ok(Outcome::Complete(_)))
    ));
    assert!(is_silent(&mut hears_berta).await);
    serve(&router, [&files]);
    assert!(is_silent(&mut hears_berta).await);
    router
        .reload(&[], &[], |_| Arc::new(AllAllowed), |_| Err(()))
        .unwrap();
    assert!(matches!(
        hears_berta.next().await,
        Step::Done(Ok(Outcome::Complete(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn when_we_could_not_follow_a_backend_everything_it_has_may_have_changed() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    let filter = ListenFilter {
        uris: uris(&["x:"]),
        ..everything()
    };
    let (_, mut reply) = listen(&stage, &stateless(), filter).await;
    // More at once than its channel holds.
    for _ in 0..200 {
        files.updates("y:");
    }
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(next_notice(&mut reply).await);
    }
    for kind in [TOOL, PROMPT, RESOURCE] {
        assert!(heard.contains(&Notice::ListChanged(kind)), "{heard:?}");
    }
    assert!(
        heard.contains(&update("x:", r#"{"uri":"x:"}"#)),
        "{heard:?}"
    );
}
