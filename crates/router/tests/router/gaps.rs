//! What watchers are told where we could not hear everything, and what is left behind when somebody goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use isthmus_backend::Audience;
use isthmus_config::Route;
use isthmus_exchange::{ErrorKind, ListenFilter, Notice, Outcome, Reply, ScopeId, Step};
use isthmus_protocol::Method;

use crate::scripted::Scripted;
use crate::{
    Hides, RESOURCE, TEMPLATE, TOOL, ask_as, everything, is_silent, json, listen, next_notice,
    request, router, router_that_shows, serve, serve_as, session, settle, stateless, stateless_as,
};

const SUBSCRIBE: Method = Method::ResourcesSubscribe;

fn watching(uris: &[&str]) -> ListenFilter {
    ListenFilter {
        uris: set(uris),
        ..ListenFilter::default()
    }
}

fn set(uris: &[&str]) -> BTreeSet<String> {
    uris.iter().map(|uri| (*uri).to_owned()).collect()
}

fn changed(uri: &str) -> Notice {
    Notice::ResourceUpdated {
        uri: uri.to_owned(),
        params: json(&format!(r#"{{"uri":"{uri}"}}"#)),
    }
}

/// What a backend says of a resource, as it arrives.
fn updated(uri: &str) -> Notice {
    Notice::ResourceUpdated {
        uri: uri.to_owned(),
        params: json(&format!(r#"{{"uri":"{uri}","n":1.0}}"#)),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_a_backend_that_was_away_is_told_to_look_again() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", ""), (RESOURCE, "y:", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    let anna = session(1);
    let (_, mut hears_session) = listen(&stage, &anna, everything()).await;
    ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"y:"}"#)
        .await
        .unwrap();
    let (_, mut hears) = listen(&stage, &stateless(), watching(&["files+x:"])).await;
    files.go_down();
    settle().await;
    files.come_up();
    settle().await;
    let mut again = files.heard().split_off(2);
    again.sort();
    assert_eq!(again, ["subscribe 0 x:", "subscribe 1 y:"]);
    assert_eq!(next_notice(&mut hears).await, changed("files+x:"));
    assert_eq!(next_notice(&mut hears_session).await, changed("y:"));
    assert!(is_silent(&mut hears).await && is_silent(&mut hears_session).await);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_cannot_be_renewed_is_tried_until_it_can() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", ""), (RESOURCE, "y:", "")]);
    let (_router, stage) = router([&files]);
    let (_, mut hears) = listen(&stage, &stateless(), watching(&["x:", "y:"])).await;
    files.go_down();
    settle().await;
    files.refuses.lock().unwrap().push("y:");
    files.heard();
    files.come_up();
    settle().await;
    assert_eq!(next_notice(&mut hears).await, changed("x:"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(files.heard(), ["subscribe 0 x:"]);
    assert!(is_silent(&mut hears).await);
    files.refuses.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(files.heard(), ["subscribe 0 y:"]);
    assert_eq!(next_notice(&mut hears).await, changed("y:"));
    // Nobody tries any more.
    drop(hears);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let mut heard = files.heard();
    heard.sort();
    assert_eq!(heard, ["unsubscribe 0 x:", "unsubscribe 0 y:"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_on_trying_for_who_has_left() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    let (_, hears) = listen(&stage, &stateless(), watching(&["x:"])).await;
    files.go_down();
    settle().await;
    files.refuses.lock().unwrap().push("x:");
    files.come_up();
    settle().await;
    drop(hears);
    settle().await;
    files.heard();
    files.refuses.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(files.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn watchers_of_a_backend_that_leaves_the_route_are_told_to_look_again() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let other = Scripted::ready("other", &[]);
    let (router, stage) = router([&files, &other]);
    let (_, mut hears) = listen(&stage, &stateless(), watching(&["x:"])).await;
    serve(&router, [&other]);
    assert_eq!(next_notice(&mut hears).await, changed("x:"));
    assert!(is_silent(&mut hears).await);
    // It comes back, and what was acknowledged holds again.
    files.heard();
    serve(&router, [&files, &other]);
    settle().await;
    assert_eq!(files.heard(), ["subscribe 0 x:"]);
    assert_eq!(next_notice(&mut hears).await, changed("x:"));
    files.updates("x:");
    assert_eq!(next_notice(&mut hears).await, updated("x:"));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_goes_closes_its_listens_and_ends_what_they_watch() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", ""), (RESOURCE, "y:", "")]);
    let (router, stage) = router([&files]);
    let anna = session(1);
    ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"y:"}"#)
        .await
        .unwrap();
    let (_, mut hears) = listen(&stage, &stateless(), watching(&["x:"])).await;
    files.heard();
    // The backend stays, behind another route.
    serve_as(&router, Route::new("/other"), [&files]);
    let ended = hears.next().await;
    assert!(matches!(ended, Step::Done(Ok(Outcome::Complete(_)))));
    settle().await;
    let mut heard = files.heard();
    heard.sort();
    assert_eq!(heard, ["unsubscribe 0 x:", "unsubscribe 1 y:"]);
    drop(hears);
    anna.scope.end();
    settle().await;
    assert!(files.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_is_not_woken_to_forget() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    let (_, hears) = listen(&stage, &stateless(), watching(&["x:"])).await;
    files.go_down();
    settle().await;
    files.heard();
    drop(hears);
    settle().await;
    files.come_up();
    settle().await;
    assert!(files.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_it_subscribes_leaves_a_subscription_of_its_session() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    *files.slow.lock().unwrap() = Duration::from_secs(1);
    let anna = session(1);
    let asking = stage.run(request(&anna, SUBSCRIBE, r#"{"uri":"x:"}"#));
    let given_up = tokio::time::timeout(Duration::from_millis(500), asking).await;
    assert!(given_up.is_err());
    let (_, mut hears) = listen(&stage, &anna, everything()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(files.heard(), ["subscribe 1 x:"]);
    files.updates("x:");
    assert_eq!(next_notice(&mut hears).await, updated("x:"));
    anna.scope.end();
    settle().await;
    assert_eq!(files.heard(), ["unsubscribe 1 x:"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_it_subscribes_leaves_nothing_behind() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    *files.slow.lock().unwrap() = Duration::from_secs(1);
    let anna = session(1);
    let caller = anna.clone();
    let asking =
        tokio::spawn(async move { ask_as(&caller, &stage, SUBSCRIBE, r#"{"uri":"x:"}"#).await });
    settle().await;
    anna.scope.end();
    let _done = asking.await.unwrap();
    settle().await;
    assert_eq!(files.heard(), ["subscribe 1 x:", "unsubscribe 1 x:"]);
}

#[tokio::test(start_paused = true)]
async fn two_subscriptions_at_once_are_told_the_same_truth() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    *files.slow.lock().unwrap() = Duration::from_secs(1);
    files.refuses.lock().unwrap().push("x:");
    let anna = session(1);
    let ask = || ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"x:"}"#);
    let (one, other) = tokio::join!(ask(), ask());
    assert!(one.is_err() && other.is_err());
    files.refuses.lock().unwrap().clear();
    let (one, other) = tokio::join!(ask(), ask());
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(files.heard(), ["subscribe 1 x:"]);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_session_listens_instead_of_subscribing() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    let (_router, stage) = router([&files]);
    for method in [SUBSCRIBE, Method::ResourcesUnsubscribe] {
        let refused = ask_as(&stateless(), &stage, method, r#"{"uri":"x:"}"#).await;
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::MethodNotFound);
    }
    assert!(files.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_names_what_is_honoured_and_nothing_else() {
    let items = [(RESOURCE, "x:", ""), (RESOURCE, "y:", "")];
    let files = Scripted::ready("files", &items);
    let away = Scripted::ready("away", &[(RESOURCE, "z:", "")]);
    let (router, stage) = router([&files, &away]);
    router.wait_ready().await;
    files.refuses.lock().unwrap().push("y:");
    away.go_down();
    settle().await;
    let wanted = watching(&["x:", "y:", "z:", "away+z:", "nobodys:", "nobody+x:"]);
    let (acknowledged, _hears) = listen(&stage, &stateless(), wanted).await;
    assert_eq!(acknowledged.uris, set(&["x:"]));
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_accepts_and_cannot_deliver_is_not_acknowledged() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", "")]);
    *files.mute.lock().unwrap() = true;
    let (_router, stage) = router([&files]);
    let wanted = ListenFilter {
        tools: true,
        ..watching(&["x:"])
    };
    let (acknowledged, mut hears) = listen(&stage, &stateless(), wanted).await;
    assert!(acknowledged.uris.is_empty());
    settle().await;
    assert_eq!(files.heard(), ["subscribe 0 x:", "unsubscribe 0 x:"]);
    // Lists are asked for from time to time, so their changes are found.
    assert!(acknowledged.tools);
    files.lists(&[(TOOL, "new", "")]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(next_notice(&mut hears).await, Notice::ListChanged(TOOL));
    // A session is told what the backend says: it may update in the course of a call.
    ask_as(&session(1), &stage, SUBSCRIBE, r#"{"uri":"x:"}"#)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listen_that_takes_over_from_another_misses_and_repeats_nothing() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", ""), (RESOURCE, "y:", "")]);
    let (_router, stage) = router([&files]);
    let caller = stateless();
    let (_, old) = listen(&stage, &caller, watching(&["x:"])).await;
    let (_, mut new) = listen(&stage, &caller, watching(&["x:", "y:"])).await;
    files.updates("x:");
    settle().await;
    drop(old);
    settle().await;
    assert_eq!(files.heard(), ["subscribe 0 x:", "subscribe 0 y:"]);
    assert_eq!(next_notice(&mut new).await, updated("x:"));
    assert!(is_silent(&mut new).await);
}

#[tokio::test(start_paused = true)]
async fn listens_of_one_client_hear_what_each_of_them_named() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:", ""), (RESOURCE, "y:", "")]);
    let (_router, stage) = router([&files]);
    let caller = stateless();
    let (_, mut hears_x) = listen(&stage, &caller, watching(&["x:"])).await;
    let (_, mut hears_y) = listen(&stage, &caller, watching(&["y:"])).await;
    let (_, mut hears_lists) = listen(&stage, &caller, everything()).await;
    files.updates("y:");
    assert_eq!(next_notice(&mut hears_y).await, updated("y:"));
    assert!(is_silent(&mut hears_x).await && is_silent(&mut hears_lists).await);
    files.updates("x:");
    assert_eq!(next_notice(&mut hears_x).await, updated("x:"));
    assert!(is_silent(&mut hears_y).await);
}

#[tokio::test(start_paused = true)]
async fn an_update_of_a_part_comes_in_a_form_that_leads_to_the_backend_that_sent_it() {
    let first = Scripted::ready("first", &[(RESOURCE, "x:/a/taken", "")]);
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", "")]);
    let (_router, stage) = router([&first, &files]);
    let anna = session(1);
    let (_, mut hears) = listen(&stage, &anna, watching(&["x:/a"])).await;
    files.heard();
    files.updates("x:/a/free");
    assert_eq!(next_notice(&mut hears).await, updated("x:/a/free"));
    files.updates("x:/a/taken");
    assert_eq!(next_notice(&mut hears).await, updated("files+x:/a/taken"));
    for uri in ["x:/a/free", "files+x:/a/taken"] {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        ask_as(&anna, &stage, Method::ResourcesRead, &params)
            .await
            .unwrap();
    }
    assert_eq!(files.heard().len(), 2);
    assert!(first.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_hidden_from_its_watcher_is_not_told() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", "")]);
    let hides = Arc::new(Hides::default());
    hides.0.lock().unwrap().push("x:/a/secret");
    let (_router, stage) = router_that_shows(hides.clone(), [&files]);
    let (_, mut hears) = listen(&stage, &stateless(), watching(&["x:/a"])).await;
    files.updates("x:/a/secret");
    assert!(is_silent(&mut hears).await);
    files.updates("x:/a/open");
    assert_eq!(next_notice(&mut hears).await, updated("x:/a/open"));
    // What is hidden from now on is as if it were not there.
    hides.0.lock().unwrap().push("x:/a");
    files.updates("x:/a");
    assert!(is_silent(&mut hears).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_user_has_finished_is_told_to_the_session_it_belongs_to() {
    let files = Scripted::ready("files", &[]);
    let (_router, stage) = router([&files]);
    let (anna, berta) = (session(1), session(2));
    let (_, mut hears_anna) = listen(&stage, &anna, everything()).await;
    let (_, mut hears_berta) = listen(&stage, &berta, everything()).await;
    let lists = ListenFilter {
        follow_scope: false,
        ..everything()
    };
    let (_, mut hears_lists) = listen(&stage, &anna, lists).await;
    let complete = |id: &str| Notice::ElicitationComplete { id: id.to_owned() };
    files.says(Audience::Scope(ScopeId(1)), complete("1"));
    assert_eq!(next_notice(&mut hears_anna).await, complete("1"));
    files.says(
        Audience::Principal(berta.principal.id().clone()),
        complete("2"),
    );
    assert_eq!(next_notice(&mut hears_berta).await, complete("2"));
    assert!(is_silent(&mut hears_anna).await);
    assert!(is_silent(&mut hears_lists).await);
}

#[tokio::test(start_paused = true)]
async fn links_are_forgotten_with_the_session_they_were_given_to() {
    let one = Scripted::ready("one", &[(TOOL, "make", "")]);
    let two = Scripted::ready("two", &[]);
    one.answers(|_| {
        let link = r#"{"content":[{"type":"resource_link","uri":"new:/1"}]}"#;
        Ok(Reply::complete(json(link)))
    });
    let (_router, stage) = router([&one, &two]);
    let anna = session(1);
    ask_as(&anna, &stage, Method::ToolsCall, r#"{"name":"one__make"}"#)
        .await
        .unwrap();
    let read =
        async |caller| ask_as(caller, &stage, Method::ResourcesRead, r#"{"uri":"new:/1"}"#).await;
    read(&anna).await.unwrap();
    anna.scope.end();
    settle().await;
    // Even a scope of the same id finds nothing.
    read(&session(1)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_scope_watches_only_so_much() {
    let files = Scripted::ready("files", &[(TEMPLATE, "x:/{n}", "")]);
    let (_router, stage) = router([&files]);
    let caller = stateless_as("greedy");
    let mut open = Vec::new();
    let mut acknowledged = 0;
    for listen_number in 0..11 {
        let uris = (0..1_001).map(|number| format!("x:/{listen_number}-{number}"));
        let filter = ListenFilter {
            uris: uris.collect(),
            ..ListenFilter::default()
        };
        let (honoured, reply) = listen(&stage, &caller, filter).await;
        assert!(honoured.uris.len() <= 1_000);
        acknowledged += honoured.uris.len();
        open.push(reply);
    }
    assert_eq!(acknowledged, 10_000);
    // Others are none the worse for it.
    let (honoured, _reply) = listen(&stage, &stateless(), watching(&["x:/1"])).await;
    assert_eq!(honoured.uris.len(), 1);
    drop(open);
    settle().await;
    let (honoured, _reply) = listen(&stage, &caller, watching(&["x:/1"])).await;
    assert_eq!(honoured.uris.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_sessions_that_have_ended() {
    let one = Scripted::ready("one", &[(TOOL, "make", ""), (RESOURCE, "x:", "")]);
    let two = Scripted::ready("two", &[]);
    one.answers(|_| {
        let link = r#"{"content":[{"type":"resource_link","uri":"new:/1"}]}"#;
        Ok(Reply::complete(json(link)))
    });
    let (router, stage) = router([&one, &two]);
    router.wait_ready().await;
    settle().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    for round in 0..3 {
        let mut open = Vec::new();
        for number in 0..100 {
            let caller = session(round * 100 + number);
            let (_, listening) = listen(&stage, &caller, everything()).await;
            let (_, watching) = listen(&stage, &caller, watching(&["x:"])).await;
            ask_as(&caller, &stage, SUBSCRIBE, r#"{"uri":"x:"}"#)
                .await
                .unwrap();
            ask_as(
                &caller,
                &stage,
                Method::ToolsCall,
                r#"{"name":"one__make"}"#,
            )
            .await
            .unwrap();
            open.push((caller, listening, watching));
        }
        one.heard();
        for (caller, listening, watching) in open {
            caller.scope.end();
            drop((listening, watching));
        }
        for _ in 0..5 {
            settle().await;
        }
        let unsubscribed = one.heard();
        assert_eq!(unsubscribed.len(), 100, "{unsubscribed:?}");
        assert_eq!(metrics.num_alive_tasks(), before);
    }
}
