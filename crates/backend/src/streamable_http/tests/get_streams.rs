//! The stream on which a stateful backend says what belongs to no request.

use isthmus_exchange::ItemKind;

use super::*;
use crate::conversation::PeerNotice;

#[tokio::test]
async fn notices_of_the_get_stream_are_heard() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let mut notices = session.notices();
    assert!(!session.hears());
    let known = session.clone().hears_soon();
    let stream = backend.get().await.open_stream();
    assert!(known.await);
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
        .await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
    assert!(session.hears());
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1","x":1.0}}"#)
        .await;
    let PeerNotice::ResourceUpdated { uri, params } = notices.recv().await.unwrap() else {
        panic!("no update")
    };
    assert_eq!(
        (uri.as_str(), params.as_str()),
        ("a:1", r#"{"uri":"a:1","x":1.0}"#)
    );
    // Garbage does not end the stream.
    stream.event("{").await;
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":1}}"#)
        .await;
    assert!(matches!(notices.recv().await.unwrap(), PeerNotice::Log(_)));
}

#[tokio::test]
async fn a_backend_without_a_get_stream_is_not_heard() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let known = session.clone().hears_soon();
    backend.get().await.answer(405, &[], "");
    assert!(!known.await);
    let calling = send(&session, call("a"));
    backend.post().await.answer_result("{}");
    calling.await.unwrap().unwrap();
    assert!(!session.hears());
    assert!(!session.closed().is_cancelled());
}

#[tokio::test]
async fn a_lost_stream_is_resumed_where_it_ended_when_events_had_ids() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let mut notices = session.notices();
    let stream = backend.get().await.open_stream();
    stream.write("id: g-7\nretry: 1\ndata:\n\n").await;
    stream.break_off().await;
    let get = backend.get().await;
    assert_eq!(get.header("last-event-id"), Some("g-7"));
    let stream = get.open_stream();
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#)
        .await;
    // The backend repeats what was missed: nothing is made up.
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Prompt)
    );
}

#[tokio::test]
async fn after_a_gap_every_watched_list_may_have_changed() {
    let mut backend = ScriptedBackend::start().await;
    let capabilities = r#"{"tools":{"listChanged":true},"prompts":{}}"#;
    let session = open_session_with(&mut backend, "2025-06-18", Some("s-1"), capabilities).await;
    let mut notices = session.notices();
    drop(backend.get().await.open_stream());
    backend.get().await.answer(503, &[], "");
    let get = backend.get().await;
    assert_eq!(get.header("last-event-id"), None);
    let stream = get.open_stream();
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#)
        .await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Resource)
    );
}

#[tokio::test]
async fn a_get_that_finds_the_session_gone_ends_the_conversation() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    drop(backend.get().await.open_stream());
    backend.get().await.answer(404, &[], "");
    session.closed().cancelled().await;
}

#[tokio::test]
async fn the_stream_ends_with_the_conversation() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let stream = backend.get().await.open_stream();
    drop(session);
    stream.abandoned().await;
}
