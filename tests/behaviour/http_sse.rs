//! HTTP+SSE of 2024-11-05: clients that speak it, in front of backends of every revision.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::client::JSON;
use crate::support::http::send;
use crate::support::offering::{keys, offering, prompts, resources, templates, text, tools};
use crate::support::sse::SseClient;
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction};

fn shelf(method: &str, params: &Value) -> Option<Reaction> {
    let lists = json!({
        "tools": tools(&["t"]), "prompts": prompts(&["p"]),
        "resources": resources(&["doc://a"]), "resourceTemplates": templates(&["doc://{x}"]),
    });
    offering("b", lists)(method, params)
}

async fn fixture(
    revision: &'static str,
    script: fn(&str, &Value) -> Option<Reaction>,
) -> (Backend, Gateway) {
    let backend = Backend::start(revision, script).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    (backend, gateway)
}

#[tokio::test]
async fn a_client_lists_calls_reads_and_completes_over_its_two_paths() {
    for revision in BACKEND_REVISIONS {
        let (_backend, gateway) = fixture(revision, shelf).await;
        let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
        for (method, expected) in [
            ("tools/list", "b__t"),
            ("prompts/list", "b__p"),
            ("resources/list", "doc://a"),
            ("resources/templates/list", "doc://{x}"),
        ] {
            assert_eq!(
                keys(&client.ask(method, json!({})).await),
                [expected],
                "{revision}"
            );
        }
        let reference = json!({"type": "ref/prompt", "name": "b__p"});
        let complete = json!({"ref": reference, "argument": {"name": "x", "value": "y"}});
        for (method, params, expected) in [
            (
                "tools/call",
                json!({"name": "b__t", "arguments": {}}),
                "b: t",
            ),
            ("prompts/get", json!({"name": "b__p"}), "b: p"),
            ("resources/read", json!({"uri": "doc://b"}), "b: doc://b"),
            ("completion/complete", complete, "b: p"),
        ] {
            let answer = client.ask(method, params).await;
            assert_eq!(text(&answer), expected, "{revision}");
            assert!(answer["result"].get("resultType").is_none(), "{answer}");
        }
        assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
        let unknown = client.ask("tools/call", json!({"name": "nobody"})).await;
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    }
}

#[tokio::test]
async fn progress_comes_on_the_stream_under_the_clients_own_token() {
    let script = |method: &str, params: &Value| {
        if method != "tools/call" {
            return shelf(method, params);
        }
        let (feed, fed) = mpsc::channel(4);
        let progress =
            json!({"progressToken": params["_meta"]["progressToken"], "progress": 0.5, "total": 1});
        let progress =
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress});
        feed.try_send(progress.to_string()).unwrap();
        let result =
            r#"{"jsonrpc":"2.0","id":$id,"result":{"content":[],"resultType":"complete"}}"#;
        feed.try_send(result.to_owned()).unwrap();
        Some(Reaction::Stream(fed))
    };
    for revision in BACKEND_REVISIONS {
        let (_backend, gateway) = fixture(revision, script).await;
        let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
        let params = json!({"name": "b__t", "arguments": {}, "_meta": {"progressToken": "mine"}});
        assert_eq!(
            client.ask("tools/call", params).await["result"]["content"],
            json!([])
        );
        let expected = json!({"progressToken": "mine", "progress": 0.5, "total": 1});
        let progress = |message: &&Value| message["method"] == "notifications/progress";
        let before: Vec<_> = client.unasked().iter().filter(progress).collect();
        assert_eq!(before.len(), 1, "{revision}: {before:?}");
        assert_eq!(before[0]["params"], expected, "{revision}");
    }
}

#[tokio::test]
async fn changes_and_updates_come_on_the_stream() {
    for revision in BACKEND_REVISIONS {
        let (backend, gateway) = fixture(revision, shelf).await;
        let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
        client.ask("tools/list", json!({})).await;
        assert_eq!(
            client
                .ask("resources/subscribe", json!({"uri": "doc://a"}))
                .await["result"],
            json!({})
        );
        backend.is_listened_to().await;
        backend
            .announce("notifications/tools/list_changed", json!({}))
            .await;
        client.notified("notifications/tools/list_changed").await;
        backend
            .announce("notifications/resources/updated", json!({"uri": "doc://a"}))
            .await;
        let updated = client.notified("notifications/resources/updated").await;
        assert_eq!(updated["params"]["uri"], "doc://a", "{revision}");
    }
}

