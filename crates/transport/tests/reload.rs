//! Routes that change under living sessions, and a gateway that shuts down.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::script::scripted;
use support::{start, stateful};

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
