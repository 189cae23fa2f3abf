//! A backend that hangs, dies, floods or sends garbage costs only its own items.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::child::{Child, ORDINARY, folder};
use crate::support::{Backend, Gateway, Reaction, Stateful, Stateless};

fn good(method: &str, _: &Value) -> Option<Reaction> {
    match method {
        "tools/list" => Some(Reaction::Result(
            json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => Some(Reaction::Result(
            json!({"content": [{"type": "text", "text": "fine"}]}),
        )),
        _ => None,
    }
}

fn names(listed: &Value) -> Vec<String> {
    let tools = listed["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A good backend beside whatever `entry` describes; a short cold start, so that tests of dead ones are quick.
async fn beside(entry: &str) -> (Backend, Gateway) {
    let backend = Backend::start("2025-11-25", good).await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{cold_start: 300ms}}\nbackends:\n{}{entry}",
        backend.entry("good")
    ));
    (backend, gateway)
}

/// The good backend's tool is listed and works for clients of both eras.
async fn good_is_untouched(gateway: &Gateway) {
    let stateless = Stateless::new(&gateway.url());
    // The short cold start may be over before a busy machine has let the good one speak.
    let listed = async {
        while !names(&stateless.ask("tools/list", json!({})).await).contains(&"good__t".to_owned())
        {
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listed)
        .await
        .unwrap();
    let called = stateless
        .ask("tools/call", json!({"name": "good__t", "arguments": {}}))
        .await;
    assert_eq!(called["result"]["content"][0]["text"], "fine", "{called}");
    let stateful = Stateful::open(&gateway.url(), "2025-06-18").await;
    let called = stateful
        .ask("tools/call", json!({"name": "good__t", "arguments": {}}))
        .await;
    assert_eq!(called["result"]["content"][0]["text"], "fine", "{called}");
}

#[tokio::test]
async fn one_that_refuses_connections() {
    let (_backend, gateway) = beside("  dead: {http: {urls: [http://127.0.0.1:9/mcp]}}\n").await;
    good_is_untouched(&gateway).await;
    let ready = crate::support::http::send("GET", &gateway.at("/readyz"), &[], "").await;
    assert_eq!(ready.status, 200);
    assert!(String::from_utf8_lossy(&ready.bytes().await).contains("dead"));
}

#[tokio::test]
async fn one_that_never_answers() {
    let hanging = Backend::start("2025-11-25", |_, _| Some(Reaction::Hang)).await;
    let (_backend, gateway) = beside(&hanging.entry("bad")).await;
    good_is_untouched(&gateway).await;
}

#[tokio::test]
async fn one_that_answers_with_something_else() {
    let garbage = Backend::start("2025-11-25", |_, _| {
        Some(Reaction::Http(200, "text/html", b"<p>hello".to_vec()))
    })
    .await;
    let (_backend, gateway) = beside(&garbage.entry("bad")).await;
    good_is_untouched(&gateway).await;
}

#[tokio::test]
async fn one_that_is_forbidden() {
    for status in [401, 403, 500, 503] {
        let refusing = Backend::start("2025-11-25", move |_, _| {
            Some(Reaction::Http(status, "text/plain", b"no".to_vec()))
        })
        .await;
        let (_backend, gateway) = beside(&refusing.entry("bad")).await;
        good_is_untouched(&gateway).await;
    }
}

#[tokio::test]
async fn one_whose_program_does_not_exist_or_exits_or_prints_garbage() {
    for command in ["/no/such/program", "\"true\"", "\"yes\""] {
        let (_backend, gateway) =
            beside(&format!("  bad: {{stdio: {{command: {command}}}}}\n")).await;
        good_is_untouched(&gateway).await;
    }
}

#[tokio::test]
async fn one_that_lists_without_end() {
    let endless = Backend::start("2025-11-25", |method, params| {
        (method == "tools/list").then(|| {
            let at = params["cursor"]
                .as_str()
                .map_or(0, |cursor| cursor.parse::<u64>().unwrap());
            Reaction::Result(
                json!({"tools": [{"name": format!("t{at}"), "inputSchema": {"type": "object"}}],
                "nextCursor": (at + 1).to_string()}),
            )
        })
    })
    .await;
    let (_backend, gateway) = beside(&endless.entry("bad")).await;
    good_is_untouched(&gateway).await;
}

#[tokio::test]
async fn one_that_dies_in_the_middle_of_a_call_fails_that_call_only() {
    let (feed, fed) = mpsc::channel::<String>(1);
    let fed = std::sync::Mutex::new(Some(fed));
    let dying = Backend::start("2025-11-25", move |method, params| match method {
        "tools/call" => Some(Reaction::Stream(fed.lock().unwrap().take()?)),
        _ => good(method, params),
    })
    .await;
    let (_backend, gateway) = beside(&dying.entry("bad")).await;
    let client = Stateless::new(&gateway.url());
    client.ask("tools/list", json!({})).await;
    let call = tokio::spawn(async move {
        client
            .ask("tools/call", json!({"name": "bad__t", "arguments": {}}))
            .await
    });
    dying.saw("tools/call").await;
    drop(feed);
    let failed = tokio::time::timeout(Duration::from_secs(20), call)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(failed["result"]["isError"], true, "{failed}");
    assert!(
        failed["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("bad"),
        "{failed}"
    );
    good_is_untouched(&gateway).await;
}

#[tokio::test]
async fn one_that_ends_its_sessions_is_greeted_again_and_the_call_goes_through() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let forgetful = Backend::start("2025-11-25", move |method, params| {
        if method == "tools/call" && !lost.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Some(Reaction::Http(404, "text/plain", b"session?".to_vec()));
        }
        good(method, params)
    })
    .await;
    let (_backend, gateway) = beside(&forgetful.entry("bad")).await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    client.ask("tools/list", json!({})).await;
    let called = client
        .ask("tools/call", json!({"name": "bad__t", "arguments": {}}))
        .await;
    assert_eq!(called["result"]["content"][0]["text"], "fine", "{called}");
    assert_eq!(forgetful.count("tools/call"), 2);
}

#[tokio::test]
async fn an_error_status_of_a_backend_is_never_the_gateways_own() {
    for status in [401, 403, 404, 500] {
        let failing = Backend::start("2026-07-28", move |method, params| match method {
            "tools/call" => Some(Reaction::Http(status, "text/plain", b"no".to_vec())),
            _ => good(method, params),
        })
        .await;
        let (_backend, gateway) = beside(&failing.entry("bad")).await;
        let client = Stateless::new(&gateway.url());
        client.ask("tools/list", json!({})).await;
        let answer = client
            .post(
                "tools/call",
                json!({"name": "bad__t", "arguments": {}}),
                json!({}),
            )
            .await;
        assert_eq!(answer.status, 200, "{status}");
        let failed = answer.json().await;
        assert_eq!(failed["result"]["isError"], true, "{status}: {failed}");
    }
}

#[tokio::test]
async fn one_that_floods_its_stdout_with_messages_or_its_stderr() {
    let message = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let flood = format!("while :; do say '{message}'; done &");
    for start in [flood.as_str(), "yes >&2 &"] {
        let (folder, at) = folder();
        let backend = Backend::start("2025-11-25", good).await;
        let flooding = Child { start, ..ORDINARY };
        let fleet = format!(
            "backends:\n{}{}",
            backend.entry("good"),
            flooding.entry(&at, "bad")
        );
        let gateway = Gateway::start_in(folder, &fleet);
        good_is_untouched(&gateway).await;
        let client = Stateless::new(&gateway.url());
        let called = client
            .ask("tools/call", json!({"name": "bad__t", "arguments": {}}))
            .await;
        assert_eq!(called["result"]["content"][0]["text"], "done", "{called}");
    }
}

#[tokio::test]
async fn one_that_floods_its_event_stream() {
    let flooding = Backend::start("2025-11-25", |method, params| {
        if method != "tools/call" {
            return good(method, params);
        }
        let (feed, fed) = mpsc::channel(16);
        tokio::spawn(async move {
            let params = json!({"level": "info", "data": "x"});
            let log =
                json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params});
            while feed.send(log.to_string()).await.is_ok() {}
        });
        Some(Reaction::Stream(fed))
    })
    .await;
    let (_backend, gateway) = beside(&flooding.entry("bad")).await;
    let client = Stateless::new(&gateway.url());
    let call = tokio::spawn(async move {
        client
            .ask("tools/call", json!({"name": "bad__t", "arguments": {}}))
            .await
    });
    flooding.saw("tools/call").await;
    good_is_untouched(&gateway).await;
    call.abort();
    flooding.streams_closed(1).await;
}
