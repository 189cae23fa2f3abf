//! Payloads that the gateway has no business with arrive byte for byte.

use serde_json::{Value, json};

use crate::support::client::{BOTH, JSON};
use crate::support::http::send;
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction, Stateful, Stateless};

/// What decoding and encoding again would spoil: numbers, order, escapes, duplicates in depth, unknown members.
const AWKWARD: &str = concat!(
    r#""zeta":1.0,"alpha":1e400,"big":12345678901234567890123,"neg":-0.0,"exp":1E+2,"#,
    r#""escape":"\u00e9\/\ud83d\ude00é","spaced" : [ 1 , 2 ],"nested":{"b":null,"a":{"":""}},"same":{"k":1,"k":2}"#
);

fn one_tool(method: &str) -> Option<Reaction> {
    (method == "tools/list").then(|| {
        Reaction::RawResult(format!(
            r#"{{"tools":[{{"name":"t","x-vendor":{{{AWKWARD}}},"execution":{{"taskSupport":"optional"}},"inputSchema":{{"type":"object"}}}}],"ttlMs":60000,"cacheScope":"public","resultType":"complete"}}"#
        ))
    })
}

fn result() -> String {
    format!(
        r#"{{"content":[{{"type":"text","text":"t","annotations":{{"priority":1.0}},"_meta":{{"v/x":1.50}}}}],"structuredContent":{{{AWKWARD}}},"x-vendor":{{{AWKWARD}}},"_meta":{{"vendor.example/k":{{{AWKWARD}}}}},"resultType":"complete"}}"#
    )
}

async fn fleet() -> Vec<(Backend, Gateway)> {
    let mut fleet = Vec::new();
    for revision in BACKEND_REVISIONS {
        let backend = Backend::start(revision, |method, _| match method {
            "tools/call" => Some(Reaction::RawResult(result())),
            other => one_tool(other),
        })
        .await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        fleet.push((backend, gateway));
    }
    fleet
}

fn call_text() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"b__t","arguments":{{{AWKWARD}}},"x-own":{{{AWKWARD}}}"#
    )
}

#[tokio::test]
async fn arguments_and_results_of_a_call_keep_every_byte_in_every_cell() {
    for (backend, gateway) in fleet().await {
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        let text = call_text() + "}}";
        let headers = [JSON, BOTH, client.id(), client.version()];
        let stateful = send("POST", &gateway.url(), &headers, text)
            .await
            .bytes()
            .await;
        let envelope = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        let text = format!("{},{envelope}}}}}", call_text());
        let headers = [
            JSON,
            BOTH,
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "b__t"),
        ];
        let stateless = send("POST", &gateway.url(), &headers, text)
            .await
            .bytes()
            .await;
        for body in [stateful, stateless] {
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert_eq!(body.matches(AWKWARD).count(), 3, "{body}");
            assert!(
                body.contains(r#""annotations":{"priority":1.0},"_meta":{"v/x":1.50}"#),
                "{body}"
            );
        }
        let calls: Vec<_> = backend
            .seen()
            .into_iter()
            .filter(|seen| seen.message["method"] == "tools/call")
            .collect();
        assert_eq!(calls.len(), 2);
        for call in calls {
            assert_eq!(call.text.matches(AWKWARD).count(), 2, "{}", call.text);
        }
    }
}

#[tokio::test]
async fn a_listed_tool_keeps_every_byte_but_its_name() {
    for (_backend, gateway) in fleet().await {
        let client = Stateless::new(&gateway.url());
        let body = client
            .post("tools/list", json!({}), json!({}))
            .await
            .bytes()
            .await;
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains(&format!(r#""name":"b__t","x-vendor":{{{AWKWARD}}}"#)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_result_of_ten_mebibytes_arrives_whole() {
    let text = "x".repeat(10 << 20);
    let answer = json!({"content": [{"type": "text", "text": text}], "resultType": "complete"});
    for revision in ["2025-11-25", "2026-07-28"] {
        let answer = answer.clone();
        let backend = Backend::start(revision, move |method, _| match method {
            "tools/call" => Some(Reaction::Result(answer.clone())),
            other => one_tool(other),
        })
        .await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        let called = client
            .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
            .await;
        assert_eq!(
            called["result"]["content"][0]["text"]
                .as_str()
                .map(str::len),
            Some(10 << 20)
        );
    }
}

#[tokio::test]
async fn the_callers_id_comes_back_as_it_was_spelled_and_never_reaches_the_backend() {
    let backend = Backend::start("2025-11-25", |method, _| match method {
        "tools/call" => Some(Reaction::Result(json!({"content": []}))),
        other => one_tool(other),
    })
    .await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    for id in ["9007199254740993", "-3", r#""a\u0062c""#, "\"\""] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"b__t"}}}}"#
        );
        let headers = [JSON, BOTH, client.id(), client.version()];
        let body = send("POST", &gateway.url(), &headers, text)
            .await
            .bytes()
            .await;
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(&format!(r#""id":{id}"#)), "{body}");
    }
    let ids: Vec<Value> = backend
        .seen()
        .iter()
        .filter(|seen| seen.message["method"] == "tools/call")
        .map(|seen| seen.message["id"].clone())
        .collect();
    assert!(ids.iter().all(Value::is_u64), "{ids:?}");
}

#[tokio::test]
async fn meta_keys_that_belong_to_a_hop_stop_at_it_and_others_pass() {
    for (backend, gateway) in fleet().await {
        let client = Stateless::new(&gateway.url());
        let meta = json!({"vendor.example/trace": {"a": 1}, "progressToken": "mine"});
        client
            .post("tools/call", json!({"name": "b__t", "arguments": {}}), meta)
            .await
            .json()
            .await;
        let seen = backend.saw("tools/call").await;
        let meta = &seen.message["params"]["_meta"];
        assert_eq!(
            meta["vendor.example/trace"],
            json!({"a": 1}),
            "{}",
            seen.text
        );
        assert_ne!(meta["progressToken"], "mine", "{}", seen.text);
        let stateless = meta
            .get("io.modelcontextprotocol/protocolVersion")
            .is_some();
        let of_2026 = seen
            .headers
            .get("mcp-protocol-version")
            .is_some_and(|version| version == "2026-07-28");
        assert_eq!(stateless, of_2026, "{}", seen.text);
        let name = meta["io.modelcontextprotocol/clientInfo"]["name"].as_str();
        assert!(name.is_none_or(|name| name == "isthmus"), "{}", seen.text);
    }
}
