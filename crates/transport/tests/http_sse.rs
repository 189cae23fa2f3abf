//! HTTP+SSE of 2024-11-05: a stream, a path to post to, and a session that lives as long as the stream.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_exchange::{Acknowledged, Event, ItemKind, ListenFilter, Notice};
use isthmus_protocol::Method;
use serde_json::json;
use support::client::{Answer, Client};
use support::{ALL, Gateway, Setup, answer, start, start_with, stateful};

async fn connect(gateway: &Gateway) -> (Answer, Client) {
    let mut stream = gateway.client().at("/mcp/sse").get().await;
    assert_eq!(stream.status, 200);
    assert!(stream.is_stream());
    let event = stream.event().await.unwrap();
    assert_eq!(event.event.as_deref(), Some("endpoint"));
    let path = String::from_utf8(event.data.to_vec()).unwrap();
    assert!(path.starts_with("/mcp/messages?session="), "{path}");
    (stream, gateway.client().at(&path))
}

async fn handshake(stream: &mut Answer, client: &Client) {
    let hello = format!(r#"{{"protocolVersion":"2024-11-05","capabilities":{ALL}}}"#);
    let posted = client.post(&stateful("0", "initialize", &hello)).await;
    assert_eq!(posted.status, 202);
    let answer = stream.message().await.unwrap();
    assert_eq!(answer["result"]["protocolVersion"], "2024-11-05");
    assert!(
        answer["result"]["capabilities"]
            .get("completions")
            .is_none()
    );
    client
        .post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        .await;
}

#[tokio::test]
async fn answers_and_notices_come_on_the_stream() {
    let mut gateway = start().await;
    let (mut stream, client) = connect(&gateway).await;
    handshake(&mut stream, &client).await;
    let listening = gateway.script.listen().await.begin();
    let filter = ListenFilter::default();
    listening
        .event(Event::Acknowledged(Acknowledged { filter }))
        .await;
    let call = stateful(
        "\"a\"",
        "tools/call",
        r#"{"name":"x","_meta":{"progressToken":5}}"#,
    );
    assert_eq!(client.post(&call).await.status, 202);
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1,"message":"hi"}"#).await;
    let event = stream.event().await.unwrap();
    assert_eq!(event.event.as_deref(), Some("message"));
    let progress: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(
        progress["params"],
        json!({"progress": 1, "progressToken": 5})
    );
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(stream.message().await.unwrap()["id"], "a");
    listening
        .event(Event::Notice(Notice::ListChanged(ItemKind::Tool)))
        .await;
    let notice = stream.message().await.unwrap();
    assert_eq!(notice["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn questions_come_on_the_stream_and_are_answered_by_post() {
    let mut gateway = start().await;
    let (mut stream, client) = connect(&gateway).await;
    handshake(&mut stream, &client).await;
    client
        .post(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = gateway.script.call().await.begin();
    let answered = steps.ask(Method::RootsList, "{}").await;
    let open = steps.ask(Method::RootsList, "{}").await;
    let question = stream.message().await.unwrap();
    assert_eq!(question["method"], "roots/list");
    let roots = answer(&question, r#"{"roots":[]}"#);
    assert_eq!(client.post(&roots).await.status, 202);
    assert_eq!(answered.await.unwrap().unwrap().as_str(), r#"{"roots":[]}"#);
    drop(stream);
    assert!(open.await.is_err());
    steps.cancelled().await;
}

#[tokio::test]
async fn when_the_stream_ends_the_session_ends() {
    let mut gateway = start().await;
    let (mut stream, client) = connect(&gateway).await;
    handshake(&mut stream, &client).await;
    client
        .post(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = gateway.script.call().await.begin();
    drop(stream);
    steps.cancelled().await;
    assert!(gateway.clients.sessions().is_empty());
    let late = client.post(&stateful("2", "ping", "{}")).await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn cancelling_works_and_nothing_more_is_sent() {
    let mut gateway = start().await;
    let (mut stream, client) = connect(&gateway).await;
    handshake(&mut stream, &client).await;
    client
        .post(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = gateway.script.call().await.begin();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    client.post(cancel).await;
    steps.cancelled().await;
    client.post(&stateful("2", "ping", "{}")).await;
    assert_eq!(stream.message().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_on_the_stream() {
    let gateway = start().await;
    let (mut stream, client) = connect(&gateway).await;
    client.post("{").await;
    assert_eq!(stream.message().await.unwrap()["error"]["code"], -32700);
    client.post(&stateful("1", "tools/list", "{}")).await;
    assert_eq!(stream.message().await.unwrap()["error"]["code"], -32600);
    client.post(&stateful("2", "ping", "{}")).await;
    assert_eq!(stream.message().await.unwrap()["result"], json!({}));
}

#[tokio::test]
async fn a_guessed_session_and_a_wrong_method_are_refused() {
    let gateway = start().await;
    let guess = gateway.client().at("/mcp/messages?session=0");
    assert_eq!(guess.post(&stateful("1", "ping", "{}")).await.status, 404);
    let answer = gateway.client().at("/mcp/sse").post("{}").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET, OPTIONS"));
    let none = start_with(Setup {
        face: Box::new(|mut face| {
            face.legacy_sse = false;
            face
        }),
        ..Setup::default()
    })
    .await;
    assert_eq!(none.client().at("/mcp/sse").get().await.status, 404);
}
