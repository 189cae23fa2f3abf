//! Every client revision in front of every backend revision: what is not interactive works in all of them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::http::Answer;
use crate::support::{
    BACKEND_REVISIONS, Backend, Gateway, Reaction, STATEFUL_REVISIONS, Stateful, Stateless,
};

/// Either client, asked in the same way.
enum Client {
    Stateful(Stateful),
    Stateless(Stateless),
}

impl Client {
    async fn ask(&self, method: &str, params: Value) -> Value {
        match self {
            Self::Stateful(client) => client.ask(method, params).await,
            Self::Stateless(client) => client.ask(method, params).await,
        }
    }

    /// Calls a tool with a progress token, and hears logs.
    async fn call(&self, tool: &str) -> Answer {
        let params = json!({"name": tool, "arguments": {}});
        match self {
            Self::Stateful(client) => {
                let mut params = params;
                params["_meta"] = json!({"progressToken": "token-1"});
                client.post(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})).await
            }
            Self::Stateless(client) => {
                let meta = json!({"progressToken": "token-1", "io.modelcontextprotocol/logLevel": "debug"});
                client.post("tools/call", params, meta).await
            }
        }
    }
}

/// Runs `check` for every pair, with a fresh backend and gateway for each backend revision.
async fn for_every_cell(
    script: fn(&str, &Value) -> Option<Reaction>,
    check: impl AsyncFn(&Client, &Backend, &'static str),
) {
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, script).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        for revision in STATEFUL_REVISIONS {
            let client = Client::Stateful(Stateful::open(&gateway.url(), revision).await);
            check(&client, &backend, backend_revision).await;
        }
        check(
            &Client::Stateless(Stateless::new(&gateway.url())),
            &backend,
            backend_revision,
        )
        .await;
    }
}

/// One item of each kind, and an answer to everything one can ask about them.
fn library(method: &str, params: &Value) -> Option<Reaction> {
    let cache = json!({"ttlMs": 60_000, "cacheScope": "public"});
    let with_cache = |mut result: Value| {
        result
            .as_object_mut()
            .unwrap()
            .extend(cache.as_object().unwrap().clone());
        Some(Reaction::Result(result))
    };
    match method {
        "tools/list" => {
            with_cache(json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}))
        }
        "prompts/list" => with_cache(json!({"prompts": [{"name": "greet"}]})),
        "resources/list" => with_cache(json!({"resources": [{"uri": "lib://a", "name": "a"}]})),
        "resources/templates/list" => with_cache(
            json!({"resourceTemplates": [{"uriTemplate": "lib://books/{title}", "name": "books"}]}),
        ),
        "tools/call" => Some(Reaction::Result(
            json!({"content": [{"type": "text", "text": params["name"].to_string()}]}),
        )),
        "prompts/get" => Some(Reaction::Result(json!({"messages": [
            {"role": "user", "content": {"type": "text", "text": params["name"].to_string()}}]}))),
        "resources/read" if params["uri"] == "nowhere://x" => Some(Reaction::Error(
            json!({"code": -32002, "message": "not found", "data": {"uri": params["uri"]}}),
        )),
        "resources/read" => with_cache(
            json!({"contents": [{"uri": params["uri"], "text": params["uri"].to_string()}]}),
        ),
        "completion/complete" => Some(Reaction::Result(json!({"completion": {"values": [
            params["ref"].to_string()], "hasMore": false}}))),
        _ => None,
    }
}

#[tokio::test]
async fn lists_calls_reads_prompts_and_completions_reach_the_backend_by_its_own_names() {
    for_every_cell(library, async |client, _, _| {
        let listed = client.ask("tools/list", json!({})).await;
        assert_eq!(listed["result"]["tools"][0]["name"], "b__echo", "{listed}");
        let called = client
            .ask("tools/call", json!({"name": "b__echo", "arguments": {}}))
            .await;
        assert_eq!(
            called["result"]["content"][0]["text"], "\"echo\"",
            "{called}"
        );
        let listed = client.ask("prompts/list", json!({})).await;
        assert_eq!(
            listed["result"]["prompts"][0]["name"], "b__greet",
            "{listed}"
        );
        let got = client.ask("prompts/get", json!({"name": "b__greet"})).await;
        assert_eq!(
            got["result"]["messages"][0]["content"]["text"], "\"greet\"",
            "{got}"
        );
        let listed = client.ask("resources/list", json!({})).await;
        assert_eq!(
            listed["result"]["resources"][0]["uri"], "lib://a",
            "{listed}"
        );
        let listed = client.ask("resources/templates/list", json!({})).await;
        let template = &listed["result"]["resourceTemplates"][0]["uriTemplate"];
        assert_eq!(*template, "lib://books/{title}", "{listed}");
        for uri in ["lib://a", "lib://books/dune"] {
            let read = client.ask("resources/read", json!({"uri": uri})).await;
            assert_eq!(
                read["result"]["contents"][0]["text"],
                format!("{uri:?}"),
                "{read}"
            );
        }
        let argument = json!({"name": "x", "value": "y"});
        let reference = json!({"type": "ref/prompt", "name": "b__greet"});
        let done = client
            .ask(
                "completion/complete",
                json!({"ref": reference, "argument": argument}),
            )
            .await;
        assert!(
            done["result"]["completion"]["values"][0]
                .as_str()
                .unwrap()
                .contains("\"greet\""),
            "{done}"
        );
        let reference = json!({"type": "ref/resource", "uri": "lib://books/{title}"});
        let done = client
            .ask(
                "completion/complete",
                json!({"ref": reference, "argument": argument}),
            )
            .await;
        assert!(
            done["result"]["completion"]["values"][0]
                .as_str()
                .unwrap()
                .contains("lib://books"),
            "{done}"
        );
    })
    .await;
}

