//! A path means what it says: no spelling of a guarded route leads there past its guard, or anywhere else.

use super::wire::{exchange, statuses};
use crate::authentication::visitor::new_key;
use crate::support::{Gateway, Stateless};

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_its_guard() {
    let key = new_key("anna", &[]);
    let gateway = Gateway::start(&format!(
        "{}routes:\n  /open: {{}}\n  /mcp: {{authentication: [api_keys: {{}}]}}\nbackends: {{}}",
        key.snippet
    ));
    let body =
        Stateless::request("tools/list", serde_json::json!({}), serde_json::json!({})).to_string();
    let ask = async |target: &str| {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/list\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let said = exchange(&gateway, request).await;
        let [status] = statuses(&said)[..] else {
            panic!("{target}: {said}");
        };
        status
    };
    assert_eq!(ask("/open").await, 200);
    for guarded in [
        "/mcp",
        "/mcp/",
        "/mcp?",
        "/mcp?/open",
        "/mcp/?x=/../open",
        "http://localhost/mcp",
        "http://localhost:1/mcp?x",
    ] {
        assert_eq!(ask(guarded).await, 401, "{guarded}");
    }
    for nowhere in [
        "//mcp",
        "/mcp//",
        "///mcp",
        "/./mcp",
        "/mcp/.",
        "/mcp/../mcp",
        "/open/../mcp",
        "/open/%2e%2e/mcp",
        "/open/..%2fmcp",
        "/open%2f..%2fmcp",
        "/open/..;/mcp",
        "/%6dcp",
        "/mcp%2f",
        "/mcp%00",
        "/mcp;x=y",
        "/mcp%3fx",
        "/MCP",
        "/Mcp",
        "/mcp/mcp",
        "/open/mcp",
        "/mcp/x",
        "/",
        "/.well-known/../mcp",
        "/healthz/../mcp",
        "/mcp\\",
    ] {
        assert_eq!(ask(nowhere).await, 404, "{nowhere}");
    }
    // Fragments stay with the client; one that is sent all the same says nothing.
    assert_eq!(ask("/mcp#/open").await, 401);
    for refused in ["mcp", "\\mcp", "/m cp", "/m\u{0}cp"] {
        let status = ask(refused).await;
        assert!(matches!(status, 400 | 403), "{refused}: {status}");
    }
    assert_eq!(ask("http://evil.example/open").await, 403);
}
