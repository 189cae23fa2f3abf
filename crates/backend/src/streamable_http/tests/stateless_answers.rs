//! What a stateless conversation makes of answers.

use std::time::Duration;

use isthmus_exchange::ErrorKind;
use isthmus_protocol::code;

use super::*;

#[tokio::test]
async fn a_complete_result_comes_without_what_belongs_to_the_hop() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(
        &conversation,
        Outgoing::plain(Method::ToolsList, json("{}")),
    );
    backend.post().await.answer_result(
        r#"{"resultType":"complete","tools":[],"ttlMs":60000,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}"#,
    );
    let Ok(Outcome::Complete(complete)) = calling.await.unwrap().unwrap().into_ready() else {
        panic!("not ready")
    };
    assert_eq!(complete.result.as_str(), r#"{"tools":[]}"#);
    let hint = complete.cache.unwrap();
    assert_eq!((hint.ttl, hint.public), (Duration::from_secs(60), true));
}

#[tokio::test]
async fn input_that_is_required_is_an_outcome() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call("a"));
    backend.post().await.answer_result(
        r#"{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{}}},"requestState":"opaque"}"#,
    );
    let Ok(Outcome::InputRequired(asked)) = calling.await.unwrap().unwrap().into_ready() else {
        panic!("not asked")
    };
    assert_eq!(
        asked.state,
        Some(isthmus_exchange::Continuation::Opaque("opaque".to_owned()))
    );
    assert!(
        asked
            .requests
            .unwrap()
            .as_str()
            .contains("elicitation/create")
    );
}

#[tokio::test]
async fn events_of_a_stream_come_in_their_order() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call_with_progress("a"));
    let post = backend.post().await;
    let id = post.id();
    let token = token_of(&id);
    let stream = post.open_stream();
    for at in [1, 2] {
        stream
            .event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at}}}}}"#
            ))
            .await;
    }
    let mut reply = calling.await.unwrap().unwrap();
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":1}"#);
    assert_eq!(next_progress(&mut reply).await, r#"{"progress":2}"#);
    stream
        .result(&id, r#"{"resultType":"complete","a":1}"#)
        .await;
    assert_eq!(result_of(reply).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn errors_keep_their_code_so_that_their_owner_can_act() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    for (status, error_code) in [
        (400, code::HEADER_MISMATCH),
        (400, code::MISSING_REQUIRED_CLIENT_CAPABILITY),
        (404, code::METHOD_NOT_FOUND),
        (200, code::INVALID_PARAMS),
    ] {
        let calling = send(&conversation, call("a"));
        let post = backend.post().await;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{error_code},"message":"m"}}}}"#,
            post.id()
        );
        post.answer_json(status, body);
        let error = calling.await.unwrap().unwrap_err();
        let ErrorKind::Answered { error, .. } = error.kind() else {
            panic!("{error:?}")
        };
        assert_eq!(error.code, error_code);
    }
}

#[tokio::test]
async fn an_error_at_the_beginning_of_a_stream_is_no_reply() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call("a"));
    let post = backend.post().await;
    let id = post.id();
    let stream = post.open_stream();
    stream
        .event(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32020,"message":"m"}}}}"#
        ))
        .await;
    assert!(matches!(
        calling.await.unwrap().unwrap_err().kind(),
        ErrorKind::Answered { .. }
    ));
}

#[tokio::test]
async fn a_result_of_a_type_nobody_asked_for_is_refused() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call("a"));
    backend
        .post()
        .await
        .answer_result(r#"{"resultType":"odd"}"#);
    let error = calling.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_broken_stream_is_a_lost_request() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call("a"));
    let stream = backend.post().await.open_stream();
    // Event ids mean nothing in this revision.
    stream.write("id: 1\ndata:\n\n").await;
    stream.break_off().await;
    let error = calling.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
}