#[tokio::test]
async fn each_client_gets_the_members_of_its_own_revision_and_no_other() {
    for_every_cell(library, async |client, _, _| {
        let listed = client.ask("tools/list", json!({})).await;
        let result = listed["result"].as_object().unwrap();
        let stateless = matches!(client, Client::Stateless(_));
        for member in ["resultType", "ttlMs", "cacheScope"] {
            assert_eq!(result.contains_key(member), stateless, "{member}: {listed}");
        }
        let called = client
            .ask("tools/call", json!({"name": "b__echo", "arguments": {}}))
            .await;
        assert_eq!(
            called["result"].get("resultType").is_some(),
            stateless,
            "{called}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_unknown_tool_resource_and_method_are_refused_in_the_clients_own_terms() {
    for_every_cell(library, async |client, _, _| {
        let stateless = matches!(client, Client::Stateless(_));
        let refused = client
            .ask("tools/call", json!({"name": "nobody", "arguments": {}}))
            .await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        let refused = client
            .ask("resources/read", json!({"uri": "nowhere://x"}))
            .await;
        assert_eq!(
            refused["error"]["code"],
            if stateless { -32602 } else { -32002 },
            "{refused}"
        );
        assert_eq!(refused["error"]["data"]["uri"], "nowhere://x", "{refused}");
        let refused = client.ask("no/such/method", json!({})).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
        assert_eq!(refused["id"], 7);
    })
    .await;
}

/// Reports progress and logs on the stream of a call before it ends.
fn talkative(method: &str, params: &Value) -> Option<Reaction> {
    if method != "tools/call" {
        return library(method, params);
    }
    let token = params["_meta"]["progressToken"].clone();
    let (feed, fed) = mpsc::channel(8);
    let messages = [
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 0, "total": 2}}),
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "one"}}),
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1, "total": 2}}),
    ];
    for message in messages {
        feed.try_send(message.to_string()).unwrap();
    }
    let result = r#"{"jsonrpc":"2.0","id":$id,"result":{"content":[],"resultType":"complete"}}"#;
    feed.try_send(result.to_owned()).unwrap();
    Some(Reaction::Stream(fed))
}

#[tokio::test]
async fn progress_and_logs_of_a_call_arrive_on_its_stream_under_the_clients_own_token() {
    for_every_cell(talkative, async |client, _, _| {
        let mut answer = client.call("b__echo").await;
        let mut seen = Vec::new();
        while let Some(message) = answer.event().await {
            seen.push(message);
        }
        let methods: Vec<_> = seen
            .iter()
            .map(|message| message["method"].as_str().unwrap_or("result"))
            .collect();
        let (progress, log) = ("notifications/progress", "notifications/message");
        assert_eq!(methods, [progress, log, progress, "result"], "{seen:?}");
        assert_eq!(seen[0]["params"]["progressToken"], "token-1");
        assert_eq!(seen[1]["params"]["data"], "one");
        assert_eq!(seen[3]["id"], 7);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_backend_by_the_backends_own_id() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" => Some(Reaction::Hang),
        _ => library(method, params),
    };
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, script).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        let caller = client.clone();
        let call = tokio::spawn(async move {
            let params = json!({"name": "b__echo", "arguments": {}});
            let message =
                json!({"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": params});
            caller.post(&message).await
        });
        let called = backend.saw("tools/call").await;
        let params = json!({"requestId": "mine", "reason": "enough"});
        client
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
        if backend_revision == "2026-07-28" {
            backend.streams_closed(1).await;
        } else {
            let cancelled = backend.saw("notifications/cancelled").await;
            assert_eq!(
                cancelled.message["params"]["requestId"],
                called.message["id"]
            );
        }
        drop(call);
    }
}

