//! A caller that leaves cancels its request by a notification, in every session (LC-5).

use super::*;

#[tokio::test]
async fn dropping_a_reply_cancels_by_our_id() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call_with_progress("a"));
    let post = backend.post().await;
    let id = post.id();
    let token = token_of(&id);
    let stream = post.open_stream();
    stream
        .event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
        ))
        .await;
    drop(calling.await.unwrap().unwrap());
    let cancelled = backend.post_of("notifications/cancelled").await;
    assert_eq!(cancelled.json()["params"]["requestId"].to_string(), id);
    assert_eq!(cancelled.header("mcp-session-id"), Some("s-1"));
    cancelled.accept();
    stream.abandoned().await;
}

#[tokio::test]
async fn dropping_a_request_that_has_no_answer_yet_cancels_it() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    let id = post.id();
    calling.abort();
    let cancelled = backend.post_of("notifications/cancelled").await;
    assert_eq!(cancelled.json()["params"]["requestId"].to_string(), id);
    cancelled.accept();
    post.abandoned().await;
}

#[tokio::test]
async fn an_answered_request_is_not_cancelled() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    backend.post().await.answer_result("{}");
    drop(calling.await.unwrap().unwrap());
    let calling = send(&session, call("b"));
    // Nothing came in between.
    backend.post_of("tools/call").await.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_that_is_closed_first_tells_what_was_cancelled() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, call("a"));
    let _post = backend.post().await;
    calling.abort();
    assert!(calling.await.is_err());
    let closing = tokio::spawn(session.close());
    backend.post_of("notifications/cancelled").await.accept();
    backend.delete().await.accept();
    closing.await.unwrap();
}
