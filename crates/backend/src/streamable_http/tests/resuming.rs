//! Answers that break off before the response (LC-7).

use isthmus_exchange::ErrorKind;

use super::*;

#[tokio::test]
async fn a_broken_answer_is_resumed_by_its_last_event_id() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, call_with_progress("a"));
    let post = backend.post().await;
    let (id, token) = (
        post.id(),
        post.json()["params"]["_meta"]["progressToken"].to_string(),
    );
    let progress = |at: u8| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at}}}}}"#
        )
    };
    let stream = post.open_stream();
    stream
        .write(&format!("id: e-1\nretry: 1\ndata: {}\n\n", progress(1)))
        .await;
    let mut reply = calling.await.unwrap().unwrap();
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":1}"#);
    stream.break_off().await;

    // Reading on is what makes the reply notice the loss.
    let reading = tokio::spawn(async move {
        let second = next_progress(&mut reply).await;
        (second, result_of(reply).await)
    });
    // Not at once: the backend is restarting, say.
    let get = backend.get().await;
    assert_eq!(get.header("last-event-id"), Some("e-1"));
    assert_eq!(get.header("mcp-session-id"), Some("s-1"));
    get.answer(503, &[], "");
    let stream = backend.get().await.open_stream();
    stream
        .write(&format!("id: e-2\ndata: {}\n\n", progress(2)))
        .await;
    drop(stream); // 2025-11-25 lets a server end a stream in good order and be asked again.
    let get = backend.get().await;
    assert_eq!(get.header("last-event-id"), Some("e-2"));
    get.open_stream().result(&id, r#"{"done":true}"#).await;
    assert_eq!(
        reading.await.unwrap(),
        (
            r#"{"progress":2}"#.to_owned(),
            r#"{"done":true}"#.to_owned()
        )
    );
}

#[tokio::test]
async fn without_event_ids_a_broken_answer_is_lost_and_the_request_is_cancelled() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    for ends_well in [true, false] {
        let calling = send(&session, call("a"));
        let post = backend.post().await;
        let id = post.id();
        let stream = post.open_stream();
        stream.write(": hello\n\n").await;
        if ends_well {
            drop(stream)
        } else {
            stream.break_off().await
        };
        let error = calling.await.unwrap().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
            "{error:?}"
        );
        let cancelled = backend.post_of("notifications/cancelled").await;
        assert_eq!(cancelled.json()["params"]["requestId"].to_string(), id);
        cancelled.accept();
    }
    assert!(!session.closed().is_cancelled());
}

#[tokio::test]
async fn a_session_that_ends_during_a_call_fails_the_call_for_good() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, call("a"));
    let stream = backend.post().await.open_stream();
    stream.write("id: e-1\nretry: 1\ndata:\n\n").await;
    drop(stream);
    backend.get().await.answer(404, &[], "");
    let error = calling.await.unwrap().unwrap_err();
    // It was accepted once: it must not look as if it could be sent again.
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    assert!(session.closed().is_cancelled());
}

#[tokio::test]
async fn a_backend_that_keeps_ending_its_streams_is_given_up() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, call("a"));
    let stream = backend.post().await.open_stream();
    stream.write("id: e-1\nretry: 1\ndata:\n\n").await;
    drop(stream);
    for _ in 0..10 {
        drop(backend.get().await.open_stream());
    }
    let error = calling.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
}
