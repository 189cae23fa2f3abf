//! Questions of a stateful backend, on the stream of a call and beside it.

use isthmus_exchange::{ErrorKind, Question, ScopeId};
use isthmus_protocol::JsonRpcError;

use super::*;
use crate::conversation::Asker;
use crate::scripted::OpenStream;

/// A call whose caller can be asked.
fn asked_call(name: &str, scope: u128) -> Outgoing {
    let asker = Asker {
        scope: ScopeId(scope),
        live: true,
    };
    Outgoing {
        asker: Some(asker),
        ..call(name)
    }
}

async fn asked(reply: &mut Reply) -> Question {
    match reply.next().await {
        Step::Event(Event::Question(question)) => question,
        step => panic!("no question: {step:?}"),
    }
}

async fn ask(stream: &OpenStream, id: &str, method: &str) {
    let event =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"x":1.0}}}}"#);
    stream.event(&event).await;
}

fn roots() -> RawJson {
    json(r#"{"roots":[ ]}"#)
}

#[tokio::test]
async fn a_question_on_the_stream_of_a_call_is_asked_during_it_and_answered_in_the_session() {
    for (revision, id) in [
        ("2025-03-26", "7"),
        ("2025-06-18", r#""7""#),
        ("2025-11-25", r#""q\u0031""#),
    ] {
        let mut backend = ScriptedBackend::start().await;
        let session = open_session_with(&mut backend, revision, Some("s-1"), ALL).await;
        // A bystander of the same session is not asked.
        let bystander = send(&session, asked_call("bystander", 1));
        let other = backend.post().await;
        let calling = send(&session, asked_call("a", 2));
        let post = backend.post().await;
        let call_id = post.id();
        let stream = post.open_stream();
        ask(&stream, id, "roots/list").await;
        let mut reply = calling.await.unwrap().unwrap();
        let question = asked(&mut reply).await;
        assert_eq!(question.params.as_str(), r#"{"x":1.0}"#);
        question.answer(Ok(roots()));
        let answer = backend.post().await;
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[ ]}}}}"#);
        assert_eq!(answer.body, expected);
        assert_eq!(answer.header("mcp-session-id"), Some("s-1"));
        answer.accept();
        stream.result(&call_id, r#"{"done":1}"#).await;
        assert_eq!(result_of(reply).await, r#"{"done":1}"#);
        other.answer_result("{}");
        assert!(bystander.await.unwrap().unwrap().into_ready().is_ok());
    }
}

#[tokio::test]
async fn a_question_on_the_get_stream_is_asked_during_the_only_call() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let get = backend.get().await.open_stream();
    let calling = send(&session, asked_call("a", 1));
    let post = backend.post().await;
    // The head of the answer is still missing.
    ask(&get, "1", "sampling/createMessage").await;
    let mut reply = calling.await.unwrap().unwrap();
    let question = asked(&mut reply).await;
    question.answer(Err(JsonRpcError::new(-1, "no")));
    let answer = backend.post().await;
    assert_eq!(
        answer.body,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#
    );
    answer.accept();
    post.answer_result("{}");
    assert_eq!(result_of(reply).await, "{}");
}

#[tokio::test]
async fn a_question_on_the_get_stream_waits_while_two_clients_may_be_meant() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let mut notices = session.notices();
    let get = backend.get().await.open_stream();
    let first = send(&session, asked_call("first", 1));
    let first_post = backend.post().await;
    let second = send(&session, asked_call("second", 2));
    let _second_post = backend.post().await;
    ask(&get, "1", "roots/list").await;
    // Once this has arrived, the question has.
    get.event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
        .await;
    notices.recv().await.unwrap();
    assert!(!first.is_finished() && !second.is_finished());
    first_post.answer_result("{}");
    first.await.unwrap().unwrap();
    let mut reply = second.await.unwrap().unwrap();
    asked(&mut reply).await.answer(Ok(roots()));
    backend.post().await.accept();
}

#[tokio::test]
async fn a_question_that_is_withdrawn_or_whose_call_ends_is_answered_no_more() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, asked_call("a", 1));
    let post = backend.post().await;
    let call_id = post.id();
    let stream = post.open_stream();
    ask(&stream, "1", "elicitation/create").await;
    ask(&stream, "2", "elicitation/create").await;
    let mut reply = calling.await.unwrap().unwrap();
    let mut questions = [asked(&mut reply).await, asked(&mut reply).await];
    stream
        .event(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    // Whoever reads the reply takes the stream's messages in.
    let reading = tokio::spawn(result_of(reply));
    questions[0].withdrawn().await;
    stream.result(&call_id, "{}").await;
    questions[1].withdrawn().await;
    assert_eq!(reading.await.unwrap(), "{}");
    let calling = send(&session, call("b"));
    // Nothing came in between.
    backend.post_of("tools/call").await.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_no_question_without_an_answer() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, asked_call("a", 1));
    let stream = backend.post().await.open_stream();
    ask(&stream, "1", "elicitation/create").await;
    let mut reply = calling.await.unwrap().unwrap();
    let question = asked(&mut reply).await;
    drop(reply);
    let mut said = Vec::new();
    for _ in 0..2 {
        let post = backend.post().await;
        said.push(post.json());
        post.accept();
    }
    assert!(
        said.iter()
            .any(|message| message["method"] == "notifications/cancelled")
    );
    assert!(
        said.iter()
            .any(|message| message["id"] == 1 && message["result"]["action"] == "cancel")
    );
    drop(question);
}

