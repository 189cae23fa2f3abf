//! MCP Apps: pages and the tools they belong to (digest §1.14, trap 8).

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{BoxStage, Caller, ClientCapabilities, ErrorKind, Freshness, Reply};
use isthmus_protocol::object::{elements, member, member_at, string_member, text};
use isthmus_protocol::{Method, RawJson};

use crate::scripted::{Scripted, keys, listing};
use crate::{RESOURCE, TOOL, ask, ask_as, complete, json, request, router, serve, stateless};

const PAGE: &str =
    r#""_meta":{"ui":{"resourceUri":"ui://board/view"},"ui/resourceUri":"ui://board/view"}"#;
const APP_ONLY: &str = r#""_meta":{"ui":{"visibility":["app"]}}"#;

fn host() -> Arc<Caller> {
    let declared = json(r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["x"]}}}"#);
    Arc::new(Caller {
        capabilities: Arc::new(ClientCapabilities::parse(declared).unwrap()),
        ..Caller::clone(&stateless())
    })
}

/// Answers reads with the URI it was asked for, as a page with a domain.
fn serves_pages(backend: &Arc<Scripted>) {
    backend.answers(|request| {
        let uri = member(&request.params, "uri").unwrap();
        let contents = format!(
            r#"{{"contents":[{{"uri":{uri},"_meta":{{"ui":{{"domain":"abc","csp":{{"connectDomains":["https://x"]}}}}}}}}]}}"#
        );
        Ok(Reply::complete(json(&contents)))
    });
}

