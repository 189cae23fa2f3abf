//! Two callers at one gateway: whatever one of them has is unknown to the other, and looks exactly like what never was.

use std::time::Duration;

use serde_json::{Value, json};

use super::visitor::{Key, Visitor, api_keys, new_key};
use crate::support::offering::{keys, offering, resources, tools};
use crate::support::{Backend, Gateway, Reaction};
use crate::tasks::workshop::{EXTENSION, Workshop};

struct Two {
    gateway: Gateway,
    anna: Visitor,
    bob: Visitor,
}

/// A gateway with a key for Anna and one for Bob.
fn two(fleet: &str) -> Two {
    let (anna, bob): (Key, Key) = (new_key("anna", &[]), new_key("bob", &[]));
    let gateway = Gateway::start(&format!(
        "authentication: [api_keys: {{}}]\n{}{fleet}",
        api_keys(&[&anna, &bob])
    ));
    let url = gateway.url();
    Two {
        anna: Visitor::with(&url, &anna.key),
        bob: Visitor::with(&url, &bob.key),
        gateway,
    }
}

/// What an answer says, without what the asker has chosen itself.
async fn said(answer: crate::support::http::Answer) -> (u16, Value) {
    let status = answer.status.as_u16();
    let bytes = answer.bytes().await;
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn a_session_is_unknown_to_everybody_but_its_owner() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let Two {
        gateway: _gateway,
        anna,
        bob,
    } = two(&format!("backends:\n{}", backend.entry("b")));
    let hers = anna.open().await;
    let session = hers.session.clone().unwrap();
    // The same length and alphabet, and never given to anybody.
    let made_up: String = session
        .chars()
        .rev()
        .map(|letter| if letter == 'A' { 'B' } else { letter })
        .collect();
    let theirs = bob.open().await;
    let (stolen, nothing) = (bob.in_session(&session), bob.in_session(&made_up));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let (of_anna, of_nobody) = (stolen.post(&ping).await, nothing.post(&ping).await);
    assert_eq!(of_anna.status, 404);
    assert_eq!(said(of_anna).await, said(of_nobody).await);
    let (of_anna, of_nobody) = (stolen.listen().await, nothing.listen().await);
    assert_eq!(of_anna.status, 404);
    assert_eq!(said(of_anna).await, said(of_nobody).await);
    let (of_anna, of_nobody) = (stolen.delete().await, nothing.delete().await);
    assert_eq!(of_anna.status, 404);
    assert_eq!(said(of_anna).await, said(of_nobody).await);
    let note =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(stolen.post(&note).await.status, 404);
    let nobody = Visitor::showing(&anna.url, &[]).in_session(&session);
    assert_eq!(nobody.post(&ping).await.status, 401);
    // What others tried has left no trace.
    assert_eq!(hers.ask("ping", json!({})).await["result"], json!({}));
    assert_eq!(theirs.ask("ping", json!({})).await["result"], json!({}));
    assert_eq!(hers.delete().await.status, 204);
    assert_eq!(hers.post(&ping).await.status, 404);
}

