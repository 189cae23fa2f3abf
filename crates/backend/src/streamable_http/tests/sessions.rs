//! Opening and ending a session, and what goes with every request in between.

use std::collections::BTreeSet;

use isthmus_exchange::ErrorKind;

use super::*;
use crate::conversation::Watch;

#[tokio::test]
async fn the_handshake_offers_the_newest_stateful_revision_and_then_says_initialized() {
    let mut backend = ScriptedBackend::start().await;
    let endpoint = backend.endpoint();
    let opening =
        tokio::spawn(async move { StatefulHttp::open(&endpoint, &json(r#"{"roots":{}}"#)).await });
    let initialize = backend.post().await;
    assert_eq!(
        initialize.body,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"isthmus","version":"0"}}}"#
    );
    assert_eq!(
        initialize.header("accept"),
        Some("application/json, text/event-stream")
    );
    assert_eq!(initialize.header("content-type"), Some("application/json"));
    assert_eq!(initialize.header("x-key"), Some("s3cret"));
    for absent in ["mcp-session-id", "mcp-protocol-version", "mcp-method"] {
        assert_eq!(initialize.header(absent), None, "{absent}");
    }
    // Many servers answer even this with a stream.
    let id = initialize.id();
    let stream = initialize.open_stream();
    stream
        .result(
            &id,
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"instructions":"hi"}"#,
        )
        .await;
    let initialized = backend.post().await;
    assert_eq!(
        initialized.body,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
    );
    assert_eq!(
        initialized.header("mcp-protocol-version"),
        Some("2025-06-18")
    );
    initialized.accept();
    let session = opening.await.unwrap().unwrap();
    assert_eq!(session.facts().revision, Revision::V2025_06_18);
    assert_eq!(session.facts().instructions.as_deref(), Some("hi"));
}

#[tokio::test]
async fn session_id_and_revision_go_with_every_request_to_the_end() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let check = |received: &crate::scripted::Received| {
        assert_eq!(received.header("mcp-session-id"), Some("s-1"));
        assert_eq!(received.header("mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(received.header("x-key"), Some("s3cret"));
    };
    let get = backend.get().await;
    check(&get);
    assert_eq!(get.header("accept"), Some("text/event-stream"));
    assert_eq!(get.header("content-type"), None);
    let calling = send(&session, call("a"));
    let post = backend.post_of("tools/call").await;
    check(&post);
    post.answer_result("{}");
    calling.await.unwrap().unwrap();
    let closed = session.closed();
    let closing = tokio::spawn(session.close());
    let delete = backend.delete().await;
    check(&delete);
    delete.answer(200, &[], "");
    closing.await.unwrap();
    assert!(closed.is_cancelled());
}

#[tokio::test]
async fn the_revision_is_named_only_from_2025_06_18_on() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-03-26", Some("s-1"), "{}").await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    assert_eq!(post.header("mcp-protocol-version"), None);
    post.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_unusable_revision_ends_the_handshake() {
    let mut backend = ScriptedBackend::start().await;
    let endpoint = backend.endpoint();
    let opening = tokio::spawn(async move { StatefulHttp::open(&endpoint, &json("{}")).await });
    backend
        .post()
        .await
        .answer_result(r#"{"protocolVersion":"2031-01-01","capabilities":{}}"#);
    let error = opening.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error:?}"
    );
    assert!(error.message().contains("2031-01-01"), "{error}");
}

#[tokio::test]
async fn a_replica_that_refuses_connections_is_passed_over() {
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/mcp", listener.local_addr().unwrap())
    };
    let mut backend = ScriptedBackend::start().await;
    let endpoint = backend.endpoint_with(&[&dead, &backend.url], |_| {});
    let opening = tokio::spawn(async move { StatefulHttp::open(&endpoint, &json("{}")).await });
    backend
        .post()
        .await
        .answer_result(r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#);
    backend.post().await.accept();
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn subscriptions_follow_what_is_watched() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let watch = |uris: &[&str]| Watch {
        lists: true,
        uris: uris
            .iter()
            .map(|uri| (*uri).to_owned())
            .collect::<BTreeSet<_>>(),
    };
    let watching = tokio::spawn(session.clone().watch(watch(&["a:1", "a:2"])));
    let first = backend.post_of("resources/subscribe").await;
    assert_eq!(first.json()["params"]["uri"], "a:1");
    first.answer_result("{}");
    let second = backend.post_of("resources/subscribe").await;
    let refused = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32002,"message":"no"}}}}"#,
        second.id()
    );
    second.answer_json(200, refused);
    assert_eq!(watching.await.unwrap().unwrap(), watch(&["a:1"]));

    let watching = tokio::spawn(session.clone().watch(watch(&["a:3"])));
    let subscribed = backend.post_of("resources/subscribe").await;
    assert_eq!(subscribed.json()["params"]["uri"], "a:3");
    subscribed.answer_result("{}");
    let ended = backend.post_of("resources/unsubscribe").await;
    assert_eq!(ended.json()["params"]["uri"], "a:1");
    ended.answer_result("{}");
    assert_eq!(watching.await.unwrap().unwrap(), watch(&["a:3"]));
}

#[tokio::test]
async fn a_resource_is_subscribed_also_where_subscriptions_are_not_declared() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-11-25", None, r#"{"resources":{}}"#).await;
    let wanted = Watch {
        lists: true,
        uris: ["a:1".to_owned()].into(),
    };
    let watching = tokio::spawn(session.watch(wanted.clone()));
    backend
        .post_of("resources/subscribe")
        .await
        .answer_result("{}");
    assert_eq!(watching.await.unwrap().unwrap().uris, wanted.uris);
}