#[tokio::test]
async fn a_stateless_clients_disconnect_cancels_and_a_stateful_ones_does_not() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" => Some(Reaction::Hang),
        _ => library(method, params),
    };
    let backend = Backend::start("2025-11-25", script).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
    let leaves =
        tokio::spawn(async move { stateful.ask("tools/call", json!({"name": "b__echo"})).await });
    let first = backend.saw("tools/call").await;
    leaves.abort();
    let stateless = Stateless::new(&gateway.url());
    let leaves = tokio::spawn(async move {
        stateless
            .ask("tools/call", json!({"name": "b__echo"}))
            .await
    });
    let second = backend
        .saw_where(|seen| seen.message["method"] == "tools/call" && seen.text != first.text)
        .await;
    leaves.abort();
    let cancelled = backend.saw("notifications/cancelled").await;
    assert_eq!(
        cancelled.message["params"]["requestId"],
        second.message["id"]
    );
    assert_eq!(backend.count("notifications/cancelled"), 1);
}

#[tokio::test]
async fn a_change_of_a_list_reaches_listeners_of_both_eras() {
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, library).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
        stateful.ask("tools/list", json!({})).await;
        let mut stream = stateful.listen().await;
        let stateless = Stateless::new(&gateway.url());
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let mut listen = stateless
            .post("subscriptions/listen", filter, json!({}))
            .await;
        let acknowledged = listen.event().await.unwrap();
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
        assert_eq!(
            acknowledged["params"]["notifications"]["toolsListChanged"],
            true
        );
        backend.is_listened_to().await;
        backend
            .announce("notifications/tools/list_changed", json!({}))
            .await;
        let heard = listen.notified("notifications/tools/list_changed").await;
        assert_eq!(
            heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
            7
        );
        stream.notified("notifications/tools/list_changed").await;
    }
}

#[tokio::test]
async fn a_subscription_of_either_era_hears_updates_from_either_era() {
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, library).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let updated = ("notifications/resources/updated", json!({"uri": "lib://a"}));

        let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
        stateful.ask("tools/list", json!({})).await;
        let mut stream = stateful.listen().await;
        let subscribed = stateful
            .ask("resources/subscribe", json!({"uri": "lib://a"}))
            .await;
        assert_eq!(subscribed["result"], json!({}), "{backend_revision}");
        backend.is_listened_to().await;
        backend.announce(updated.0, updated.1.clone()).await;
        assert_eq!(stream.notified(updated.0).await["params"]["uri"], "lib://a");
        stateful.delete().await;

        let stateless = Stateless::new(&gateway.url());
        let filter = json!({"notifications": {"resourceSubscriptions": ["lib://a"]}});
        let mut listen = stateless
            .post("subscriptions/listen", filter, json!({}))
            .await;
        let acknowledged = listen.event().await.unwrap();
        let honoured = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
        assert_eq!(
            *honoured,
            json!(["lib://a"]),
            "{backend_revision}: {acknowledged}"
        );
        backend.announce(updated.0, updated.1).await;
        assert_eq!(listen.notified(updated.0).await["params"]["uri"], "lib://a");
    }
}

#[tokio::test]
async fn a_stateful_client_sets_the_log_level_of_a_backend_of_either_era() {
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, talkative).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        assert_eq!(
            client
                .ask("logging/setLevel", json!({"level": "error"}))
                .await["result"],
            json!({})
        );
        let mut answer = Client::Stateful(client).call("b__echo").await;
        while let Some(message) = answer.event().await {
            assert_ne!(
                message["method"], "notifications/message",
                "below the level that was set"
            );
        }
        let called = backend.saw("tools/call").await.message;
        if backend_revision == "2026-07-28" {
            assert_eq!(
                called["params"]["_meta"]["io.modelcontextprotocol/logLevel"],
                "error"
            );
        } else {
            assert_eq!(
                backend.saw("logging/setLevel").await.message["params"]["level"],
                "error"
            );
        }
    }
}

#[tokio::test]
async fn a_ping_of_a_stateful_client_is_answered_here() {
    let backend = Backend::start("2025-11-25", library).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    for revision in STATEFUL_REVISIONS {
        let client = Stateful::open(&gateway.url(), revision).await;
        assert_eq!(client.ask("ping", json!({})).await["result"], json!({}));
    }
    assert_eq!(backend.count("ping"), 0);
}

#[tokio::test]
async fn an_event_leaves_when_it_arrived() {
    let (feed, fed) = mpsc::channel::<String>(8);
    let fed = std::sync::Mutex::new(Some(fed));
    let backend = Backend::start("2025-11-25", move |method, params| match method {
        "tools/call" => Some(Reaction::Stream(fed.lock().unwrap().take()?)),
        _ => library(method, params),
    })
    .await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let client = Client::Stateless(Stateless::new(&gateway.url()));
    let caller = tokio::spawn(async move {
        let mut answer = client.call("b__echo").await;
        let first = answer.event().await.unwrap();
        (answer, first)
    });
    let token = backend.saw("tools/call").await.message["params"]["_meta"]["progressToken"].clone();
    let params = json!({"progressToken": token, "progress": 1});
    feed.send(
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string(),
    )
    .await
    .unwrap();
    // The call is far from its end: only the first event can make this complete.
    let (_, first) = tokio::time::timeout(Duration::from_secs(10), caller)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first["method"], "notifications/progress");
}
