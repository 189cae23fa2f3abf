//! The listen stream of a stateless backend.

use std::collections::BTreeSet;

use isthmus_exchange::ItemKind;

use super::*;
use crate::conversation::{PeerNotice, Watch};
use crate::scripted::{OpenStream, Received};

fn watch(lists: bool, uris: &[&str]) -> Watch {
    Watch {
        lists,
        uris: uris
            .iter()
            .map(|uri| (*uri).to_owned())
            .collect::<BTreeSet<_>>(),
    }
}

async fn acknowledge(listen: Received, honoured: &str) -> OpenStream {
    let id = listen.id();
    let stream = listen.open_stream();
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"notifications":{honoured}}}}}"#
    );
    stream.event(&text).await;
    stream
}

#[tokio::test]
async fn a_listen_asks_for_what_is_declared_and_reports_what_is_honoured() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let mut notices = conversation.notices();
    let watching = tokio::spawn(conversation.clone().watch(watch(true, &["a:1", "a:2"])));
    let listen = backend.post_of("subscriptions/listen").await;
    assert_eq!(listen.header("mcp-method"), Some("subscriptions/listen"));
    assert_eq!(
        listen.json()["params"]["notifications"],
        serde_json::json!({
            "toolsListChanged": true,
            "promptsListChanged": true,
            "resourcesListChanged": true,
            "resourceSubscriptions": ["a:1", "a:2"],
        })
    );
    let id = listen.id();
    let stream = acknowledge(
        listen,
        r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#,
    )
    .await;
    assert_eq!(watching.await.unwrap().unwrap(), watch(true, &["a:1"]));
    assert!(conversation.hears());
    stream
        .event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"uri":"a:1"}}}}"#
        ))
        .await;
    let PeerNotice::ResourceUpdated { uri, params } = notices.recv().await.unwrap() else {
        panic!("no update")
    };
    assert_eq!((uri.as_str(), params.as_str()), ("a:1", r#"{"uri":"a:1"}"#));
}

#[tokio::test]
async fn a_new_listen_replaces_the_old_one_only_when_it_is_acknowledged() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let mut notices = conversation.notices();
    let watching = tokio::spawn(conversation.clone().watch(watch(true, &[])));
    let old = acknowledge(backend.post().await, r#"{"toolsListChanged":true}"#).await;
    watching.await.unwrap().unwrap();

    let watching = tokio::spawn(conversation.clone().watch(watch(true, &["a:1"])));
    let listen = backend.post().await;
    old.event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#)
        .await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
    let new = acknowledge(
        listen,
        r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#,
    )
    .await;
    watching.await.unwrap().unwrap();
    old.abandoned().await;
    new.event(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed","params":{}}"#)
        .await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Prompt)
    );

    // Nothing to watch any more: the stream is closed and no other opened.
    assert_eq!(
        conversation.clone().watch(watch(false, &[])).await.unwrap(),
        watch(false, &[])
    );
    new.abandoned().await;
    assert!(!conversation.hears());
}

#[tokio::test]
async fn a_lost_listen_is_opened_again_and_everything_may_have_changed() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let mut notices = conversation.notices();
    let watching = tokio::spawn(conversation.clone().watch(watch(true, &["a:1"])));
    let honoured = r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#;
    let stream = acknowledge(backend.post().await, honoured).await;
    watching.await.unwrap().unwrap();
    stream.break_off().await;
    backend
        .post_of("subscriptions/listen")
        .await
        .answer(503, &[], "");
    let _stream = acknowledge(backend.post_of("subscriptions/listen").await, honoured).await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
    assert!(
        matches!(notices.recv().await.unwrap(), PeerNotice::ResourceUpdated { uri, .. } if uri == "a:1")
    );
    assert!(conversation.hears());
}

#[tokio::test]
async fn a_backend_that_cannot_listen_is_not_heard() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let watching = tokio::spawn(conversation.clone().watch(watch(true, &[])));
    let listen = backend.post().await;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no"}}}}"#,
        listen.id()
    );
    listen.answer_json(404, body);
    assert_eq!(watching.await.unwrap().unwrap(), Watch::default());
    assert!(!conversation.hears());
}

#[tokio::test]
async fn a_conversation_that_is_closed_ends_its_listen() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let watching = tokio::spawn(conversation.clone().watch(watch(true, &[])));
    let stream = acknowledge(backend.post().await, r#"{"toolsListChanged":true}"#).await;
    watching.await.unwrap().unwrap();
    conversation.close().await;
    stream.abandoned().await;
    assert!(conversation.closed().is_cancelled());
}
