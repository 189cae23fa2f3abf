//! Batches: part of 2025-03-26, and of nothing else.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_protocol::Method;
use serde_json::{Value, json};
use support::{ALL, answer, start, stateful, stateless};

#[tokio::test]
async fn every_request_of_a_batch_is_answered_in_one_array() {
    let mut gateway = start().await;
    let client = gateway.session("2025-03-26").await;
    let batch = format!(
        r#"[{},{{"jsonrpc":"2.0","method":"notifications/x"}},{},{{"jsonrpc":"2.0","id":3,"result":{{}}}},{{"id":4}}]"#,
        stateful("1", "ping", "{}"),
        stateful("2", "tools/call", r#"{"name":"x"}"#),
    );
    let asking = client.posting(&batch);
    gateway.script.call().await.complete(r#"{"content":[]}"#);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    let answers = answer.json().await;
    let find = |id: Value| {
        let found = answers.as_array().unwrap().iter();
        found
            .clone()
            .find(|answer| answer["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(find(json!(1))["result"], json!({}));
    assert_eq!(find(json!(2))["result"], json!({"content": []}));
    assert_eq!(find(json!(4))["error"]["code"], -32600);
}

#[tokio::test]
async fn progress_in_a_batch_makes_it_a_stream() {
    let mut gateway = start().await;
    let client = gateway.session("2025-03-26").await;
    let batch = format!(
        "[{},{}]",
        stateful(
            "1",
            "tools/call",
            r#"{"name":"x","_meta":{"progressToken":1}}"#
        ),
        stateful("2", "ping", "{}"),
    );
    let asking = client.posting(&batch);
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    assert!(answer.is_stream());
    steps.finish(r#"{"content":[]}"#).await;
    let mut ids = Vec::new();
    while let Some(message) = answer.message().await {
        ids.push(message["id"].clone());
    }
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [json!(1), json!(2), json!(null)]);
}

#[tokio::test]
async fn questions_in_a_batch_come_on_its_stream_and_are_answered_in_another() {
    let mut gateway = start().await;
    let client = gateway.session_with("2025-03-26", ALL).await;
    let batch = format!(
        "[{},{}]",
        stateful("1", "tools/call", r#"{"name":"x"}"#),
        stateful("2", "tools/call", r#"{"name":"y"}"#),
    );
    let asking = client.posting(&batch);
    let (one, two) = (gateway.script.call().await, gateway.script.call().await);
    let (one, two) = (one.begin(), two.begin());
    let first = one.ask(Method::RootsList, "{}").await;
    let mut answers = asking.await.unwrap();
    assert!(answers.is_stream());
    let asked = answers.message().await.unwrap();
    let second = two.ask(Method::RootsList, "{}").await;
    let asked_too = answers.message().await.unwrap();
    let responses = format!(
        "[{},{}]",
        answer(&asked_too, r#"{"roots":[2]}"#),
        answer(&asked, r#"{"roots":[1]}"#)
    );
    assert_eq!(client.post(&responses).await.status, 202);
    assert_eq!(first.await.unwrap().unwrap().as_str(), r#"{"roots":[1]}"#);
    assert_eq!(second.await.unwrap().unwrap().as_str(), r#"{"roots":[2]}"#);
    one.finish(r#"{"content":[]}"#).await;
    two.finish(r#"{"content":[]}"#).await;
    assert!(answers.message().await.unwrap()["result"].is_object());
    assert!(answers.message().await.unwrap()["result"].is_object());
    assert!(answers.message().await.is_none());
}

#[tokio::test]
async fn a_batch_without_requests_is_accepted() {
    let gateway = start().await;
    let client = gateway.session("2025-03-26").await;
    let answer = client
        .post(r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":1,"result":{}}]"#)
        .await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn where_no_batch_is_allowed_it_is_refused_as_a_whole() {
    let mut gateway = start().await;
    let ping = format!("[{}]", stateful("1", "ping", "{}"));
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = gateway.session(revision).await;
        let answer = client.post(&ping).await;
        assert_eq!(answer.status, 400, "{revision}");
        let answer = answer.json().await;
        assert_eq!(answer["error"]["code"], -32600);
        assert_eq!(answer["id"], json!(null));
    }
    let client = gateway.session("2025-03-26").await;
    let modern = format!("[{}]", stateless("1", "tools/list", "{}"));
    let empty = "[]".to_owned();
    for batch in [modern, empty] {
        assert_eq!(client.post(&batch).await.status, 400, "{batch}");
    }
    let long = format!("[{}]", vec![stateful("1", "ping", "{}"); 101].join(","));
    assert_eq!(client.post(&long).await.status, 400);
    assert_eq!(gateway.client().post(&ping).await.status, 400);
    assert!(gateway.script.is_idle());
}

#[tokio::test]
async fn initialize_must_come_alone() {
    let gateway = start().await;
    let client = gateway.session("2025-03-26").await;
    let answer = client
        .post(r#"[{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}]"#)
        .await;
    assert_eq!(answer.json().await[0]["error"]["code"], -32600);
}
