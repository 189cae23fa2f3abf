//! A changed config takes effect without a restart, and live sessions see it; a wrong one changes nothing.

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, Reaction, Stateful, Stateless};

async fn backend_with(tool: &'static str) -> Backend {
    Backend::start("2025-11-25", move |method, _| match method {
        "tools/list" => Some(Reaction::Result(
            json!({"tools": [{"name": tool, "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => Some(Reaction::Result(json!({"content": []}))),
        _ => None,
    })
    .await
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

/// Waits for the next `tools/list_changed` and what the list then is, until it is `expected`.
async fn becomes(client: &Stateful, stream: &mut crate::support::http::Answer, expected: &[&str]) {
    while names(&client.ask("tools/list", json!({})).await) != expected {
        let heard = stream.event().await.expect("the stream stays open");
        assert!(
            heard["method"].as_str().unwrap().ends_with("list_changed"),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn a_live_session_sees_backends_come_and_go() {
    let (one, two) = (backend_with("first").await, backend_with("second").await);
    let gateway = Gateway::start(&format!("backends:\n{}", one.entry("one")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    assert_eq!(
        names(&client.ask("tools/list", json!({})).await),
        ["one__first"]
    );
    let mut stream = client.listen().await;
    gateway.rewrite_config(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    becomes(&client, &mut stream, &["one__first", "two__second"]).await;
    gateway.rewrite_config(&format!("backends:\n{}", two.entry("two")));
    becomes(&client, &mut stream, &["two__second"]).await;
    let gone = client
        .ask("tools/call", json!({"name": "one__first"}))
        .await;
    assert_eq!(gone["error"]["code"], -32602, "{gone}");
    let there = client
        .ask("tools/call", json!({"name": "two__second"}))
        .await;
    assert_eq!(there["result"]["content"], json!([]), "{there}");
}

#[tokio::test]
async fn a_backend_whose_settings_did_not_change_keeps_its_session() {
    let (one, two) = (backend_with("first").await, backend_with("second").await);
    let gateway = Gateway::start(&format!("backends:\n{}", one.entry("one")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    client
        .ask("tools/call", json!({"name": "one__first"}))
        .await;
    let greeted = one.count("initialize");
    let mut stream = client.listen().await;
    gateway.rewrite_config(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    becomes(&client, &mut stream, &["one__first", "two__second"]).await;
    client
        .ask("tools/call", json!({"name": "one__first"}))
        .await;
    assert_eq!(one.count("initialize"), greeted);
    assert!(
        !one.seen()
            .iter()
            .any(|seen| seen.http == http::Method::DELETE)
    );
}

#[tokio::test]
async fn a_stateless_listener_hears_of_a_reload() {
    let (one, two) = (backend_with("first").await, backend_with("second").await);
    let gateway = Gateway::start(&format!("backends:\n{}", one.entry("one")));
    let client = Stateless::new(&gateway.url());
    client.ask("tools/list", json!({})).await;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listen = client.post("subscriptions/listen", filter, json!({})).await;
    listen.event().await.unwrap();
    gateway.rewrite_config(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    while names(&client.ask("tools/list", json!({})).await).len() < 2 {
        assert_eq!(
            listen.event().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
}

#[tokio::test]
async fn a_wrong_config_changes_nothing_and_says_why() {
    let one = backend_with("first").await;
    let fleet = format!("backends:\n{}", one.entry("one"));
    let gateway = Gateway::start(&fleet);
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    client.ask("tools/list", json!({})).await;
    gateway.rewrite_config("backends:\n  one:\n    htttp: {urls: [http://127.0.0.1:1/mcp]}");
    gateway.logs("unknown key").await;
    assert_eq!(
        names(&client.ask("tools/list", json!({})).await),
        ["one__first"]
    );
    // The next good one is taken again.
    let two = backend_with("second").await;
    let mut stream = client.listen().await;
    gateway.rewrite_config(&format!("{fleet}{}", two.entry("two")));
    becomes(&client, &mut stream, &["one__first", "two__second"]).await;
}

#[tokio::test]
async fn a_hangup_signal_reloads_too() {
    let one = backend_with("first").await;
    let gateway = Gateway::start(&format!("backends:\n{}", one.entry("one")));
    gateway.signal("HUP");
    gateway.logs("nothing in the config has changed").await;
}

#[tokio::test]
async fn a_changed_view_of_a_route_reaches_live_sessions() {
    let one = backend_with("first").await;
    let fleet = format!("backends:\n{}", one.entry("one"));
    let gateway = Gateway::start(&format!("routes:\n  /mcp: {{}}\n{fleet}"));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    assert_eq!(
        names(&client.ask("tools/list", json!({})).await),
        ["one__first"]
    );
    let mut stream = client.listen().await;
    gateway.rewrite_config(&format!(
        "routes:\n  /mcp:\n    tools: {{rename: {{one__first: better}}}}\n{fleet}"
    ));
    becomes(&client, &mut stream, &["better"]).await;
    let called = client.ask("tools/call", json!({"name": "better"})).await;
    assert_eq!(called["result"]["content"], json!([]), "{called}");
}
