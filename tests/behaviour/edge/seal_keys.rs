//! What clients hold for the gateway: good as long as its key is, for one purpose, and for no other letter.

use serde_json::{Value, json};

use crate::support::offering::{five, keys, offering};
use crate::support::rounds::retried;
use crate::support::{Backend, Detached, Gateway, Reaction, Stateful, Stateless};

const OLD: &str = "{id: 1, key: 6b1c0f7f2d1b4a6f8c3e5d7a9b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e}";
const NEW: &str = "{id: 2, key: 0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0}";

/// Everything that a client can hold.
struct Held {
    session: Stateful,
    cursor: Value,
    asked: Value,
}

const CALL: &str = "b__a1";

async fn backend() -> Backend {
    let inner = offering("b", five('a'));
    Backend::start("2026-07-28", move |method, params| {
        if method != "tools/call" {
            return inner(method, params);
        }
        if params["inputResponses"].is_object() {
            return Some(Reaction::Result(json!({"content": [{"type": "text", "text": "on"}]})));
        }
        let question = json!({"mode": "form", "message": "Go on?", "requestedSchema": {"type": "object", "properties": {}}});
        Some(Reaction::Result(json!({
            "resultType": "input_required", "requestState": "of the backend",
            "inputRequests": {"go": {"method": "elicitation/create", "params": question}},
        })))
    })
    .await
}

fn fleet(seal_keys: &str, backend: &Backend) -> String {
    format!(
        "seal_keys: [{seal_keys}]\nroutes:\n  /mcp: {{first_page: 2}}\nbackends:\n{}",
        backend.entry("b")
    )
}

fn asker(gateway: &Gateway) -> Detached {
    Detached::http(gateway).declaring(json!({"elicitation": {"form": {}}}))
}

impl Held {
    async fn of(gateway: &Gateway) -> Self {
        let session = Stateful::open(&gateway.url(), "2025-11-25").await;
        let listed = session.ask("tools/list", json!({})).await;
        let asked = asker(gateway)
            .ask("tools/call", json!({"name": CALL, "arguments": {}}))
            .await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        Self {
            session,
            cursor: listed["result"]["nextCursor"].clone(),
            asked: asked["result"].clone(),
        }
    }

    /// The status of a request in the session, the next page, and what the call comes to.
    async fn goes_on(&self, gateway: &Gateway) -> (u16, Value, Value) {
        let session = Stateful {
            url: gateway.url(),
            ..self.session.clone()
        };
        let ping = session
            .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            .await;
        let page = Stateless::new(&gateway.url())
            .ask("tools/list", json!({"cursor": self.cursor}))
            .await;
        let params = json!({"name": CALL, "arguments": {}});
        let answers = json!({"go": {"action": "accept", "content": {}}});
        let called = asker(gateway)
            .ask("tools/call", retried(&params, &self.asked, answers))
            .await;
        (ping.status.as_u16(), page, called)
    }
}

#[tokio::test]
async fn a_dialogue_goes_on_while_its_key_is_kept_and_is_refused_in_plain_words_when_it_is_gone() {
    let backend = backend().await;
    let gateway = Gateway::start(&fleet(OLD, &backend));
    let old = Held::of(&gateway).await;
    let gateway = gateway.killed_and_started_again(&fleet(&format!("{NEW}, {OLD}"), &backend));
    let (status, page, called) = old.goes_on(&gateway).await;
    assert_eq!(
        (status, keys(&page)),
        (200, vec!["b__a3".to_owned(), "b__a4".to_owned()])
    );
    assert_eq!(called["result"]["content"][0]["text"], "on", "{called}");
    let new = Held::of(&gateway).await;
    let gateway = gateway.killed_and_started_again(&fleet(NEW, &backend));
    let (status, page, called) = old.goes_on(&gateway).await;
    assert_eq!(status, 404);
    for refused in [page, called] {
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert!(!refused["error"]["message"].as_str().unwrap().is_empty());
    }
    let (status, page, called) = new.goes_on(&gateway).await;
    assert_eq!((status, keys(&page).len()), (200, 2));
    assert_eq!(called["result"]["content"][0]["text"], "on", "{called}");
}

#[tokio::test]
async fn what_is_held_for_one_purpose_opens_nothing_else_and_no_letter_of_it_can_be_another() {
    let backend = backend().await;
    let gateway = Gateway::start(&fleet(OLD, &backend));
    let held = Held::of(&gateway).await;
    let state = held.asked["requestState"].as_str().unwrap();
    let cursor = held.cursor.as_str().unwrap();
    let session = held.session.session.as_str();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let in_session = async |id: &str| {
        let stranger = Stateful {
            session: id.to_owned(),
            ..held.session.clone()
        };
        stranger.post(&ping).await.status.as_u16()
    };
    let with_cursor = async |cursor: &str| {
        Stateless::new(&gateway.url())
            .ask("tools/list", json!({"cursor": cursor}))
            .await
    };
    let with_state = async |state: &str| {
        let mut asked = held.asked.clone();
        asked["requestState"] = json!(state);
        Held {
            session: held.session.clone(),
            cursor: held.cursor.clone(),
            asked,
        }
        .goes_on(&gateway)
        .await
        .2
    };
    for other in [state, cursor] {
        assert_eq!(in_session(other).await, 404, "{other}");
    }
    for other in [state, session] {
        assert_eq!(with_cursor(other).await["error"]["code"], -32602, "{other}");
    }
    for other in [cursor, session] {
        assert_eq!(with_state(other).await["error"]["code"], -32602, "{other}");
    }
    for at in 0..session.len() {
        let other = if &session[at..=at] == "A" { "B" } else { "A" };
        let tampered = format!("{}{other}{}", &session[..at], &session[at + 1..]);
        assert_eq!(in_session(&tampered).await, 404, "{tampered}");
    }
    for at in 0..state.len() {
        let other = if &state[at..=at] == "A" { "B" } else { "A" };
        let tampered = format!("{}{other}{}", &state[..at], &state[at + 1..]);
        assert_eq!(
            with_state(&tampered).await["error"]["code"],
            -32602,
            "{tampered}"
        );
    }
    assert_eq!(in_session(session).await, 200);
}
