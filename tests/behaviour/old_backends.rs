//! Backends of the two oldest revisions: HTTP+SSE of 2024-11-05, and 2025-03-26 with its batches.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::offering::{keys, offering, prompts, resources, text, tools};
use crate::support::sse::SseClient;
use crate::support::{Backend, Gateway, Reaction, STATEFUL_REVISIONS, Stateful, Stateless};

fn shelf(method: &str, params: &Value) -> Option<Reaction> {
    let lists = json!({"tools": tools(&["t", "u", "v"]), "prompts": prompts(&["p"]), "resources": resources(&["doc://a"])});
    offering("old", lists)(method, params)
}

/// Clients of every revision but the oldest, asked in the same way.
enum Client {
    Stateful(Stateful),
    Stateless(Stateless),
}

impl Client {
    async fn all(gateway: &Gateway) -> Vec<Self> {
        let mut clients = vec![Self::Stateless(Stateless::new(&gateway.url()))];
        for revision in STATEFUL_REVISIONS {
            clients.push(Self::Stateful(
                Stateful::open(&gateway.url(), revision).await,
            ));
        }
        clients
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        match self {
            Self::Stateful(client) => client.ask(method, params).await,
            Self::Stateless(client) => client.ask(method, params).await,
        }
    }
}

/// Both ways to name a backend that speaks HTTP+SSE: by its kind, and by a URL that turns out to be one.
fn both_entries(backend: &Backend) -> [String; 2] {
    let found_out = format!("  b:\n    http: {{urls: [{}]}}\n", backend.sse_url());
    [backend.sse_entry("b"), found_out]
}

#[tokio::test]
async fn clients_of_every_revision_use_a_backend_of_2024_11_05() {
    let backend = Backend::start("2024-11-05", shelf).await;
    for entry in both_entries(&backend) {
        let gateway = Gateway::start(&format!("backends:\n{entry}"));
        for client in Client::all(&gateway).await {
            assert_eq!(
                keys(&client.ask("tools/list", json!({})).await),
                ["b__t", "b__u", "b__v"],
                "{entry}"
            );
            let called = client
                .ask("tools/call", json!({"name": "b__u", "arguments": {}}))
                .await;
            assert_eq!(text(&called), "old: u");
            assert_eq!(
                text(&client.ask("prompts/get", json!({"name": "b__p"})).await),
                "old: p"
            );
            assert_eq!(
                text(
                    &client
                        .ask("resources/read", json!({"uri": "doc://a"}))
                        .await
                ),
                "old: doc://a"
            );
        }
        let mut oldest = SseClient::initialized(&gateway.at("/mcp/sse")).await;
        assert_eq!(
            text(
                &oldest
                    .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
                    .await
            ),
            "old: t"
        );
    }
}

#[tokio::test]
async fn progress_of_a_backend_of_2024_11_05_reaches_the_call_it_belongs_to() {
    let backend = Backend::start("2024-11-05", |method, params| {
        if method != "tools/call" {
            return shelf(method, params);
        }
        let (feed, fed) = mpsc::channel(4);
        let progress = json!({"progressToken": params["_meta"]["progressToken"], "progress": 1});
        let progress =
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress});
        feed.try_send(progress.to_string()).unwrap();
        feed.try_send(r#"{"jsonrpc":"2.0","id":$id,"result":{"content":[]}}"#.to_owned())
            .unwrap();
        Some(Reaction::Stream(fed))
    })
    .await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.sse_entry("b")));
    let params = json!({"name": "b__t", "arguments": {}});
    let stateless = Stateless::new(&gateway.url());
    let mut answer = stateless
        .post(
            "tools/call",
            params.clone(),
            json!({"progressToken": "new"}),
        )
        .await;
    assert_eq!(
        answer.event().await.unwrap()["params"]["progressToken"],
        "new"
    );
    assert_eq!(
        answer.event().await.unwrap()["result"]["content"],
        json!([])
    );
    let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
    let mut params = params;
    params["_meta"] = json!({"progressToken": "old"});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let mut answer = stateful.post(&call).await;
    assert_eq!(
        answer.event().await.unwrap()["params"]["progressToken"],
        "old"
    );
    assert_eq!(
        answer.event().await.unwrap()["result"]["content"],
        json!([])
    );
}