#[tokio::test]
async fn cancelling_reaches_the_backend() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" => Some(Reaction::Hang),
        _ => shelf(method, params),
    };
    for revision in BACKEND_REVISIONS {
        let (backend, gateway) = fixture(revision, script).await;
        let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
        let params = json!({"name": "b__t", "arguments": {}});
        client
            .say(&json!({"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": params}))
            .await;
        let called = backend.saw("tools/call").await.message;
        let params = json!({"requestId": "mine"});
        client
            .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
        if revision == "2026-07-28" {
            backend.streams_closed(1).await;
        } else {
            let cancelled = backend.saw("notifications/cancelled").await.message;
            assert_eq!(cancelled["params"]["requestId"], called["id"]);
        }
        assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
    }
}

#[tokio::test]
async fn losing_the_stream_ends_the_session_here_and_at_the_backend() {
    let (backend, gateway) = fixture("2025-11-25", shelf).await;
    let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
    client
        .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
        .await;
    let session = backend.saw("tools/call").await.headers["mcp-session-id"].clone();
    let endpoint = client.endpoint.clone();
    drop(client);
    let deleted = backend
        .saw_where(|seen| seen.http == http::Method::DELETE)
        .await;
    assert_eq!(deleted.headers["mcp-session-id"], session);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    assert_eq!(send("POST", &endpoint, &[JSON], ping).await.status, 404);
}

#[tokio::test]
async fn a_session_that_is_not_there_or_belongs_to_another_route_is_refused() {
    let backend = Backend::start("2025-11-25", shelf).await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{}}\n  /other: {{}}\nbackends:\n{}",
        backend.entry("b")
    ));
    let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
    let call =
        json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "b__t"}})
            .to_string();
    let elsewhere = client.endpoint.replace("/mcp/messages", "/other/messages");
    assert_ne!(elsewhere, client.endpoint);
    let invented = format!(
        "{}0000",
        client.endpoint.split_at(client.endpoint.len() - 4).0
    );
    let none = gateway.at("/mcp/messages");
    for wrong in [&elsewhere, &invented, &none, &format!("{none}?session=")] {
        assert_eq!(
            send("POST", wrong, &[JSON], call.clone()).await.status,
            404,
            "{wrong}"
        );
    }
    assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
    assert_eq!(backend.count("tools/call"), 0);
}

#[tokio::test]
async fn what_is_no_message_is_answered_on_the_stream_and_the_session_lives_on() {
    let (_backend, gateway) = fixture("2025-11-25", shelf).await;
    let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
    for (body, code) in [
        ("not json", -32700),
        ("7", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
    ] {
        let answer = send("POST", &client.endpoint, &[JSON], body).await;
        assert!([202, 400].contains(&answer.status.as_u16()), "{body}");
        let refused = client
            .hear_where(|message| message.get("error").is_some())
            .await;
        assert_eq!(refused["error"]["code"], code, "{body}: {refused}");
    }
    assert_eq!(keys(&client.ask("tools/list", json!({})).await), ["b__t"]);
}

#[tokio::test]
async fn a_route_can_do_without_it() {
    let backend = Backend::start("2025-11-25", shelf).await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{legacy_sse: false}}\nbackends:\n{}",
        backend.entry("b")
    ));
    let refused = send(
        "GET",
        &gateway.at("/mcp/sse"),
        &[("accept", "text/event-stream")],
        "",
    )
    .await;
    assert_eq!(refused.status, 404);
    assert_eq!(
        send(
            "POST",
            &gateway.at("/mcp/messages?session=x"),
            &[JSON],
            "{}"
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn what_2024_11_05_does_not_know_becomes_what_it_knows() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" => Some(Reaction::Result(json!({"content": [
            {"type": "resource_link", "uri": "doc://a", "name": "a"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "text", "text": "plain"},
        ]}))),
        _ => shelf(method, params),
    };
    let (_backend, gateway) = fixture("2026-07-28", script).await;
    let mut client = SseClient::initialized(&gateway.at("/mcp/sse")).await;
    let called = client
        .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
        .await;
    let content = called["result"]["content"].as_array().unwrap();
    assert!(
        content.iter().all(|block| block["type"] == "text"),
        "{called}"
    );
    assert!(
        content[0]["text"].as_str().unwrap().contains("doc://a"),
        "{called}"
    );
    assert_eq!(content[2]["text"], "plain");
}