#[tokio::test]
async fn the_stream_of_an_old_client_takes_messages_from_nobody_else() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let Two { gateway, anna, bob } = two(&format!("backends:\n{}", backend.entry("b")));
    let accept = [("accept", "text/event-stream")];
    let url = gateway.at("/mcp/sse");
    let mut stream = anna.send("GET", &url, &accept, String::new()).await;
    assert_eq!(stream.status, 200);
    let endpoint = stream.event().await.unwrap();
    let endpoint = gateway.at(endpoint.as_str().unwrap());
    let params = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let opening = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let json_body = [("content-type", "application/json")];
    let stolen = bob
        .send("POST", &endpoint, &json_body, opening.to_string())
        .await;
    let nowhere = gateway.at("/mcp/messages?session=0123456789abcdef0123456789abcdef");
    let made_up = bob
        .send("POST", &nowhere, &json_body, opening.to_string())
        .await;
    assert_eq!(stolen.status, 404);
    assert_eq!(said(stolen).await, said(made_up).await);
    let answer = anna
        .send("POST", &endpoint, &json_body, opening.to_string())
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(stream.event().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn a_cursor_goes_on_for_its_owner_only() {
    let lists =
        json!({"tools": tools(&["a", "b", "c"]), "resources": resources(&["doc://a", "doc://b"])});
    let backend = Backend::start("2025-11-25", offering("b", lists)).await;
    let Two {
        gateway: _gateway,
        anna,
        bob,
    } = two(&format!(
        "routes:\n  /mcp: {{first_page: 1}}\nbackends:\n{}",
        backend.entry("b")
    ));
    let (hers, theirs) = (anna.open().await, bob.open().await);
    for method in ["tools/list", "resources/list"] {
        let first = hers.ask(method, json!({})).await;
        let cursor = json!({"cursor": first["result"]["nextCursor"]});
        assert_eq!(keys(&hers.ask(method, cursor.clone()).await).len(), 1);
        let refused = theirs.ask(method, cursor.clone()).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert_eq!(
            refused["error"],
            theirs.ask(method, json!({"cursor": "made-up"})).await["error"]
        );
        let stateless = bob.stateless(method, cursor, json!({})).await.json().await;
        assert_eq!(stateless["error"], refused["error"]);
    }
}

fn can_be_asked() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}})
}

fn accepted(asked: &Value) -> Value {
    let questions = asked["result"]["inputRequests"].as_object().unwrap();
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    questions
        .keys()
        .map(|key| (key.clone(), answer.clone()))
        .collect()
}

async fn greet(visitor: &Visitor, round: Option<(&Value, Value)>) -> Value {
    let mut params = json!({"name": "b__greet", "arguments": {}});
    if let Some((state, responses)) = round {
        params["requestState"] = state.clone();
        params["inputResponses"] = responses;
    }
    visitor
        .stateless("tools/call", params, can_be_asked())
        .await
        .json()
        .await
}

/// Asks for a name, in the words of its revision, and greets.
async fn greeter(revision: &'static str) -> Backend {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let question = json!({"message": "Who are you?", "requestedSchema": schema});
    let inner = offering("b", json!({"tools": tools(&["greet"])}));
    Backend::start(revision, move |method, params| {
        if method != "tools/call" {
            return inner(method, params);
        }
        let greeting = |name: &Value| json!({"content": [{"type": "text", "text": name}]});
        if revision == "2026-07-28" {
            if params["inputResponses"].is_object() {
                let name = &params["inputResponses"]["name"]["content"]["name"];
                return Some(Reaction::Result(greeting(name)));
            }
            let mut question = question.clone();
            question["mode"] = json!("form");
            return Some(Reaction::Result(json!({
                "resultType": "input_required", "requestState": "bare",
                "inputRequests": {"name": {"method": "elicitation/create", "params": question}},
            })));
        }
        let question = question.clone();
        Some(Reaction::run(async move |running| {
            let answer = running.ask("elicitation/create", question).await;
            json!({"content": [{"type": "text", "text": answer["result"]["content"]["name"]}]})
        }))
    })
    .await
}

#[tokio::test]
async fn a_request_state_leads_nobody_else_back_neither_to_a_backend_nor_to_a_parked_call() {
    for revision in ["2026-07-28", "2025-11-25"] {
        let backend = greeter(revision).await;
        let Two {
            gateway: _gateway,
            anna,
            bob,
        } = two(&format!("backends:\n{}", backend.entry("b")));
        let asked = greet(&anna, None).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        let state = &asked["result"]["requestState"];
        let refused = greet(&bob, Some((state, accepted(&asked)))).await;
        assert_eq!(refused["error"]["code"], -32602, "{revision}: {refused}");
        let made_up = greet(&bob, Some((&json!("made-up"), accepted(&asked)))).await;
        assert_eq!(refused["error"], made_up["error"], "{revision}");
        let greeted = greet(&anna, Some((state, accepted(&asked)))).await;
        assert_eq!(
            greeted["result"]["content"][0]["text"], "Ada",
            "{revision}: {greeted}"
        );
        assert_eq!(
            backend.count("tools/call"),
            if revision == "2026-07-28" { 2 } else { 1 }
        );
    }
}