#[tokio::test]
async fn cancelling_and_changes_of_lists_work_with_a_backend_of_2024_11_05() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" => Some(Reaction::Hang),
        _ => shelf(method, params),
    };
    let backend = Backend::start("2024-11-05", script).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.sse_entry("b")));
    let stateless = Stateless::new(&gateway.url());
    stateless.ask("tools/list", json!({})).await;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listen = stateless
        .post("subscriptions/listen", filter, json!({}))
        .await;
    listen.event().await.unwrap();
    backend
        .announce("notifications/tools/list_changed", json!({}))
        .await;
    assert_eq!(
        listen.event().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    let leaves = tokio::spawn(async move {
        stateless
            .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
            .await
    });
    let called = backend.saw("tools/call").await.message;
    leaves.abort();
    let cancelled = backend.saw("notifications/cancelled").await.message;
    assert_eq!(cancelled["params"]["requestId"], called["id"]);
}

#[tokio::test]
async fn a_lost_stream_of_a_backend_of_2024_11_05_is_opened_again() {
    let backend = Backend::start("2024-11-05", shelf).await;
    let entry = backend.sse_entry("b");
    // One session for all: a call goes out on the very session that was opened again.
    let settings = "    restart: {first: 10ms}\n    sessions: per-principal\n";
    let gateway = Gateway::start(&format!("backends:\n{entry}{settings}"));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    for round in 1..=3 {
        let called = client
            .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
            .await;
        assert_eq!(text(&called), "old: t");
        backend.end_streams();
        backend.counted("initialize", round + 1).await;
    }
    assert_eq!(
        keys(&client.ask("tools/list", json!({})).await),
        ["b__t", "b__u", "b__v"]
    );
}

/// Answers every request with a batch that holds `beside` and the response.
fn batching(
    beside: fn(&Value) -> Value,
    streamed: bool,
) -> impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync {
    move |method, params| {
        let Some(Reaction::Result(result)) = shelf(method, params) else {
            return None;
        };
        let response = json!({"jsonrpc": "2.0", "id": "ID", "result": result});
        let mut batch = vec![response];
        if let Value::Object(message) = beside(params) {
            batch.insert(0, Value::Object(message));
        }
        let text = json!(batch).to_string().replace("\"ID\"", "$id");
        if !streamed {
            return Some(Reaction::Json(text));
        }
        let (feed, fed) = mpsc::channel(1);
        feed.try_send(text).unwrap();
        Some(Reaction::Stream(fed))
    }
}

#[tokio::test]
async fn clients_of_every_revision_use_a_backend_of_2025_03_26_that_answers_with_batches() {
    for streamed in [false, true] {
        let backend = Backend::start("2025-03-26", batching(|_| Value::Null, streamed)).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        for client in Client::all(&gateway).await {
            assert_eq!(
                keys(&client.ask("tools/list", json!({})).await),
                ["b__t", "b__u", "b__v"]
            );
            let called = client
                .ask("tools/call", json!({"name": "b__v", "arguments": {}}))
                .await;
            assert_eq!(text(&called), "old: v", "streamed: {streamed}");
            assert_eq!(
                text(
                    &client
                        .ask("resources/read", json!({"uri": "doc://a"}))
                        .await
                ),
                "old: doc://a"
            );
        }
    }
}

#[tokio::test]
async fn progress_in_a_batch_reaches_the_client_before_the_response() {
    let progress = |params: &Value| {
        let token = &params["_meta"]["progressToken"];
        if token.is_null() {
            return Value::Null;
        }
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    };
    for streamed in [false, true] {
        let backend = Backend::start("2025-03-26", batching(progress, streamed)).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let client = Stateless::new(&gateway.url());
        let params = json!({"name": "b__t", "arguments": {}});
        let mut answer = client
            .post("tools/call", params, json!({"progressToken": 5}))
            .await;
        assert_eq!(
            answer.event().await.unwrap()["params"]["progressToken"],
            5,
            "streamed: {streamed}"
        );
        assert_eq!(text(&answer.event().await.unwrap()), "old: t");
    }
}
