//! Who may call by its `Host` and `Origin`, and what a browser is told.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_config::{HostPattern, OriginPattern};
use support::{Setup, start, start_with, stateful};

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_face() {
    let gateway = start().await;
    let ping = stateful("1", "ping", "{}");
    for path in ["/mcp", "/mcp/sse", "/mcp/messages", "/elsewhere"] {
        let client = gateway.client().at(path);
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "",
        ] {
            let answer = client.with("host", host).post(&ping).await;
            assert_eq!(answer.status, 403, "{path} {host}");
            assert_eq!(answer.code().await, -32600);
        }
    }
    for host in ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80"] {
        let answer = gateway.client().with("host", host).post(&ping).await;
        assert_eq!(answer.status, 400, "no session, but let in: {host}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_one_of_an_allowed_origin_may_read() {
    let gateway = start_with(Setup {
        listener: Box::new(|listener| {
            listener
                .allowed_hosts
                .push(HostPattern::parse("mcp.example").unwrap());
            listener
                .allowed_origins
                .push(OriginPattern::parse("https://app.example").unwrap());
        }),
        ..Setup::default()
    })
    .await;
    let ping = stateful("1", "ping", "{}");
    let client = gateway.client().with("host", "mcp.example");
    for origin in [
        "http://evil.example",
        "null",
        "https://app.example.evil.example",
    ] {
        let answer = client.with("origin", origin).post(&ping).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    for origin in [
        "https://app.example",
        "http://localhost:6274",
        "http://127.0.0.1:3000",
    ] {
        let answer = client.with("origin", origin).post(&ping).await;
        assert_eq!(answer.status, 400, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("mcp-session-id") && exposed.contains("www-authenticate"));
    }
}

#[tokio::test]
async fn a_preflight_lets_the_page_send_what_mcp_needs() {
    let gateway = start().await;
    let client = gateway
        .client()
        .with("origin", "http://localhost:6274")
        .with("access-control-request-method", "POST")
        .with(
            "access-control-request-headers",
            "content-type,mcp-param-region",
        )
        .with("access-control-request-private-network", "true");
    let answer = client.send("OPTIONS", "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:6274")
    );
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("POST") && methods.contains("DELETE"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type,mcp-param-region")
    );
    assert_eq!(
        answer.header("access-control-allow-private-network"),
        Some("true")
    );
    let foreign = client.with("origin", "http://evil.example");
    assert_eq!(foreign.send("OPTIONS", "").await.status, 403);
}

#[tokio::test]
async fn health_is_told_to_anybody() {
    let gateway = start().await;
    let probe = gateway.client().with("host", "10.0.0.7:8080");
    let healthy = probe.at("/healthz").get().await;
    assert_eq!(
        (healthy.status, healthy.text().await.as_str()),
        (200, "ok\n")
    );
    let ready = probe.at("/readyz").get().await;
    assert_eq!(
        (ready.status, ready.text().await.as_str()),
        (503, "starting\n")
    );
}