/// The tools that `caller` is shown.
async fn tools(stage: &BoxStage, caller: &Arc<Caller>) -> Vec<RawJson> {
    let page = ask_as(caller, stage, Method::ToolsList, "{}")
        .await
        .unwrap();
    elements(&member(&page, "tools").unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_page_that_a_tool_names_is_the_one_that_is_read() {
    let (one, two) = (
        Scripted::ready("one", &[(TOOL, "show", PAGE)]),
        Scripted::ready("two", &[(TOOL, "show", PAGE)]),
    );
    serves_pages(&one);
    serves_pages(&two);
    let (router, stage) = router([&one, &two]);
    router.wait_ready().await;
    for (tool, backend, expected) in [
        (0, &one, "ui://board/view"),
        (1, &two, "ui://two/board/view"),
    ] {
        let tool = &tools(&stage, &host()).await[tool];
        let nested = member_at(tool, &["_meta", "ui", "resourceUri"]).unwrap();
        let twin = member_at(tool, &["_meta", "ui/resourceUri"]).unwrap();
        assert_eq!(text(&nested).unwrap(), expected);
        assert_eq!(text(&twin).unwrap(), expected);
        let params = format!(r#"{{"uri":{nested}}}"#);
        let read = ask(&stage, Method::ResourcesRead, &params).await.unwrap();
        assert_eq!(
            read.as_str(),
            format!(
                r#"{{"contents":[{{"uri":"{expected}","_meta":{{"ui":{{"csp":{{"connectDomains":["https://x"]}}}}}}}}]}}"#
            )
        );
        assert_eq!(
            backend.heard(),
            [r#"resources/read {"uri":"ui://board/view"}"#]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_for_a_listed_page_and_for_prefixed_uris() {
    let mut settings = isthmus_router::AnyBackend::settings(&*Scripted::ready("app", &[])).clone();
    settings.prefixed_uris = true;
    let app = Scripted::with_settings(
        settings,
        &[
            (TOOL, "show", PAGE),
            (
                RESOURCE,
                "ui://board/view",
                r#""_meta":{"ui":{"domain":"abc","prefersBorder":true}}"#,
            ),
        ],
    );
    app.come_up();
    serves_pages(&app);
    let (router, stage) = router([&app]);
    router.wait_ready().await;
    let uri = "ui://app/board/view";
    let tool = &tools(&stage, &host()).await[0];
    let named = member_at(tool, &["_meta", "ui", "resourceUri"]).unwrap();
    assert_eq!(text(&named).unwrap(), uri);
    let listed = ask(&stage, Method::ResourcesList, "{}").await.unwrap();
    assert_eq!(
        listed.as_str(),
        format!(r#"{{"resources":[{{"uri":"{uri}","_meta":{{"ui":{{"prefersBorder":true}}}}}}]}}"#)
    );
    let params = format!(r#"{{"uri":"{uri}"}}"#);
    let read = ask(&stage, Method::ResourcesRead, &params).await.unwrap();
    let contents = elements(&member(&read, "contents").unwrap()).unwrap();
    assert_eq!(string_member(&contents[0], "uri").unwrap(), uri);
    // The raw form, which a page may have written into it, leads there too.
    let raw = r#"{"uri":"ui://board/view"}"#;
    let read = ask(&stage, Method::ResourcesRead, raw).await.unwrap();
    let contents = elements(&member(&read, "contents").unwrap()).unwrap();
    assert_eq!(
        string_member(&contents[0], "uri").unwrap(),
        "ui://board/view"
    );
}

#[tokio::test(start_paused = true)]
async fn tools_for_pages_only_are_shown_to_who_shows_pages_and_such_lists_are_private() {
    let app = Scripted::ready("app", &[]);
    let timed = |items: &[_]| {
        let mut listing = listing(items);
        listing.freshness = Freshness {
            ttl: Some(Duration::from_secs(60)),
            public: true,
            watched: true,
        };
        listing
    };
    app.lists_all(timed(&[(TOOL, "show", ""), (TOOL, "refresh", APP_ONLY)]));
    let (router, stage) = router([&app]);
    router.wait_ready().await;
    let list = async |caller: &Arc<Caller>, method: Method| {
        let reply = stage.run(request(caller, method, "{}")).await.unwrap();
        complete(reply).await.unwrap()
    };
    for (caller, expected) in [
        (host(), &["app__show", "app__refresh"][..]),
        (stateless(), &["app__show"]),
    ] {
        let listed = list(&caller, Method::ToolsList).await;
        assert_eq!(keys(&listed.result, TOOL), expected);
        let hint = listed.cache.unwrap();
        assert!(!hint.public && !hint.ttl.is_zero());
        // Other lists depend on nobody.
        let resources = list(&caller, Method::ResourcesList).await;
        assert!(resources.cache.unwrap().public);
    }
    app.lists_all(timed(&[(TOOL, "show", "")]));
    app.announces(TOOL);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let listed = list(&stateless(), Method::ToolsList).await;
    assert!(listed.cache.unwrap().public);
}

#[tokio::test(start_paused = true)]
async fn a_page_calls_its_tools_by_bare_names_until_another_backend_has_one_too() {
    let app = Scripted::ready("app", &[(TOOL, "refresh", APP_ONLY)]);
    let evil = Scripted::ready("evil", &[(TOOL, "refresh", "")]);
    let (router, stage) = router([&app]);
    router.wait_ready().await;
    let call = async || ask_as(&host(), &stage, Method::ToolsCall, r#"{"name":"refresh"}"#).await;
    call().await.unwrap();
    assert_eq!(app.heard(), [r#"tools/call {"name":"refresh"}"#]);
    serve(&router, [&evil, &app]);
    router.wait_ready().await;
    let refused = call().await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidParams);
    assert!(app.heard().is_empty() && evil.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_extension_is_offered_where_a_tool_has_a_page() {
    let app = Scripted::ready("app", &[(TOOL, "show", PAGE)]);
    let plain = Scripted::ready("plain", &[(TOOL, "show", "")]);
    let offered = async |backend: &Arc<Scripted>| {
        let (router, stage) = router([backend]);
        router.wait_ready().await;
        let offer = ask(&stage, Method::ServerDiscover, "{}").await.unwrap();
        let path = ["capabilities", "extensions", "io.modelcontextprotocol/ui"];
        member_at(&offer, &path).is_some()
    };
    assert!(offered(&app).await);
    assert!(!offered(&plain).await);
}
