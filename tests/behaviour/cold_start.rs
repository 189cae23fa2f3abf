//! A backend that is slow to start: first requests wait for it, and what comes later is announced.

use std::sync::Mutex;

use serde_json::json;
use tokio::sync::mpsc;

use crate::support::offering::{keys, offering, text, tools};
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction, Stateful, Stateless};

/// A backend whose first `tools/list` is answered when the test says so.
async fn held_back(revision: &'static str) -> (Backend, mpsc::Sender<String>) {
    let (feed, fed) = mpsc::channel(1);
    let fed = Mutex::new(Some(fed));
    let inner = offering("late", json!({"tools": tools(&["t"])}));
    let backend = Backend::start(revision, move |method, params| match method {
        "tools/list" => fed
            .lock()
            .unwrap()
            .take()
            .map(Reaction::Stream)
            .or_else(|| inner(method, params)),
        _ => inner(method, params),
    })
    .await;
    (backend, feed)
}

/// What it then says.
const LATE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":$id,"result":{"resultType":"complete","ttlMs":60000,"cacheScope":"public","#,
    r#""tools":[{"name":"t","inputSchema":{"type":"object"}}]}}"#
);

#[tokio::test]
async fn a_first_list_waits_for_a_backend_that_is_starting() {
    for revision in BACKEND_REVISIONS {
        let (slow, feed) = held_back(revision).await;
        let quick = Backend::start(
            "2025-11-25",
            offering("quick", json!({"tools": tools(&["t"])})),
        )
        .await;
        let fleet = format!(
            "routes:\n  /mcp: {{cold_start: 1min}}\nbackends:\n{}{}",
            slow.entry("slow"),
            quick.entry("quick")
        );
        let gateway = Gateway::start(&fleet);
        let client = Stateless::new(&gateway.url());
        let listing = tokio::spawn(async move { client.ask("tools/list", json!({})).await });
        slow.saw("tools/list").await;
        quick.saw("tools/list").await;
        assert!(!listing.is_finished());
        feed.send(LATE.to_owned()).await.unwrap();
        assert_eq!(
            keys(&listing.await.unwrap()),
            ["slow__t", "quick__t"],
            "{revision}"
        );
    }
}

#[tokio::test]
async fn a_backend_that_comes_too_late_for_the_first_list_is_announced() {
    for revision in BACKEND_REVISIONS {
        let (slow, feed) = held_back(revision).await;
        let quick = Backend::start(
            "2025-11-25",
            offering("quick", json!({"tools": tools(&["t"])})),
        )
        .await;
        let fleet = format!(
            "routes:\n  /mcp: {{cold_start: 500ms}}\nbackends:\n{}{}",
            slow.entry("slow"),
            quick.entry("quick")
        );
        let gateway = Gateway::start(&fleet);
        let stateless = Stateless::new(&gateway.url());
        // From here on there is only one thing left to announce.
        while keys(&stateless.ask("tools/list", json!({})).await) != ["quick__t"] {}
        let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
        let stream = stateful.listen().await;
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let mut listen = stateless
            .post("subscriptions/listen", filter, json!({}))
            .await;
        listen.event().await.unwrap();
        slow.saw("tools/list").await;
        feed.send(LATE.to_owned()).await.unwrap();
        for mut heard in [stream, listen] {
            assert_eq!(
                heard.event().await.unwrap()["method"],
                "notifications/tools/list_changed"
            );
            assert_eq!(
                keys(&stateful.ask("tools/list", json!({})).await),
                ["slow__t", "quick__t"]
            );
        }
    }
}

#[tokio::test]
async fn a_call_of_a_tool_that_is_not_yet_listed_waits_for_its_backend() {
    let (slow, feed) = held_back("2025-11-25").await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{cold_start: 1min}}\nbackends:\n{}",
        slow.entry("slow")
    ));
    let client = Stateless::new(&gateway.url());
    let call = tokio::spawn(async move {
        client
            .ask("tools/call", json!({"name": "slow__t", "arguments": {}}))
            .await
    });
    slow.saw("tools/list").await;
    feed.send(LATE.to_owned()).await.unwrap();
    assert_eq!(text(&call.await.unwrap()), "late: t");
}
