//! Questions between stateless peers: handed on as an outcome, answered by a retry, and of no use to anybody else.

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, Reaction, Stateful, Stateless};

/// Asks for a name, then for a colour, then greets. The state says how far it is.
fn asks(method: &str, params: &Value) -> Option<Reaction> {
    let question = |key: &str, state: &str| {
        let schema = json!({"type": "object", "properties": {key: {"type": "string"}}});
        let asked = json!({"mode": "form", "message": key, "requestedSchema": schema});
        Some(Reaction::Result(json!({
            "resultType": "input_required", "requestState": state,
            "inputRequests": {key: {"method": "elicitation/create", "params": asked}},
        })))
    };
    match method {
        "tools/list" => Some(Reaction::Result(
            json!({"ttlMs": 60_000, "cacheScope": "public", "tools": [
            {"name": "greet", "inputSchema": {"type": "object"}}, {"name": "other", "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => match params["requestState"].as_str() {
            None => question("name", "bare-state-1"),
            Some("bare-state-1") => question("colour", "bare-state-2"),
            Some("bare-state-2") => {
                let said = params["inputResponses"]["colour"]["content"]["colour"].clone();
                Some(Reaction::Result(
                    json!({"content": [{"type": "text", "text": said}]}),
                ))
            }
            Some(other) => panic!("the backend got the state {other}"),
        },
        _ => None,
    }
}

async fn fixture() -> (Backend, Gateway) {
    let backend = Backend::start("2026-07-28", asks).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    (backend, gateway)
}

async fn call(
    gateway: &Gateway,
    name: &str,
    arguments: Value,
    round: Option<(&Value, Value)>,
) -> Value {
    let mut params = json!({"name": name, "arguments": arguments});
    if let Some((state, responses)) = round {
        params["requestState"] = state.clone();
        params["inputResponses"] = responses;
    }
    let capabilities = json!({"elicitation": {"form": {}}, "x-unknown": {}});
    let meta = json!({"io.modelcontextprotocol/clientCapabilities": capabilities});
    Stateless::new(&gateway.url())
        .post("tools/call", params, meta)
        .await
        .json()
        .await
}

fn accepted(key: &str, value: &str) -> Value {
    json!({key: {"action": "accept", "content": {key: value}}})
}

#[tokio::test]
async fn several_rounds_lead_to_a_result_and_no_state_of_the_backend_is_seen() {
    let (backend, gateway) = fixture().await;
    let first = call(&gateway, "b__greet", json!({}), None).await["result"].clone();
    assert_eq!(first["resultType"], "input_required", "{first}");
    assert_eq!(
        first["inputRequests"]["name"]["method"],
        "elicitation/create"
    );
    assert!(
        !first["requestState"].as_str().unwrap().contains("bare"),
        "{first}"
    );
    let round = Some((&first["requestState"], accepted("name", "Ada")));
    let second = call(&gateway, "b__greet", json!({}), round).await["result"].clone();
    assert_eq!(
        second["inputRequests"]["colour"]["method"], "elicitation/create",
        "{second}"
    );
    let round = Some((&second["requestState"], accepted("colour", "green")));
    let third = call(&gateway, "b__greet", json!({}), round).await["result"].clone();
    assert_eq!(third["content"][0]["text"], "green", "{third}");
    assert_eq!(third["resultType"], "complete");
    let declared = &backend.saw("tools/call").await.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(
        *declared,
        json!({"elicitation": {"form": {}}}),
        "only what can be answered is declared"
    );
}

#[tokio::test]
async fn a_state_is_worth_nothing_for_another_request_or_when_it_was_tampered_with() {
    let (backend, gateway) = fixture().await;
    let first = call(&gateway, "b__greet", json!({}), None).await["result"].clone();
    let state = &first["requestState"];
    let answer = || accepted("name", "Ada");
    let text = state.as_str().unwrap();
    // In the middle: the last character may have bits that mean nothing.
    let (before, after) = text.split_at(text.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    let tampered = json!(format!("{before}{other}{}", &after[1..]));
    for (name, arguments, state) in [
        ("b__other", json!({}), state),
        ("b__greet", json!({"changed": 1}), state),
        ("b__greet", json!({}), &tampered),
        ("b__greet", json!({}), &json!("bare-state-1")),
        ("b__greet", json!({}), &json!("")),
    ] {
        let refused = call(&gateway, name, arguments.clone(), Some((state, answer()))).await;
        assert_eq!(
            refused["error"]["code"], -32602,
            "{name} {arguments} {state}: {refused}"
        );
    }
    assert_eq!(backend.count("tools/call"), 1);
}

#[tokio::test]
async fn a_stateful_client_that_cannot_be_asked_gets_a_text_that_says_so() {
    let (_backend, gateway) = fixture().await;
    let client = Stateful::open_with(&gateway.url(), "2025-11-25", json!({})).await;
    let refused = client
        .ask("tools/call", json!({"name": "b__greet", "arguments": {}}))
        .await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(refused["result"].get("requestState").is_none(), "{refused}");
}
