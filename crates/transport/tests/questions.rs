//! Questions of backends to the client of a session, over Streamable HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use isthmus_exchange::{
    Acknowledged, BackendName, Error, Event, ItemKind, ListenFilter, Notice, Question,
};
use isthmus_protocol::{JsonRpcError, Method};
use serde_json::{Value, json};
use support::client::{Answer, Client};
use support::script::{Steps, raw};
use support::{ALL, Gateway, answer, start, stateful};

const ELICIT: Method = Method::ElicitationCreate;
const FORM: &str = r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string"}}}}"#;
const PAGE: &str = r#"{"mode":"url","message":"m","url":"https://files.example/connect"}"#;

/// A client that declared everything, and a call of it that runs.
async fn calling(gateway: &mut Gateway, revision: &str) -> (Client, Steps, Asking) {
    let client = gateway.session_with(revision, ALL).await;
    let (steps, asking) = call(gateway, &client, "1").await;
    (client, steps, asking)
}

type Asking = tokio::task::JoinHandle<Answer>;

async fn call(gateway: &mut Gateway, client: &Client, id: &str) -> (Steps, Asking) {
    let params = r#"{"name":"x","_meta":{"progressToken":"t"}}"#;
    let asking = client.posting(&stateful(id, "tools/call", params));
    (gateway.script.call().await.begin(), asking)
}

async fn accepted(client: &Client, body: &str) {
    assert_eq!(client.post(body).await.status, 202);
}

async fn next(stream: &mut Answer) -> Value {
    stream.message().await.unwrap()
}

