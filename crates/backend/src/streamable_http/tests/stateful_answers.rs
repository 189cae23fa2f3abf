//! What a session makes of answers.

use isthmus_exchange::ErrorKind;

use super::*;

#[tokio::test]
async fn a_json_result_is_ready_at_once_and_keeps_its_bytes() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    assert_eq!(
        post.body,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","arguments":{}}}"#
    );
    post.answer_result(r#"{ "content":[ ],"n":1.0e0,"resultType":"complete"}"#);
    let outcome = calling.await.unwrap().unwrap().into_ready().unwrap();
    assert_eq!(complete(outcome).as_str(), r#"{ "content":[ ],"n":1.0e0}"#);
}

#[tokio::test]
async fn a_stream_that_holds_nothing_but_the_result_is_ready_at_once() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    let id = post.id();
    let stream = post.open_stream();
    // The priming event of 2025-11-25, and a keep-alive.
    stream.write("id: 1\ndata:\n\n: still here\n\n").await;
    stream.result(&id, r#"{"x":1}"#).await;
    let outcome = calling.await.unwrap().unwrap().into_ready().unwrap();
    assert_eq!(complete(outcome).as_str(), r#"{"x":1}"#);
}

#[tokio::test]
async fn events_of_a_stream_come_in_their_order_as_they_arrive() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call_with_progress("a"));
    let post = backend.post().await;
    let (id, token) = (
        post.id(),
        post.json()["params"]["_meta"]["progressToken"].to_string(),
    );
    let stream = post.open_stream();
    let progress = |at: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at}}}}}"#
        )
    };
    stream.event(&progress("0.50")).await;
    let mut reply = calling.await.unwrap().unwrap();
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":0.50}"#);
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#)
        .await;
    match reply.next().await {
        Step::Event(Event::Log(record)) => {
            assert_eq!(record.params.as_str(), r#"{"level":"info","data":"x"}"#)
        }
        step => panic!("no log: {step:?}"),
    }
    stream.event(&progress("1")).await;
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":1}"#);
    stream.result(&id, "{}").await;
    assert_eq!(result_of(reply).await, "{}");
}

#[tokio::test]
async fn progress_that_nobody_wanted_is_left_out() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    let id = post.id();
    let token = token_of(&id);
    assert!(post.json()["params"].get("_meta").is_none());
    let stream = post.open_stream();
    stream
        .event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
        ))
        .await;
    stream.result(&id, "{}").await;
    assert!(calling.await.unwrap().unwrap().into_ready().is_ok());
}

#[tokio::test]
async fn progress_on_the_get_stream_reaches_its_call() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let get = backend.get().await.open_stream();
    let calling = send(&session, call_with_progress("a"));
    let post = backend.post().await;
    let token = post.json()["params"]["_meta"]["progressToken"].to_string();
    get.event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":3}}}}"#
    ))
    .await;
    // The head of the answer is still missing.
    let mut reply = calling.await.unwrap().unwrap();
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":3}"#);
    post.answer_result("{}");
    assert_eq!(result_of(reply).await, "{}");
}

#[tokio::test]
async fn a_wrong_content_type_does_not_matter() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    for content_type in ["application/json", "text/plain"] {
        let calling = send(&session, call("a"));
        let post = backend.post().await;
        let id = post.id();
        let stream = post.open_stream_as(content_type);
        stream.result(&id, r#"{"a":1}"#).await;
        assert_eq!(
            result_of(calling.await.unwrap().unwrap()).await,
            r#"{"a":1}"#
        );
    }
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"b":2}}}}"#,
        post.id()
    );
    post.answer(200, &[("content-type", "text/event-stream")], body);
    assert_eq!(
        result_of(calling.await.unwrap().unwrap()).await,
        r#"{"b":2}"#
    );
}

#[tokio::test]
async fn a_batch_is_unpacked() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-03-26", Some("s-1"), "{}").await;
    let calling = send(&session, call_with_progress("a"));
    let post = backend.post().await;
    let id = post.id();
    let token = token_of(&id);
    let body = format!(
        r#"[{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}},
            {{"jsonrpc":"2.0","id":{id},"result":{{"c":3}}}}]"#
    );
    post.answer_json(200, body);
    let mut reply = calling.await.unwrap().unwrap();
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":1}"#);
    assert_eq!(result_of(reply).await, r#"{"c":3}"#);
}

#[tokio::test]
async fn a_json_rpc_error_counts_at_any_status() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    for status in [200, 400, 404, 500] {
        let calling = send(&session, call("a"));
        let post = backend.post().await;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no such","data":[1.0]}}}}"#,
            post.id()
        );
        post.answer_json(status, body);
        let error = calling.await.unwrap().unwrap_err();
        let ErrorKind::Answered { error, .. } = error.kind() else {
            panic!("{error:?}")
        };
        assert_eq!((error.code, error.message.as_str()), (-32601, "no such"));
        assert_eq!(error.data.as_ref().unwrap().as_str(), "[1.0]");
    }
}

#[tokio::test]
async fn without_anybody_to_ask_requests_of_the_backend_are_answered_at_once() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    let post = backend.post().await;
    let id = post.id();
    let stream = post.open_stream();
    stream
        .event(r#"{"jsonrpc":"2.0","id":"p-1","method":"ping"}"#)
        .await;
    let pong = backend.post().await;
    assert_eq!(pong.body, r#"{"jsonrpc":"2.0","id":"p-1","result":{}}"#);
    assert_eq!(pong.header("mcp-session-id"), Some("s-1"));
    pong.accept();
    stream
        .event(r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#)
        .await;
    let refusal = backend.post().await;
    assert_eq!(refusal.json()["id"], 7);
    assert_eq!(refusal.json()["error"]["code"], -32602);
    assert!(
        refusal.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("sampling/createMessage")
    );
    refusal.accept();
    stream.result(&id, "{}").await;
    assert_eq!(result_of(calling.await.unwrap().unwrap()).await, "{}");
}

#[tokio::test]
async fn connections_are_used_again_after_answers_of_both_kinds() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-11-25", None, "{}").await;
    backend.get().await.answer(405, &[], "");
    for round in 0..6 {
        let calling = send(&session, call("a"));
        let post = backend.post().await;
        let id = post.id();
        if round % 2 == 0 {
            post.answer_result("{}");
        } else {
            post.open_stream().result(&id, "{}").await;
        }
        calling.await.unwrap().unwrap();
    }
    // Draining a stream and sending the next call may overlap once; a connection per call would be eight.
    assert!(
        backend.connections() <= 4,
        "{} connections",
        backend.connections()
    );
}
