//! What bad input gets: a clear JSON-RPC error with the right status, and nothing else breaks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_config::Bounds;
use serde_json::json;
use support::{Setup, start, start_with, stateful, stateless};

#[tokio::test]
async fn what_is_not_a_message_is_refused() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#,
        "{\"a\":".repeat(100_000),
        "1".to_owned() + &"}".repeat(100_000)
    );
    for (body, code, id) in [
        ("", -32700, json!(null)),
        ("{", -32700, json!(null)),
        ("not json", -32700, json!(null)),
        ("{}", -32600, json!(null)),
        ("7", -32600, json!(null)),
        (
            r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#,
            -32600,
            json!(7),
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            -32600,
            json!(null),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"ping"}"#,
            -32600,
            json!(7),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":1}"#,
            -32600,
            json!(7),
        ),
        (deep.as_str(), -32700, json!(null)),
    ] {
        let answer = client.post(body).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!(answer.status, 400, "{shown}");
        let answer = answer.json().await;
        assert_eq!(answer["error"]["code"], code, "{shown}");
        assert_eq!(answer["id"], id, "{shown}");
    }
    assert_eq!(client.post(&stateful("1", "ping", "{}")).await.status, 200);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec();
    let answer = client.send("POST", body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.code().await, -32700);
}

#[tokio::test]
async fn parameters_of_the_wrong_shape_are_named() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    for (method, params) in [
        ("tools/call", "{}"),
        ("tools/call", r#"{"name":7}"#),
        ("tools/call", "[]"),
        ("resources/read", "{}"),
        ("completion/complete", r#"{"ref":{"type":"ref/x"}}"#),
        ("tools/list", r#"{"cursor":1}"#),
        ("tools/call", r#"{"name":"a","name":"b"}"#),
        ("tools/call", r#"{"name":"a","_meta":{"progressToken":{}}}"#),
    ] {
        let answer = client.post(&stateful("1", method, params)).await;
        assert_eq!(answer.status, 200, "{method} {params}");
        assert_eq!(answer.code().await, -32602, "{method} {params}");
        let client = gateway.client().stateless(method, "");
        let answer = client
            .post(&stateless("1", method, params.replace("[]", "{}").as_str()))
            .await;
        assert!(matches!(answer.status, 200 | 400), "{method} {params}");
        assert_eq!(answer.code().await, -32602, "{method} {params}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_announced_or_not() {
    let gateway = start_with(Setup {
        bounds: Bounds {
            body: 1000,
            ..Bounds::default()
        },
        ..Setup::default()
    })
    .await;
    let client = gateway.client();
    let long = stateful(
        "1",
        "tools/list",
        &format!(r#"{{"x":"{}"}}"#, "y".repeat(2000)),
    );
    let answer = client.post(&long).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.code().await, -32600);
    let answer = client.chunked(&long).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_client_that_is_still_writing_gets_the_refusal_all_the_same() {
    let gateway = start_with(Setup {
        bounds: Bounds {
            body: 4 << 20,
            ..Bounds::default()
        },
        ..Setup::default()
    })
    .await;
    let client = gateway.client();
    let long = stateful(
        "1",
        "tools/list",
        &format!(r#"{{"x":"{}"}}"#, "y".repeat(12 << 20)),
    );
    for _ in 0..5 {
        assert_eq!(client.post(&long).await.status, 413);
        assert_eq!(client.chunked(&long).await.status, 413);
    }
}

#[tokio::test]
async fn headers_beyond_the_bound_are_refused() {
    let gateway = start().await;
    let client = gateway.client().with("x-filler", &"x".repeat(70_000));
    let answer = client.post(&stateful("1", "ping", "{}")).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let gateway = start().await;
    let ping = stateful("1", "ping", "{}");
    let text = gateway.client().with("content-type", "text/plain");
    let answer = text.post(&ping).await;
    assert_eq!(answer.status, 415);
    assert_eq!(answer.code().await, -32600);
    let json_only = gateway.client().with("accept", "application/json");
    let answer = json_only.post(&ping).await;
    assert_eq!(answer.status, 406);
    assert_eq!(answer.code().await, -32600);
    assert_eq!(json_only.get().await.status, 406);
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let gateway = start().await;
    let answer = gateway.client().send("PUT", "{}").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET, POST, DELETE, OPTIONS"));
    let answer = gateway.client().at("/elsewhere").post("{}").await;
    assert_eq!(answer.status, 404);
    let message = answer.json().await["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("/mcp"), "{message}");
    assert_eq!(gateway.client().at("/mcp/").post("{}").await.status, 400);
}

#[tokio::test]
async fn initialize_with_parameters_of_the_wrong_shape_opens_nothing() {
    let gateway = start().await;
    let huge = format!(
        r#"{{"protocolVersion":"2025-06-18","capabilities":{{"x":"{}"}}}}"#,
        "y".repeat(20_000)
    );
    for params in [
        "{}",
        "[]",
        r#"{"protocolVersion":7}"#,
        r#"{"protocolVersion":"2025-06-18","capabilities":[]}"#,
        &huge,
    ] {
        let answer = gateway
            .client()
            .post(&stateful("1", "initialize", params))
            .await;
        let shown = &params[..params.len().min(80)];
        assert_eq!(answer.code().await, -32602, "{shown}");
    }
    assert!(gateway.clients.sessions().is_empty());
}
