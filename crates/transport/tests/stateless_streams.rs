//! Replies of revision 2026-07-28 that take a while: streams that belong to one request and go with it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_exchange::{Acknowledged, Error, ErrorKind, Event, ItemKind, Notice};
use serde_json::json;
use support::{script::raw, start, stateless};

fn call_with(meta: &str) -> String {
    stateless("1", "tools/call", r#"{"name":"x"}"#)
        .replace("\"_meta\":{", &format!("\"_meta\":{{{meta},"))
}

#[tokio::test]
async fn progress_makes_it_a_stream_with_the_clients_own_token() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&call_with(r#""progressToken":"\u0074""#));
    let steps = gateway.script.call().await.begin();
    steps
        .progress(r#"{"progress":1,"total":2,"message":"half"}"#)
        .await;
    let mut answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.is_stream());
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let event = answer.event().await.unwrap();
    assert_eq!(event.id, None);
    let text = String::from_utf8(event.data.to_vec()).unwrap();
    assert!(text.contains(r#""progressToken":"\u0074""#), "{text}");
    assert!(text.contains(r#""message":"half""#), "{text}");
    steps.finish(r#"{"content":[]}"#).await;
    let last = answer.message().await.unwrap();
    assert_eq!(last["id"], 1);
    assert_eq!(last["result"]["resultType"], "complete");
    assert!(answer.message().await.is_none());
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_told() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&stateless("1", "tools/call", r#"{"name":"x"}"#));
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    steps.log("emergency").await;
    steps.finish(r#"{"content":[]}"#).await;
    let answer = asking.await.unwrap();
    assert!(!answer.is_stream());
    assert_eq!(answer.json().await["result"]["resultType"], "complete");
}

#[tokio::test]
async fn log_messages_come_from_the_level_asked_for() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&call_with(
        r#""io.modelcontextprotocol/logLevel":"warning""#,
    ));
    let steps = gateway.script.call().await.begin();
    steps.log("info").await;
    steps.log("error").await;
    let mut answer = asking.await.unwrap();
    let message = answer.message().await.unwrap();
    assert_eq!(message["method"], "notifications/message");
    assert_eq!(message["params"]["level"], "error");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&call_with(r#""progressToken":1"#));
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    answer.message().await.unwrap();
    drop(answer);
    steps.cancelled().await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_headers_cancels_too() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let (connected, connection) = tokio::sync::oneshot::channel();
    let asking = client.posting_on(&stateless("1", "tools/call", r#"{"name":"x"}"#), connected);
    let call = gateway.script.call().await;
    asking.abort();
    connection.await.unwrap().abort();
    call.cancelled().await;
}

#[tokio::test]
async fn an_error_after_the_stream_has_begun_comes_in_the_stream() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&call_with(r#""progressToken":1"#));
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    answer.message().await.unwrap();
    steps
        .done(Err(Error::new(ErrorKind::MethodNotFound, "no")))
        .await;
    let last = answer.message().await.unwrap();
    assert_eq!(last["error"]["code"], -32601);
}

#[tokio::test]
async fn a_listen_stream_is_acknowledged_first_and_carries_its_id() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("subscriptions/listen", "");
    let wanted = r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a:b","c:d"]}}"#;
    let asking = client.posting(&stateless("\"sub\"", "subscriptions/listen", wanted));
    let call = gateway.script.listen().await;
    let filter = call.request.listen.clone().unwrap();
    assert!(filter.tools && !filter.prompts && !filter.resources && !filter.follow_scope);
    assert_eq!(filter.uris.len(), 2);
    let mut honoured = filter.clone();
    honoured.uris.remove("c:d");
    let steps = call.begin();
    steps
        .event(Event::Acknowledged(Acknowledged { filter: honoured }))
        .await;
    steps
        .event(Event::Notice(Notice::ListChanged(ItemKind::Tool)))
        .await;
    steps
        .event(Event::Notice(Notice::ResourceUpdated {
            uri: "a:b".into(),
            params: raw(r#"{"uri":"a:b","mine":1}"#),
        }))
        .await;
    let mut answer = asking.await.unwrap();
    assert!(answer.is_stream());
    let id = json!({"io.modelcontextprotocol/subscriptionId": "sub"});
    let first = answer.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]})
    );
    assert_eq!(first["params"]["_meta"], id);
    let second = answer.message().await.unwrap();
    assert_eq!(second["method"], "notifications/tools/list_changed");
    assert_eq!(second["params"]["_meta"], id);
    let third = answer.message().await.unwrap();
    assert_eq!(third["method"], "notifications/resources/updated");
    assert_eq!(
        third["params"],
        json!({"uri": "a:b", "mine": 1, "_meta": id})
    );
    gateway.clients.drain();
    let last = answer.message().await.unwrap();
    assert_eq!(last["id"], "sub");
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(
        last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "sub"
    );
    assert!(answer.message().await.is_none());
    steps.cancelled().await;
}

#[tokio::test]
async fn a_listen_that_ends_with_its_route_says_so() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("subscriptions/listen", "");
    let wanted = r#"{"notifications":{"toolsListChanged":true}}"#;
    let asking = client.posting(&stateless("5", "subscriptions/listen", wanted));
    let call = gateway.script.listen().await;
    let filter = call.request.listen.clone().unwrap();
    let steps = call.begin();
    steps
        .event(Event::Acknowledged(Acknowledged { filter }))
        .await;
    let mut answer = asking.await.unwrap();
    answer.message().await.unwrap();
    let settings = isthmus_config::Listener::new("main", gateway.address);
    gateway.listener.replace(settings, Vec::new());
    steps.finish("{}").await;
    let last = answer.message().await.unwrap();
    assert_eq!(last["result"]["resultType"], "complete");
    let id = &last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(*id, 5);
    assert!(answer.message().await.is_none());
}

#[tokio::test]
async fn a_listen_that_says_nothing_sensible_is_refused() {
    let gateway = start().await;
    let client = gateway.client().stateless("subscriptions/listen", "");
    for params in [
        "{}",
        r#"{"notifications":[]}"#,
        r#"{"notifications":{"toolsListChanged":"yes"}}"#,
        r#"{"notifications":{"resourceSubscriptions":"a:b"}}"#,
    ] {
        let answer = client
            .post(&stateless("1", "subscriptions/listen", params))
            .await;
        assert_eq!(answer.status, 200, "{params}");
        assert_eq!(answer.code().await, -32602, "{params}");
    }
}
