//! What bad input gets: a clear error in the caller's era with the right status, never a hang or a lost session.

use serde_json::json;

use crate::support::client::{BOTH, JSON};
use crate::support::http::send;
use crate::support::{Backend, Gateway, Reaction, Stateful, Stateless};

async fn fixture() -> (Backend, Gateway) {
    let backend = Backend::start("2025-11-25", |method, _| match method {
        "tools/list" => Some(Reaction::Result(
            json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => Some(Reaction::Result(json!({"content": []}))),
        _ => None,
    })
    .await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    (backend, gateway)
}

/// Posts `body` on a session and checks status and code; the session must work afterwards.
async fn check(client: &Stateful, body: impl Into<bytes::Bytes>, status: u16, code: i64) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
    let answer = send(
        "POST",
        &client.url,
        &[JSON, BOTH, client.id(), client.version()],
        body,
    )
    .await;
    assert_eq!(answer.status, status, "{shown}");
    let answer = answer.json().await;
    assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
    assert_ne!(
        answer["error"]["message"].as_str().unwrap_or_default(),
        "",
        "{shown}"
    );
    assert_eq!(
        client.ask("ping", json!({})).await["result"],
        json!({}),
        "{shown}"
    );
}

#[tokio::test]
async fn a_body_that_is_no_message_gets_a_json_rpc_error_and_the_session_lives_on() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    check(&client, "", 400, -32700).await;
    check(&client, "{\"jsonrpc\":\"2.0\",", 400, -32700).await;
    check(&client, "not json", 400, -32700).await;
    check(
        &client,
        &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}"[..],
        400,
        -32700,
    )
    .await;
    check(&client, "[".repeat(100_000), 400, -32700).await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#,
        "{\"a\":".repeat(200),
        "1".to_owned() + &"}".repeat(200)
    );
    check(&client, deep, 400, -32700).await;
    check(&client, "7", 400, -32600).await;
    check(&client, "{}", 400, -32600).await;
    check(
        &client,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        400,
        -32600,
    )
    .await;
    check(
        &client,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        400,
        -32600,
    )
    .await;
    check(
        &client,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        400,
        -32600,
    )
    .await;
    check(
        &client,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#,
        400,
        -32600,
    )
    .await;
    check(
        &client,
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        400,
        -32600,
    )
    .await;
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_without_reading_it_all() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#,
        "y".repeat(17 << 20)
    );
    let answer = send(
        "POST",
        &client.url,
        &[JSON, BOTH, client.id(), client.version()],
        body,
    )
    .await;
    assert_eq!(answer.status, 413);
    assert!(
        answer.json().await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("16")
    );
    assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn an_unknown_session_is_404_and_a_missing_one_400() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let without = send(
        "POST",
        &client.url,
        &[JSON, BOTH, client.version()],
        body.clone(),
    )
    .await;
    assert_eq!(without.status, 400);
    for unknown in ["nonsense", "a.b.c"] {
        let headers = [JSON, BOTH, ("mcp-session-id", unknown), client.version()];
        assert_eq!(
            send("POST", &client.url, &headers, body.clone())
                .await
                .status,
            404
        );
        assert_eq!(
            send(
                "GET",
                &client.url,
                &[("accept", "text/event-stream"), headers[2]],
                ""
            )
            .await
            .status,
            404
        );
        assert_eq!(
            send("DELETE", &client.url, &headers[2..], "").await.status,
            404
        );
    }
    assert!(client.delete().await.status.is_success());
    assert_eq!(
        send(
            "POST",
            &client.url,
            &[JSON, BOTH, client.id(), client.version()],
            body
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn a_wrong_version_header_is_400_on_a_session() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let headers = [
        JSON,
        BOTH,
        client.id(),
        ("mcp-protocol-version", "1999-01-01"),
    ];
    assert_eq!(send("POST", &client.url, &headers, body).await.status, 400);
}

#[tokio::test]
async fn headers_of_a_stateless_request_must_agree_with_its_body() {
    let (_backend, gateway) = fixture().await;
    let request = Stateless::request(
        "tools/call",
        json!({"name": "b__t", "arguments": {}}),
        json!({}),
    )
    .to_string();
    let good = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "b__t"),
    ];
    for wrong in 0..3 {
        for value in [None, Some("other")] {
            let mut headers = vec![JSON, BOTH];
            for (at, (name, right)) in good.iter().enumerate() {
                match (at == wrong, value) {
                    (true, None) => {}
                    (true, Some(value)) => headers.push((name, value)),
                    (false, _) => headers.push((name, right)),
                }
            }
            let answer = send("POST", &gateway.url(), &headers, request.clone()).await;
            assert_eq!(answer.status, 400, "{headers:?}");
            let answer = answer.json().await;
            assert_eq!(answer["error"]["code"], -32020, "{headers:?}");
            assert_eq!(answer["id"], 7);
        }
    }
    let encoded = [
        JSON,
        BOTH,
        good[0],
        good[1],
        ("mcp-name", "=?base64?Yl9fdA==?="),
    ];
    assert_eq!(
        send("POST", &gateway.url(), &encoded, request).await.status,
        200
    );
}