#[tokio::test]
async fn a_task_is_unknown_to_everybody_but_whose_call_it_is() {
    for workshop in [Workshop::of_extension().await, Workshop::of_core().await] {
        let Two {
            gateway: _gateway,
            anna,
            bob,
        } = two(&workshop.fleet());
        let capabilities = json!({"extensions": {EXTENSION: {}}, "elicitation": {"form": {}}});
        let able = json!({"io.modelcontextprotocol/clientCapabilities": capabilities});
        let call = json!({"name": "b__long", "arguments": {}});
        let made = anna.stateless("tools/call", call, able.clone()).await;
        let made = made.json().await;
        assert_eq!(made["result"]["resultType"], "task", "{made}");
        let of_anna = made["result"]["taskId"].as_str().unwrap();
        let made_up: String = of_anna.chars().rev().collect();
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let about = |id: &str| {
                let mut params = json!({"taskId": id});
                if method == "tasks/update" {
                    params["inputResponses"] = json!({});
                }
                params
            };
            let stolen = bob.stateless(method, about(of_anna), able.clone()).await;
            let nothing = bob.stateless(method, about(&made_up), able.clone()).await;
            let stolen = stolen.json().await;
            assert_eq!(stolen["error"]["code"], -32602, "{method}: {stolen}");
            assert_eq!(stolen["error"], nothing.json().await["error"], "{method}");
        }
        let known = anna.stateless("tasks/get", json!({"taskId": of_anna}), able);
        let known = known.await.json().await;
        assert_eq!(known["result"]["status"], "working", "{known}");
    }
}

#[tokio::test]
async fn nobody_hears_what_somebody_else_has_subscribed_to() {
    let lists = json!({"resources": resources(&["doc://a", "doc://b"])});
    let backend = Backend::start("2025-11-25", offering("b", lists)).await;
    let Two {
        gateway: _gateway,
        anna,
        bob,
    } = two(&format!("backends:\n{}", backend.entry("b")));
    let (hers, theirs) = (anna.open().await, bob.open().await);
    let (mut heard_by_her, mut heard_by_them) = (hers.listen().await, theirs.listen().await);
    let subscribed = hers
        .ask("resources/subscribe", json!({"uri": "doc://a"}))
        .await;
    assert_eq!(subscribed["result"], json!({}), "{subscribed}");
    let subscribed = theirs
        .ask("resources/subscribe", json!({"uri": "doc://b"}))
        .await;
    assert_eq!(subscribed["result"], json!({}), "{subscribed}");
    // One caller's end of a subscription is not another's.
    let ended = theirs
        .ask("resources/unsubscribe", json!({"uri": "doc://a"}))
        .await;
    assert!(ended.get("result").is_some() || ended.get("error").is_some());
    backend.is_listened_to().await;
    let updated = "notifications/resources/updated";
    backend.announce(updated, json!({"uri": "doc://a"})).await;
    backend.announce(updated, json!({"uri": "doc://b"})).await;
    let soon = Duration::from_secs(20);
    let mine = tokio::time::timeout(soon, heard_by_her.notified(updated)).await;
    assert_eq!(mine.unwrap()["params"]["uri"], "doc://a");
    let other = tokio::time::timeout(soon, heard_by_them.notified(updated)).await;
    assert_eq!(other.unwrap()["params"]["uri"], "doc://b");
}

#[tokio::test]
async fn callers_who_may_share_nothing_have_sessions_of_their_own_at_a_backend() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let Two {
        gateway: _gateway,
        anna,
        bob,
    } = two(&format!(
        "backends:\n{}    sessions: per-principal\n",
        backend.entry("b")
    ));
    for visitor in [&anna, &bob, &anna, &bob] {
        let params = json!({"name": "b__a", "arguments": {}});
        let called = visitor.stateless("tools/call", params, json!({})).await;
        assert_eq!(called.status, 200);
        called.bytes().await;
    }
    let mut sessions: Vec<String> = backend
        .seen()
        .into_iter()
        .filter(|seen| seen.message["method"] == "tools/call")
        .map(|seen| {
            // The caller's own key has nothing to look for there.
            assert!(!seen.headers.contains_key("authorization"));
            seen.session
        })
        .collect();
    assert_eq!(sessions.len(), 4);
    assert_eq!(sessions[0], sessions[2]);
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 2);
}
