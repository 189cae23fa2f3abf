//! Header hygiene: each side hears of the other what the protocol has, and nothing that belongs to one hop or one party.

use serde_json::json;

use crate::authentication::visitor::{Visitor, new_key};
use crate::support::client::{BOTH, JSON};
use crate::support::http::{Answer, send};
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

/// What a client, or a proxy before the gateway, may say of itself, and no backend has to know.
const OF_CALLERS: [(&str, &str); 17] = [
    ("cookie", "session=callers-own"),
    ("x-api-key", "callers-own"),
    ("proxy-authorization", "Basic callers-own"),
    ("forwarded", "for=192.0.2.1;proto=https"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-user", "callers-own"),
    ("x-real-ip", "192.0.2.1"),
    ("x-remote-user", "callers-own"),
    ("x-client-cert", "callers-own"),
    ("via", "1.1 proxy"),
    ("connection", "x-of-this-hop"),
    ("x-of-this-hop", "callers-own"),
    ("te", "trailers"),
    ("dpop", "callers-own"),
    ("user-agent", "callers-own"),
];

/// What a request to a backend consists of.
const TO_BACKENDS: [&str; 11] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "user-agent",
];

/// What a backend may say of itself, and no client has to know.
const OF_BACKENDS: [(&str, &str); 12] = [
    ("set-cookie", "session=backends-own"),
    ("www-authenticate", "Bearer realm=\"backends-own\""),
    ("proxy-authenticate", "Basic realm=\"backends-own\""),
    ("authorization", "backends-own"),
    ("location", "http://backends-own.example/"),
    ("server", "backends-own"),
    ("x-powered-by", "backends-own"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("strict-transport-security", "max-age=1"),
    ("alt-svc", "h2=\"backends-own.example\""),
    ("x-of-that-hop", "backends-own"),
];

/// What a response to a client consists of.
const TO_CLIENTS: [&str; 9] = [
    "allow",
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "x-accel-buffering",
];

async fn backend(revision: &'static str) -> Backend {
    let backend = Backend::start(revision, offering("b", json!({"tools": tools(&["a"])}))).await;
    backend.says_beside(&OF_BACKENDS);
    backend
}

fn is_clean(answer: &Answer) {
    for name in answer.headers.keys() {
        assert!(
            TO_CLIENTS.contains(&name.as_str()),
            "a client hears of `{name}`: {:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn nothing_of_a_caller_reaches_a_backend_and_nothing_of_a_backend_a_caller() {
    let key = new_key("anna", &[]);
    let (older, newer, oldest) = (
        backend("2025-11-25").await,
        backend("2026-07-28").await,
        backend("2024-11-05").await,
    );
    let gateway = Gateway::start(&format!(
        "authentication: [api_keys: {{}}]\n{}backends:\n{}{}{}",
        key.snippet,
        older.entry("older"),
        newer.entry("newer"),
        oldest.sse_entry("oldest"),
    ));
    let mut shown: Vec<(String, String)> = OF_CALLERS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    shown.push(("authorization".to_owned(), format!("Bearer {}", key.key)));
    let visitor = Visitor::showing(&gateway.url(), &shown);
    let client = visitor.open().await;
    for name in ["older__a", "newer__a", "oldest__a"] {
        let params = json!({"name": name, "arguments": {}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let stateful = client.post(&message).await;
        is_clean(&stateful);
        assert_eq!(
            stateful.json().await["result"]["content"][0]["text"],
            "b: a"
        );
        let stateless = visitor.stateless("tools/call", params, json!({})).await;
        is_clean(&stateless);
        assert_eq!(
            stateless.json().await["result"]["content"][0]["text"],
            "b: a"
        );
    }
    is_clean(&client.listen().await);
    is_clean(&client.delete().await);
    for (name, backend) in [("older", &older), ("newer", &newer), ("oldest", &oldest)] {
        backend.counted("tools/call", 2).await;
        for seen in backend.seen() {
            for (header, value) in &seen.headers {
                let value = value.to_str().unwrap();
                assert!(
                    TO_BACKENDS.contains(&header.as_str())
                        && !value.contains("callers-own")
                        && !value.contains(&key.key)
                        && !value.contains("backends-own"),
                    "`{name}` hears `{header}: {value}`"
                );
            }
            assert!(!seen.text.contains(&key.key) && !seen.text.contains("callers-own"));
        }
    }
    assert!(!gateway.log().contains(&key.key) && !gateway.log().contains("callers-own"));
}

#[tokio::test]
async fn what_a_backend_refuses_with_is_not_what_the_caller_is_refused_with() {
    for revision in ["2025-11-25", "2026-07-28"] {
        let backend = backend(revision).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let visitor = Visitor::showing(&gateway.url(), &[]);
        visitor
            .stateless("tools/list", json!({}), json!({}))
            .await
            .json()
            .await;
        backend.is_guarded_by(|_| Some((401, "Bearer realm=\"backends-own\"".to_owned())));
        let params = json!({"name": "b__a", "arguments": {}});
        let answer = visitor.stateless("tools/call", params, json!({})).await;
        assert_eq!(answer.status, 200);
        is_clean(&answer);
        assert!(!answer.json().await.to_string().contains("backends-own"));
    }
}

#[tokio::test]
async fn a_page_of_another_name_is_not_let_in_by_a_name_that_leads_here() {
    // What a browser sends after the name of the page has been pointed at this machine, and before.
    let gateway = Gateway::start("backends: {}");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for path in [
        "/mcp",
        "/mcp/sse",
        "/mcp/messages",
        "/.well-known/oauth-protected-resource",
        "/",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            for (name, value) in [
                ("host", "evil.example"),
                ("host", "localhost.evil.example"),
                ("host", "127.0.0.1.evil.example:80"),
                ("origin", "http://evil.example"),
                ("origin", "null"),
                ("origin", "http://localhost.evil.example"),
            ] {
                let headers = [JSON, BOTH, (name, value)];
                let answer = send(method, &gateway.at(path), &headers, body.clone()).await;
                assert_eq!(answer.status, 403, "{method} {path} {name}: {value}");
                assert_eq!(answer.header("access-control-allow-origin"), "");
            }
        }
    }
}
