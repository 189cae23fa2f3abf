//! Routes that change under living sessions, and a gateway that shuts down.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_exchange::{Acknowledged, Event, ListenFilter};
use support::script::scripted;
use support::{Gateway, start, stateful};

#[tokio::test]
async fn a_session_goes_on_over_the_routes_new_stage() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let running = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    let old = gateway.script.call().await;
    let (stage, mut script) = scripted();
    let settings = isthmus_config::Listener::new("main", gateway.address);
    gateway
        .listener
        .replace(settings, vec![support::face(stage)]);
    let asking = client.posting(&stateful("2", "tools/call", r#"{"name":"x"}"#));
    script.call().await.complete(r#"{"content":["new"]}"#);
    assert_eq!(
        asking.await.unwrap().json().await["result"]["content"][0],
        "new"
    );
    old.complete(r#"{"content":["old"]}"#);
    assert_eq!(
        running.await.unwrap().json().await["result"]["content"][0],
        "old"
    );
}

#[tokio::test]
async fn a_route_that_is_gone_is_404() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let settings = isthmus_config::Listener::new("main", gateway.address);
    gateway.listener.replace(settings, Vec::new());
    assert_eq!(client.post(&stateful("1", "ping", "{}")).await.status, 404);
}

/// The session's own listen, which the router ends when the route goes.
async fn desert(gateway: &mut Gateway) {
    let steps = gateway.script.listen().await.begin();
    let filter = ListenFilter::default();
    let acknowledged = Event::Acknowledged(Acknowledged { filter });
    steps.event(acknowledged).await;
    let settings = isthmus_config::Listener::new("main", gateway.address);
    gateway.listener.replace(settings, Vec::new());
    steps.finish("{}").await;
}

#[tokio::test(start_paused = true)]
async fn streams_on_which_nothing_will_come_end_with_their_route() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let mut standing = client.get().await;
    let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    let running = gateway.script.call().await;
    desert(&mut gateway).await;
    assert!(standing.event().await.is_none());
    running.complete(r#"{"content":[]}"#);
    assert_eq!(asking.await.unwrap().json().await["id"], 1);

    let mut gateway = start().await;
    let mut stream = gateway.client().at("/mcp/sse").get().await;
    let endpoint = stream.event().await.unwrap().data;
    let client = gateway.client().at(str::from_utf8(&endpoint).unwrap());
    let hello = r#"{"protocolVersion":"2024-11-05","capabilities":{}}"#;
    client.post(&stateful("0", "initialize", hello)).await;
    client
        .post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        .await;
    stream.message().await.unwrap();
    desert(&mut gateway).await;
    assert!(stream.event().await.is_none());
    assert!(gateway.clients.sessions().is_empty());
}

#[tokio::test]
async fn draining_finishes_what_runs_and_ends_standing_streams() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let mut standing = client.get().await;
    let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    let call = gateway.script.call().await;
    gateway.clients.drain();
    assert!(standing.event().await.is_none());
    call.complete(r#"{"content":[]}"#);
    assert_eq!(asking.await.unwrap().json().await["id"], 1);
    gateway.clients.drained().await;
}