#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_call_and_the_answer_goes_back() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut gateway = start().await;
        let (client, steps, asking) = calling(&mut gateway, revision).await;
        let answered = steps.ask(Method::RootsList, "{}").await;
        let mut stream = asking.await.unwrap();
        assert!(stream.is_stream(), "{revision}");
        let question = next(&mut stream).await;
        assert_eq!(question["method"], "roots/list");
        assert_eq!(question["params"], json!({}));
        assert!(question["id"].is_u64());
        accepted(&client, &answer(&question, r#"{"roots":[ ]}"#)).await;
        let roots = answered.await.unwrap().unwrap();
        assert_eq!(roots.as_str(), r#"{"roots":[ ]}"#, "{revision}");
        steps.finish(r#"{"content":[]}"#).await;
        assert_eq!(next(&mut stream).await["id"], 1);
        assert!(stream.message().await.is_none());
    }
}

#[tokio::test]
async fn the_call_goes_on_while_questions_are_open() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let form = steps.ask(ELICIT, FORM).await;
    steps.progress(r#"{"progress":1}"#).await;
    steps.log("info").await;
    let roots = steps.ask(Method::RootsList, "{}").await;
    let mut stream = asking.await.unwrap();
    let first = next(&mut stream).await;
    assert_eq!(first["params"]["mode"], "form");
    assert_eq!(next(&mut stream).await["method"], "notifications/progress");
    assert_eq!(next(&mut stream).await["method"], "notifications/message");
    let second = next(&mut stream).await;
    assert_ne!(first["id"], second["id"]);
    accepted(&client, &answer(&second, r#"{"roots":[]}"#)).await;
    assert!(roots.await.unwrap().is_ok());
    let accept = r#"{"action":"accept","content":{"a":"b"}}"#;
    accepted(&client, &answer(&first, accept)).await;
    assert_eq!(form.await.unwrap().unwrap().as_str(), accept);
}

#[tokio::test]
async fn an_error_is_an_answer_too_and_nonsense_becomes_one() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-06-18").await;
    let refused = steps.ask(Method::RootsList, "{}").await;
    let nonsense = steps.ask(Method::RootsList, "{}").await;
    let mut stream = asking.await.unwrap();
    let id = &next(&mut stream).await["id"];
    let error = r#"{"code":-1,"message":"User rejected","data":7}"#;
    let refusal = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
    accepted(&client, &refusal).await;
    let expected = JsonRpcError::new(-1, "User rejected").with_data(&7);
    assert_eq!(refused.await.unwrap(), Err(expected));
    let question = next(&mut stream).await;
    accepted(&client, &answer(&question, "[1]")).await;
    assert_eq!(nonsense.await.unwrap().unwrap_err().code, -32603);
}

#[tokio::test]
async fn a_question_that_was_withdrawn_is_cancelled_at_the_client() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let answered = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    drop(answered);
    let cancelled = next(&mut stream).await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    accepted(&client, &answer(&question, r#"{"action":"cancel"}"#)).await;
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(next(&mut stream).await["id"], 1);
}

#[tokio::test]
async fn a_call_that_ends_first_takes_its_questions_along() {
    let mut gateway = start().await;
    let (_client, steps, asking) = calling(&mut gateway, "2025-06-18").await;
    let _answered = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    steps.finish(r#"{"content":[]}"#).await;
    let cancelled = next(&mut stream).await;
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert_eq!(next(&mut stream).await["id"], 1);
}

#[tokio::test]
async fn a_call_that_its_client_cancels_takes_its_questions_along() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-06-18").await;
    let answered = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    accepted(&client, cancel).await;
    assert!(answered.await.is_err());
    steps.cancelled().await;
    let cancelled = next(&mut stream).await;
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert!(stream.message().await.is_none());
}

#[tokio::test]
async fn what_a_client_did_not_declare_it_is_not_asked() {
    let mut gateway = start().await;
    let client = gateway
        .session_with("2025-11-25", r#"{"elicitation":{},"sampling":{}}"#)
        .await;
    let (steps, asking) = call(&mut gateway, &client, "1").await;
    for (method, params) in [
        (Method::RootsList, "{}"),
        (ELICIT, PAGE),
        (
            Method::SamplingCreateMessage,
            r#"{"messages":[],"tools":[{}],"maxTokens":1}"#,
        ),
    ] {
        let refused = steps.ask(method.clone(), params).await.await.unwrap();
        assert_eq!(refused.unwrap_err().code, -32601, "{method}");
    }
    steps.finish(r#"{"content":[]}"#).await;
    let heard = asking.await.unwrap().text().await;
    assert!(heard.contains("content") && !heard.contains("method"));
}

#[tokio::test]
async fn what_its_revision_has_no_words_for_a_client_is_not_asked() {
    let mut gateway = start().await;
    let several = r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"array","items":{"enum":["x"]}}}}}"#;
    for (revision, method, params) in [
        ("2025-06-18", ELICIT, several),
        ("2025-06-18", ELICIT, PAGE),
        ("2025-03-26", ELICIT, FORM),
        (
            "2024-11-05",
            Method::SamplingCreateMessage,
            r#"{"messages":[{"role":"user","content":{"type":"audio"}}],"maxTokens":1}"#,
        ),
    ] {
        let (_client, steps, _asking) = calling(&mut gateway, revision).await;
        match steps.ask(method.clone(), params).await.await.unwrap() {
            Ok(declined) => assert_eq!(declined.as_str(), r#"{"action":"decline"}"#),
            Err(error) => assert_eq!(
                (error.code, method),
                (-32602, Method::SamplingCreateMessage)
            ),
        }
        steps.finish(r#"{"content":[]}"#).await;
    }
}

#[tokio::test]
async fn an_older_client_is_asked_in_its_own_words() {
    let mut gateway = start().await;
    let (_client, steps, asking) = calling(&mut gateway, "2025-06-18").await;
    let titled = r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","oneOf":[{"const":"r","title":"Red"}]}}}}"#;
    let _answered = steps.ask(ELICIT, titled).await;
    let question = next(&mut asking.await.unwrap()).await;
    assert!(question["params"].get("mode").is_none());
    assert_eq!(
        question["params"]["requestedSchema"]["properties"]["a"],
        json!({"type": "string", "enum": ["r"], "enumNames": ["Red"]})
    );
}

#[tokio::test]
async fn questions_of_several_calls_and_backends_are_told_apart() {
    let mut gateway = start().await;
    let (client, first, asking) = calling(&mut gateway, "2025-11-25").await;
    let (second, asking_second) = call(&mut gateway, &client, "2").await;
    let one = first.ask_as("files", ELICIT, FORM).await;
    let two = second.ask_as("issues", ELICIT, FORM).await;
    let (mut stream, mut other) = (asking.await.unwrap(), asking_second.await.unwrap());
    let (asked, asked_too) = (next(&mut stream).await, next(&mut other).await);
    accepted(&client, &answer(&asked_too, r#"{"action":"decline"}"#)).await;
    accepted(&client, &answer(&asked, r#"{"action":"cancel"}"#)).await;
    assert_eq!(
        one.await.unwrap().unwrap().as_str(),
        r#"{"action":"cancel"}"#
    );
    assert_eq!(
        two.await.unwrap().unwrap().as_str(),
        r#"{"action":"decline"}"#
    );
}

#[tokio::test]
async fn only_the_first_answer_counts_and_only_that_of_the_session_that_was_asked() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let stranger = gateway.session_with("2025-11-25", ALL).await;
    let mut answered = steps.ask(ELICIT, FORM).await;
    let question = next(&mut asking.await.unwrap()).await;
    accepted(&stranger, &answer(&question, r#"{"action":"accept"}"#)).await;
    assert!(answered.try_recv().is_err(), "a stranger's answer");
    accepted(&client, &answer(&question, r#"{"action":"decline"}"#)).await;
    accepted(&client, &answer(&question, r#"{"action":"accept"}"#)).await;
    accepted(&client, r#"{"jsonrpc":"2.0","id":"x","result":{}}"#).await;
    let counted = answered.await.unwrap().unwrap();
    assert_eq!(counted.as_str(), r#"{"action":"decline"}"#);
    let nobody = gateway.client();
    assert_eq!(nobody.post(&answer(&question, "{}")).await.status, 400);
}

#[tokio::test]
async fn a_client_that_vanished_is_asked_again_when_it_resumes() {
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut gateway = start().await;
        let (client, steps, asking) = calling(&mut gateway, revision).await;
        steps.progress(r#"{"progress":1}"#).await;
        let mut stream = asking.await.unwrap();
        let mut seen = stream.event().await.unwrap();
        if seen.data.is_empty() {
            seen = stream.event().await.unwrap();
        }
        let resuming = client.with("last-event-id", seen.id.as_deref().unwrap());
        let first = steps.ask(Method::RootsList, "{}").await;
        let answered_there = next(&mut stream).await;
        drop(stream);
        let second = steps.ask(Method::RootsList, "{}").await;

        let mut again = resuming.get().await;
        assert_eq!(next(&mut again).await["id"], answered_there["id"]);
        let question = next(&mut again).await;
        accepted(&client, &answer(&answered_there, r#"{"roots":[]}"#)).await;
        assert!(first.await.unwrap().is_ok(), "{revision}");
        drop(again);

        // What was answered is not asked once more, however far back the client begins.
        let mut third = resuming.get().await;
        assert_eq!(next(&mut third).await["id"], question["id"]);
        accepted(&client, &answer(&question, r#"{"roots":[]}"#)).await;
        assert!(second.await.unwrap().is_ok());
        steps.finish(r#"{"content":[]}"#).await;
        assert_eq!(next(&mut third).await["id"], 1);
    }
}

#[tokio::test]
async fn a_question_that_was_withdrawn_meanwhile_is_not_replayed() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let mut stream = asking.await.unwrap();
    let priming = stream.event().await.unwrap();
    drop(stream);
    let answered = steps.ask(ELICIT, FORM).await;
    steps.progress(r#"{"progress":1}"#).await;
    drop(answered);
    steps.finish(r#"{"content":[]}"#).await;
    let resuming = client.with("last-event-id", priming.id.as_deref().unwrap());
    let mut rest = resuming.get().await;
    while let Some(message) = rest.message().await {
        assert_ne!(message["method"], "elicitation/create");
    }
}

#[tokio::test]
async fn a_client_that_cannot_come_back_leaves_no_question_open() {
    let mut gateway = start().await;
    let (_client, steps, asking) = calling(&mut gateway, "2024-11-05").await;
    let open = steps.ask(Method::RootsList, "{}").await;
    drop(asking.await.unwrap());
    assert!(open.await.is_err());
    let late = steps.ask(Method::RootsList, "{}").await;
    assert!(late.await.is_err());
    assert!(!steps.is_cancelled(), "the call goes on (LS-8)");
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_questions() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let answered = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    client.delete().await;
    assert!(answered.await.is_err());
    steps.cancelled().await;
    assert!(stream.message().await.is_none());
    let late = client.post(&answer(&question, "{}")).await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn a_gateway_that_shuts_down_asks_nobody() {
    let mut gateway = start().await;
    let (_client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let open = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    gateway.clients.drain();
    assert!(open.await.is_err());
    let late = steps.ask(ELICIT, FORM).await;
    assert!(late.await.is_err());
    let cancelled = next(&mut stream).await;
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(next(&mut stream).await["id"], 1);
    gateway.clients.drained().await;
}

#[tokio::test]
async fn a_client_has_so_many_questions_before_it_and_no_more() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(steps.ask(Method::RootsList, "{}").await);
    }
    let one_too_many = steps.ask(Method::RootsList, "{}").await;
    let mut stream = asking.await.unwrap();
    let first = next(&mut stream).await;
    assert!(one_too_many.await.is_err());
    accepted(&client, &answer(&first, "{}")).await;
    assert!(open.remove(0).await.is_ok());
    let mut another = steps.ask(Method::RootsList, "{}").await;
    for _ in 0..64 {
        next(&mut stream).await;
    }
    assert!(another.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_human_has_time_to_answer_but_not_for_ever() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-06-18").await;
    let answered = steps.ask(ELICIT, FORM).await;
    let mut stream = asking.await.unwrap();
    let question = next(&mut stream).await;
    tokio::time::advance(Duration::from_secs(599)).await;
    accepted(&client, &answer(&question, r#"{"action":"accept"}"#)).await;
    assert!(answered.await.unwrap().is_ok());

    let never = steps.ask(ELICIT, FORM).await;
    let question = next(&mut stream).await;
    assert!(never.await.is_err());
    let cancelled = next(&mut stream).await;
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(next(&mut stream).await["id"], 1);
}

/// The session's own listen, acknowledged.
async fn hearing(gateway: &mut Gateway) -> Steps {
    let steps = gateway.script.listen().await.begin();
    let filter = ListenFilter::default();
    let acknowledged = Event::Acknowledged(Acknowledged { filter });
    steps.event(acknowledged).await;
    steps
}

async fn complete(listening: &Steps, id: &str) {
    let id = id.to_owned();
    let notice = Notice::ElicitationComplete { id };
    listening.event(Event::Notice(notice)).await;
}

#[tokio::test]
async fn whoever_was_sent_to_a_page_hears_once_that_it_is_done() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let mut standing = client.get().await;
    let listening = hearing(&mut gateway).await;
    let backend = BackendName::parse("files").unwrap();
    let (mut question, _answered) = Question::new(backend, ELICIT, raw(PAGE));
    question.elicitation_id = Some("ours".to_owned());
    steps.event(Event::Question(question)).await;
    let asked = next(&mut asking.await.unwrap()).await;
    assert_eq!(asked["params"]["elicitationId"], "ours");
    assert_eq!(asked["params"]["url"], "https://files.example/connect");
    for id in ["another's", "ours", "ours", "another's"] {
        complete(&listening, id).await;
    }
    let changed = Notice::ListChanged(ItemKind::Tool);
    listening.event(Event::Notice(changed)).await;
    let done = next(&mut standing).await;
    assert_eq!(done["method"], "notifications/elicitation/complete");
    assert_eq!(done["params"], json!({"elicitationId": "ours"}));
    let after = next(&mut standing).await;
    assert_eq!(after["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn where_the_backend_tells_nothing_the_end_of_the_call_is_the_end_of_the_page() {
    let mut gateway = start().await;
    let (client, steps, asking) = calling(&mut gateway, "2025-11-25").await;
    let declined = steps.ask(ELICIT, PAGE).await;
    let accepting = steps.ask(ELICIT, PAGE).await;
    let mut stream = asking.await.unwrap();
    let (first, second) = (next(&mut stream).await, next(&mut stream).await);
    let id = &second["params"]["elicitationId"];
    assert!(id.is_string() && *id != first["params"]["elicitationId"]);
    accepted(&client, &answer(&first, r#"{"action":"decline"}"#)).await;
    accepted(&client, &answer(&second, r#"{"action":"accept"}"#)).await;
    assert!(declined.await.is_ok() && accepting.await.is_ok());
    steps.finish(r#"{"content":[]}"#).await;
    let done = next(&mut stream).await;
    assert_eq!(done["method"], "notifications/elicitation/complete");
    assert_eq!(done["params"]["elicitationId"], *id);
    assert_eq!(next(&mut stream).await["id"], 1);
}

#[tokio::test]
async fn a_refusal_that_sends_to_a_page_goes_to_clients_that_show_pages() {
    let refusal = || {
        let data = json!({"elicitations": [{"mode": "url", "elicitationId": "ours", "url": "https://files.example/", "message": "m"}]});
        let error = JsonRpcError::new(-32042, "a page first").with_data(&data);
        Error::answered(BackendName::parse("files").unwrap(), error)
    };
    let mut gateway = start().await;
    let client = gateway.session_with("2025-11-25", ALL).await;
    let mut standing = client.get().await;
    let listening = hearing(&mut gateway).await;
    let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    gateway.script.call().await.fail(refusal());
    let answer = asking.await.unwrap().json().await;
    assert_eq!(answer["error"]["code"], -32042);
    let elicitation = &answer["error"]["data"]["elicitations"][0];
    assert_eq!(elicitation["elicitationId"], "ours");
    complete(&listening, "ours").await;
    let done = next(&mut standing).await;
    assert_eq!(done["method"], "notifications/elicitation/complete");

    for (revision, capabilities) in [("2025-11-25", r#"{"elicitation":{}}"#), ("2025-06-18", ALL)] {
        let client = gateway.session_with(revision, capabilities).await;
        let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
        gateway.script.call().await.fail(refusal());
        let answer = asking.await.unwrap().json().await;
        assert_eq!(answer["result"]["isError"], true, "{revision}");
        assert!(!answer.to_string().contains("https:"), "{revision}");
    }
}

#[tokio::test]
async fn a_change_of_roots_is_noted_with_the_session() {
    let mut gateway = start().await;
    let client = gateway.session_with("2025-06-18", ALL).await;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    accepted(&client, changed).await;
    let _asking = client.posting(&stateful("1", "tools/list", "{}"));
    let call = gateway.script.call().await;
    assert_eq!(call.request.caller.scope.roots_changes(), 1);
}
