//! HTTP+SSE against a scripted backend.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime, and its own server is trusted"
)]

use futures_util::StreamExt;
use isthmus_exchange::ErrorKind;

use super::connect;
use crate::duplex::{OutgoingMessage, Pipe, PipeEvent};
use crate::scripted::{OpenStream, ScriptedBackend};

/// A pipe, and the backend's side of its stream.
async fn open(backend: &mut ScriptedBackend, address: &str) -> (Pipe, OpenStream) {
    let endpoint = backend.endpoint();
    let opening = tokio::spawn(async move { connect(&endpoint).await });
    let get = backend.get().await;
    assert_eq!(get.header("accept"), Some("text/event-stream"));
    assert_eq!(get.header("x-key"), Some("s3cret"));
    let stream = get.open_stream();
    stream
        .write(&format!(": hello\n\nevent: endpoint\ndata: {address}\n\n"))
        .await;
    (opening.await.unwrap().unwrap(), stream)
}

fn message(text: &'static str, request: Option<u64>) -> OutgoingMessage {
    OutgoingMessage {
        text: text.into(),
        request,
    }
}

async fn next_message(pipe: &mut Pipe) -> String {
    match pipe.incoming.next().await {
        Some(Ok(PipeEvent::Message(text))) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test]
async fn messages_go_by_post_to_the_named_address_and_come_on_the_stream() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, stream) = open(&mut backend, "/messages/?session_id=7").await;
    pipe.outgoing
        .send(message("{\"id\":1}", Some(1)))
        .await
        .unwrap();
    let post = backend.post().await;
    assert_eq!(post.path, "/messages/?session_id=7");
    assert_eq!(post.body, "{\"id\":1}");
    assert_eq!(post.header("content-type"), Some("application/json"));
    assert_eq!(post.header("x-key"), Some("s3cret"));
    stream.event("{\"a\":1}").await;
    assert_eq!(next_message(&mut pipe).await, "{\"a\":1}");
    post.answer(202, &[], "Accepted");
    // An event without a type is a message too; one of another type is not.
    stream
        .write("event: ping\ndata: x\n\ndata: {\"b\":2}\n\n")
        .await;
    assert_eq!(next_message(&mut pipe).await, "{\"b\":2}");
}

#[tokio::test]
async fn messages_go_out_in_their_order() {
    let mut backend = ScriptedBackend::start().await;
    let (pipe, _stream) = open(&mut backend, "messages").await;
    for text in ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"] {
        pipe.outgoing.send(message(text, None)).await.unwrap();
    }
    for number in 0..3 {
        let post = backend.post().await;
        assert_eq!(post.json()["n"], number);
        post.accept();
    }
}

#[tokio::test]
async fn a_request_that_is_not_taken_fails_alone() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, stream) = open(&mut backend, "/m").await;
    pipe.outgoing.send(message("{}", Some(4))).await.unwrap();
    backend.post().await.answer(400, &[], "no");
    let Some(Ok(PipeEvent::Undelivered { request, error })) = pipe.incoming.next().await else {
        panic!("delivered")
    };
    assert_eq!(request, 4);
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    stream.event("{}").await;
    assert_eq!(next_message(&mut pipe).await, "{}");
}

#[tokio::test]
async fn a_request_whose_session_is_gone_was_not_accepted() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, _stream) = open(&mut backend, "/m").await;
    pipe.outgoing.send(message("{}", Some(4))).await.unwrap();
    backend.post().await.answer(404, &[], "no such session");
    let Some(Ok(PipeEvent::Undelivered { request: 4, error })) = pipe.incoming.next().await else {
        panic!("delivered")
    };
    assert_eq!(*error.kind(), ErrorKind::SessionUnknown);
    assert!(matches!(pipe.incoming.next().await, Some(Err(_))));
}

#[tokio::test]
async fn an_address_at_another_origin_is_not_posted_to() {
    let mut backend = ScriptedBackend::start().await;
    let endpoint = backend.endpoint();
    let opening = tokio::spawn(async move { connect(&endpoint).await });
    let stream = backend.get().await.open_stream();
    stream
        .write("event: endpoint\ndata: http://elsewhere.example/m\n\n")
        .await;
    let error = opening.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error:?}"
    );
    assert!(error.message().contains("elsewhere.example"), "{error}");
    stream.abandoned().await;
}

#[tokio::test]
async fn the_loss_of_the_stream_ends_the_pipe_and_says_why() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, stream) = open(&mut backend, "/m").await;
    stream.break_off().await;
    let Some(Err(error)) = pipe.incoming.next().await else {
        panic!("no reason")
    };
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    assert!(pipe.incoming.next().await.is_none());
    pipe.end.ended().cancelled().await;
    pipe.outgoing.closed().await;
}

#[tokio::test]
async fn closing_the_pipe_ends_the_stream() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, stream) = open(&mut backend, "/m").await;
    pipe.end.close();
    stream.abandoned().await;
    pipe.end.ended().cancelled().await;
    assert!(pipe.incoming.next().await.is_none());
}

#[tokio::test]
async fn an_event_that_is_too_large_ends_the_pipe() {
    let mut backend = ScriptedBackend::start().await;
    let (mut pipe, stream) = open(&mut backend, "/m").await;
    let writing = tokio::spawn(async move {
        stream.write("data: ").await;
        while stream.try_write(&"z".repeat(1 << 16)).await.is_ok() {}
    });
    let Some(Err(error)) = pipe.incoming.next().await else {
        panic!("no reason")
    };
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error:?}"
    );
    writing.await.unwrap();
}

#[tokio::test]
async fn what_is_no_event_stream_cannot_be_opened() {
    for (status, content_type) in [(200, "text/html"), (405, "text/plain"), (401, "text/plain")] {
        let mut backend = ScriptedBackend::start().await;
        let endpoint = backend.endpoint();
        let opening = tokio::spawn(async move { connect(&endpoint).await });
        backend
            .get()
            .await
            .answer(status, &[("content-type", content_type)], "x");
        assert!(opening.await.unwrap().is_err(), "{status}");
    }
}
