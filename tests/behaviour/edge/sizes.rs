//! What is too long or too slow is refused on its own, and nobody else waits for it.

use futures_util::future::join_all;
use serde_json::json;

use super::wire::{exchange, statuses};
use crate::support::{Gateway, Stateful};

const POST: &str = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_read_to_its_end() {
    let gateway = Gateway::start("bounds: {request_read: 1s}\nbackends: {}");
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let many = |count: usize| "X-Many: x\r\n".repeat(count);
    let long = "y".repeat(70 << 10);
    let mut others = Vec::new();
    for (what, request, expected) in [
        ("a path", format!("GET /{long} HTTP/1.1\r\n"), 431),
        ("a header", format!("{POST}X-Long: {long}\r\n\r\n"), 431),
        (
            "a name of a header",
            format!("{POST}{long}: x\r\n\r\n"),
            431,
        ),
        ("headers", format!("{POST}{}\r\n", many(10_000)), 431),
        (
            "a session",
            format!(
                "{POST}Connection: close\r\nMcp-Session-Id: {}\r\nContent-Length: {}\r\n\r\n{PING}",
                &long[..60 << 10],
                PING.len()
            ),
            404,
        ),
        // Nothing of these bodies is sent: the announcement is enough.
        (
            "a body that is announced",
            format!("{POST}Content-Length: 17000000\r\n\r\n"),
            413,
        ),
        (
            "a body that asks first",
            format!("{POST}Expect: 100-continue\r\nContent-Length: 17000000\r\n\r\n"),
            413,
        ),
        (
            "a body in pieces",
            format!(
                "{POST}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
                17 << 20,
                " ".repeat(17 << 20)
            ),
            413,
        ),
    ] {
        let said = exchange(&gateway, request).await;
        if statuses(&said) != [expected] {
            others.push((what, expected, said));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn whoever_is_slow_waits_alone_and_not_for_long() {
    let gateway = Gateway::start("bounds: {request_read: 1s}\nbackends: {}");
    let begun = [
        String::new(),
        "P".to_owned(),
        POST.to_owned(),
        format!("{POST}Content-Length: 10\r\n\r\n{{"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\n{{"),
        "PRI * HTTP/2.0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    let slow =
        join_all((0..80).map(|number| exchange(&gateway, begun[number % begun.len()].clone())));
    let quick = async {
        for _ in 0..20 {
            let client = Stateful::open(&gateway.url(), "2025-11-25").await;
            assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
        }
    };
    let (closed, ()) = tokio::join!(slow, quick);
    for said in closed {
        assert!(!said.contains(" 200 "), "{said}");
    }
}