#[tokio::test]
async fn an_answer_that_does_not_arrive_is_sent_again() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, asked_call("a", 1));
    let stream = backend.post().await.open_stream();
    ask(&stream, "1", "roots/list").await;
    let mut reply = calling.await.unwrap().unwrap();
    asked(&mut reply).await.answer(Ok(roots()));
    backend.post().await.answer(503, &[], "");
    let again = backend.post().await;
    assert_eq!(again.json()["id"], 1);
    again.accept();
}

#[tokio::test]
async fn a_stream_that_breaks_after_a_question_is_resumed_and_the_question_not_repeated() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, asked_call("a", 1));
    let post = backend.post().await;
    let call_id = post.id();
    let stream = post.open_stream();
    stream.write("id: e-0\nretry: 1\ndata:\n\n").await;
    ask(&stream, "1", "roots/list").await;
    let mut reply = calling.await.unwrap().unwrap();
    let first = asked(&mut reply).await;
    stream.break_off().await;
    let reading = tokio::spawn(async move {
        let question = asked(&mut reply).await;
        (question, reply)
    });
    let get = backend.get().await;
    assert_eq!(get.header("last-event-id"), Some("e-0"));
    let stream = get.open_stream();
    // The backend repeats what it said after that event: once while it is open, once when it is answered.
    ask(&stream, "1", "roots/list").await;
    first.answer(Ok(roots()));
    let answer = backend.post().await;
    assert_eq!(answer.json()["id"], 1);
    answer.accept();
    ask(&stream, "1", "roots/list").await;
    ask(&stream, "2", "roots/list").await;
    let (second, reply) = reading.await.unwrap();
    second.answer(Ok(roots()));
    let answer = backend.post().await;
    assert_eq!(answer.json()["id"], 2);
    answer.accept();
    stream.result(&call_id, "{}").await;
    assert_eq!(result_of(reply).await, "{}");
}

#[tokio::test]
async fn a_stream_that_the_backend_ends_while_it_waits_for_the_answer_is_taken_up_when_it_wants() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, asked_call("a", 1));
    let post = backend.post().await;
    let call_id = post.id();
    let stream = post.open_stream();
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    stream
        .write(&format!("id: e-1\nretry: 400\ndata: {question}\n\n"))
        .await;
    let mut reply = calling.await.unwrap().unwrap();
    let question = asked(&mut reply).await;
    drop(stream);
    let begun = tokio::time::Instant::now();
    let reading = tokio::spawn(result_of(reply));
    question.answer(Ok(json(r#"{"action":"decline"}"#)));
    backend.post().await.accept();
    let get = backend.get().await;
    // Not before the backend wanted to be asked again (LC-7).
    assert!(begun.elapsed().as_millis() >= 400, "{:?}", begun.elapsed());
    assert_eq!(get.header("last-event-id"), Some("e-1"));
    get.open_stream().result(&call_id, "{}").await;
    assert_eq!(reading.await.unwrap(), "{}");
}

#[tokio::test]
async fn a_session_that_ends_withdraws_its_questions_and_fails_its_call_for_good() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    backend.get().await.answer(405, &[], "");
    let calling = send(&session, asked_call("a", 1));
    let stream = backend.post().await.open_stream();
    stream.write("id: e-1\nretry: 1\ndata:\n\n").await;
    ask(&stream, "1", "elicitation/create").await;
    let mut reply = calling.await.unwrap().unwrap();
    let mut question = asked(&mut reply).await;
    drop(stream);
    let reading = tokio::spawn(reply.outcome());
    backend.get().await.answer(404, &[], "");
    let error = reading.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    question.withdrawn().await;
    // What comes later was never accepted, and may be sent once more elsewhere.
    let late = send(&session, call("b")).await.unwrap().unwrap_err();
    assert_eq!(*late.kind(), ErrorKind::SessionUnknown);
}

#[tokio::test]
async fn questions_in_a_batch_of_2025_03_26_are_asked_like_others() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-03-26", Some("s-1"), ALL).await;
    let calling = send(&session, asked_call("a", 1));
    let post = backend.post().await;
    let call_id = post.id();
    let stream = post.open_stream();
    stream
        .event(r#"[{"jsonrpc":"2.0","id":1,"method":"roots/list"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#)
        .await;
    let mut reply = calling.await.unwrap().unwrap();
    asked(&mut reply).await.answer(Ok(roots()));
    let reading = tokio::spawn(result_of(reply));
    let mut answered = Vec::new();
    for _ in 0..2 {
        let answer = backend.post().await;
        answered.push(answer.json()["id"].to_string());
        answer.accept();
    }
    answered.sort();
    assert_eq!(answered, ["1", "2"]);
    stream.result(&call_id, "{}").await;
    assert_eq!(reading.await.unwrap(), "{}");
}

#[tokio::test]
async fn a_live_caller_may_be_asked_on_the_stream_of_any_of_its_requests() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let get = backend.get().await.open_stream();
    let completing = Outgoing {
        method: Method::CompletionComplete,
        ..asked_call("a", 1)
    };
    let completing = send(&session, completing);
    let stream = backend.post_of("completion/complete").await.open_stream();
    ask(&stream, "1", "roots/list").await;
    let mut reply = completing.await.unwrap().unwrap();
    asked(&mut reply).await.answer(Ok(roots()));
    backend.post().await.accept();
    // What comes elsewhere is not taken for a question of such a request.
    let calling = send(&session, asked_call("b", 2));
    let _post = backend.post_of("tools/call").await;
    ask(&get, "2", "roots/list").await;
    asked(&mut calling.await.unwrap().unwrap()).await;
}