#[tokio::test]
async fn an_unserved_revision_names_those_that_are_served() {
    let (_backend, gateway) = fixture().await;
    let mut request = Stateless::request("tools/list", json!({}), json!({}));
    request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let headers = [
        JSON,
        BOTH,
        ("mcp-protocol-version", "2099-01-01"),
        ("mcp-method", "tools/list"),
    ];
    let answer = send("POST", &gateway.url(), &headers, request.to_string()).await;
    assert_eq!(answer.status, 400);
    let error = answer.json().await["error"].clone();
    assert_eq!(error["code"], -32022);
    assert_eq!(error["data"]["requested"], "2099-01-01");
    assert!(
        error["data"]["supported"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28"))
    );
}

#[tokio::test]
async fn an_unknown_method_is_404_for_a_stateless_client_only() {
    let (_backend, gateway) = fixture().await;
    let answer = Stateless::new(&gateway.url())
        .post("no/such", json!({}), json!({}))
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json().await["error"]["code"], -32601);
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let answer = client
        .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"}))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_response_to_nothing_and_an_unknown_notification_are_taken_and_ignored() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    for message in [
        json!({"jsonrpc": "2.0", "id": 99, "result": {}}),
        json!({"jsonrpc": "2.0", "id": "x", "error": {"code": 1, "message": "no"}}),
        json!({"jsonrpc": "2.0", "method": "notifications/whatever"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 12345}}),
    ] {
        assert_eq!(client.post(&message).await.status, 202, "{message}");
    }
    assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_batch_is_answered_under_2025_03_26_and_refused_under_every_other_revision() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-03-26").await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/whatever"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "b__t"}},
    ]);
    let answer = client.post(&batch).await;
    assert_eq!(answer.status, 200);
    let mut ids: Vec<i64> = answer
        .json()
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    let only_notifications = json!([{"jsonrpc": "2.0", "method": "notifications/whatever"}]);
    assert_eq!(client.post(&only_notifications).await.status, 202);
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = Stateful::open(&gateway.url(), revision).await;
        assert_eq!(client.post(&batch).await.status, 400, "{revision}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_tampered_with_is_refused() {
    let (_backend, gateway) = fixture().await;
    let stateless = Stateless::new(&gateway.url());
    for cursor in ["", "x", "AAAA", "MTIz"] {
        let answer = stateless.ask("tools/list", json!({"cursor": cursor})).await;
        assert_eq!(answer["error"]["code"], -32602, "{cursor:?}: {answer}");
    }
}

#[tokio::test]
async fn a_foreign_origin_or_host_is_refused_on_every_method() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    for header in [("origin", "http://evil.example"), ("host", "evil.example")] {
        for method in ["POST", "GET", "DELETE", "OPTIONS"] {
            let answer = send(
                method,
                &gateway.url(),
                &[JSON, BOTH, client.id(), header],
                "{}",
            )
            .await;
            assert_eq!(answer.status, 403, "{method} {header:?}");
        }
        let answer = send("GET", &gateway.at("/mcp/sse"), &[header], "").await;
        assert_eq!(answer.status, 403, "sse {header:?}");
    }
    assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_browser_from_an_allowed_origin_is_let_through_its_preflight() {
    let (_backend, gateway) = fixture().await;
    let origin = ("origin", "http://localhost:6274");
    let headers = [
        origin,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id",
        ),
    ];
    let answer = send("OPTIONS", &gateway.url(), &headers, "").await;
    assert!(answer.status.is_success());
    assert_eq!(answer.header("access-control-allow-origin"), origin.1);
    let allowed = answer
        .header("access-control-allow-headers")
        .to_ascii_lowercase();
    assert!(
        allowed == "*" || allowed.contains("mcp-session-id"),
        "{allowed}"
    );
    let request = Stateless::request("tools/list", json!({}), json!({})).to_string();
    let headers = [
        JSON,
        BOTH,
        origin,
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/list"),
    ];
    let answer = send("POST", &gateway.url(), &headers, request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), origin.1);
    assert!(
        answer
            .header("access-control-expose-headers")
            .to_ascii_lowercase()
            .contains("mcp-session-id")
    );
}

#[tokio::test]
async fn an_unknown_path_and_method_say_where_to_go() {
    let (_backend, gateway) = fixture().await;
    let answer = send("POST", &gateway.at("/elsewhere"), &[JSON], "{}").await;
    assert_eq!(answer.status, 404);
    let answer = send("PUT", &gateway.url(), &[JSON], "{}").await;
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").contains("POST"));
}

#[tokio::test]
async fn health_and_readiness_answer() {
    let (_backend, gateway) = fixture().await;
    for path in ["/healthz", "/readyz"] {
        let answer = send("GET", &gateway.at(path), &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
