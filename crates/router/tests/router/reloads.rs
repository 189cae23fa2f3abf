//! A new config under a running router.

use std::sync::Arc;

use isthmus_config::{Glob, Route};
use isthmus_exchange::{AllAllowed, Notice, RouteName};
use isthmus_protocol::Method;
use isthmus_router::AnyBackend;

use crate::scripted::Scripted;
use crate::{
    RESOURCE, TOOL, ask, ask_as, everything, is_silent, list, listen, next_notice, router, serve,
    session, settle,
};

#[tokio::test(start_paused = true)]
async fn backends_come_and_go_under_a_running_session() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let mail = Scripted::ready("mail", &[(TOOL, "send", "")]);
    let (router, stage) = router([&files]);
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
    let (_, mut reply) = listen(&stage, &session(1), everything()).await;
    let reloaded = serve(&router, [&files, &mail]);
    assert_eq!(reloaded.kept, [files.name().clone()]);
    assert_eq!(reloaded.started, [mail.name().clone()]);
    assert_eq!(next_notice(&mut reply).await, Notice::ListChanged(TOOL));
    assert_eq!(list(&stage, TOOL).await, ["files__read", "mail__send"]);
    let reloaded = serve(&router, [&mail]);
    assert_eq!(reloaded.removed[0].name(), files.name());
    assert_eq!(next_notice(&mut reply).await, Notice::ListChanged(TOOL));
    assert_eq!(list(&stage, TOOL).await, ["mail__send"]);
    assert!(
        ask(&stage, Method::ToolsCall, r#"{"name":"files__read"}"#)
            .await
            .is_err()
    );
    assert!(is_silent(&mut reply).await);
    // What stayed was not asked again.
    assert_eq!(mail.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_changes_nothing_is_not_heard() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    let (_, mut reply) = listen(&stage, &session(1), everything()).await;
    serve(&router, [&files]);
    assert!(is_silent(&mut reply).await);
    assert_eq!(files.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_with_new_settings_takes_over_names_and_subscriptions() {
    let old = Scripted::ready("files", &[(TOOL, "read", ""), (RESOURCE, "x:", "")]);
    let (router, stage) = router([&old]);
    ask_as(
        &session(1),
        &stage,
        Method::ResourcesSubscribe,
        r#"{"uri":"x:"}"#,
    )
    .await
    .unwrap();
    let mut settings = old.settings().clone();
    settings.prefix = "f".to_owned();
    let new = Scripted::with_settings(settings, &[(TOOL, "read", ""), (RESOURCE, "x:", "")]);
    new.come_up();
    serve(&router, [&new]);
    assert_eq!(list(&stage, TOOL).await, ["f__read"]);
    settle().await;
    assert_eq!(new.heard(), ["subscribe 1 x:"]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_cannot_be_started_changes_nothing() {
    let files = Scripted::ready("files", &[(TOOL, "read", "")]);
    let mail = Scripted::ready("mail", &[]);
    let (router, stage) = router([&files]);
    let mut route = Route::new("/mcp");
    route.backends = vec!["mail".to_owned()];
    let outcome = router.reload(
        &[route],
        &[mail.settings().clone()],
        |_| Arc::new(AllAllowed),
        |_| Err("no"),
    );
    assert_eq!(outcome.unwrap_err(), "no");
    assert_eq!(list(&stage, TOOL).await, ["files__read"]);
}

#[tokio::test(start_paused = true)]
async fn routes_show_one_fleet_in_different_ways() {
    let files = Scripted::ready("files", &[(TOOL, "read", ""), (TOOL, "delete", "")]);
    let mail = Scripted::ready("mail", &[(TOOL, "send", "")]);
    let (router, _stage) = router([]);
    let route = |path: &str, backends: &[&str]| {
        let mut route = Route::new(path);
        route.backends = backends.iter().map(|name| (*name).to_owned()).collect();
        route
    };
    let mut careful = route("/careful", &["files"]);
    careful.tools.exclude = vec![Glob::new("*delete*")];
    let all = route("/all", &["mail", "files"]);
    let fleet = [files, mail];
    let settings: Vec<_> = fleet
        .iter()
        .map(|backend| backend.settings().clone())
        .collect();
    router
        .reload(
            &[careful, all],
            &settings,
            |_| Arc::new(AllAllowed),
            |settings| {
                let same = |backend: &&Arc<Scripted>| backend.settings() == settings;
                Ok::<_, ()>(fleet.iter().find(same).unwrap().clone() as Arc<dyn AnyBackend>)
            },
        )
        .unwrap();
    let shows = async |path| list(&router.stage(&RouteName::new(path)).unwrap(), TOOL).await;
    assert_eq!(shows("/careful").await, ["files__read"]);
    assert_eq!(
        shows("/all").await,
        ["mail__send", "files__read", "files__delete"]
    );
    assert!(router.stage(&RouteName::new("/mcp")).is_none());
    assert_eq!(fleet[0].fetches(), 1);
}
