//! Questions of a stateful server on a pipe, where nothing but their order shows to which call they belong.

use isthmus_exchange::{Question, ScopeId};
use isthmus_protocol::JsonRpcError;

use super::*;
use crate::conversation::Asker;

const ALICE: Asker = Asker {
    scope: ScopeId(1),
    live: true,
};
const BOB: Asker = Asker {
    scope: ScopeId(2),
    live: true,
};
const DETACHED: Asker = Asker {
    scope: ScopeId(3),
    live: false,
};

/// A call whose caller can be asked.
fn asked_call(name: &str, asker: Asker) -> Outgoing {
    Outgoing {
        asker: Some(asker),
        ..call(name)
    }
}

fn elicit() -> Value {
    json!({"message": "sure?", "requestedSchema": {"type": "object"}})
}

impl Peer {
    async fn ask(&self, id: impl Into<Value>, method: &str, params: Value) {
        let id: Value = id.into();
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
    }

    /// The next message, which must be the response to `id`: its `result` or `error`.
    async fn response(&mut self, id: impl Into<Value>) -> Value {
        let mut message = self.hear().await;
        assert_eq!(message["id"], id.into(), "{message}");
        assert!(message.get("method").is_none(), "{message}");
        let member = if message.get("error").is_some() {
            "error"
        } else {
            "result"
        };
        message[member].take()
    }
}

/// The next step, which must be a question.
async fn question(reply: &mut Reply) -> Question {
    match reply.next().await {
        Step::Event(Event::Question(question)) => question,
        other => panic!("no question: {other:?}"),
    }
}

fn accept(value: &str) -> RawJson {
    raw(&json!({"action": "accept", "content": {"v": value}}))
}

/// The first question and the rest of a call that was begun in a task of its own.
async fn asked(reply: JoinHandle<Result<Reply, Error>>) -> (Question, Reply) {
    let mut reply = reply.await.unwrap().unwrap();
    (question(&mut reply).await, reply)
}

#[tokio::test(start_paused = true)]
async fn the_caller_of_the_only_call_is_asked_and_his_answer_goes_back_under_the_servers_id() {
    for id in [json!("q-1"), json!(1), json!("1"), json!(-7)] {
        let (conversation, mut peer) = stateful().await;
        let reply = begin(&conversation, asked_call("x", ALICE));
        let (call_id, _) = peer.expect("tools/call").await;
        peer.ask(id.clone(), "elicitation/create", elicit()).await;
        let (question, reply) = asked(reply).await;
        assert_eq!(question.backend, backend());
        assert_eq!(question.method, Method::ElicitationCreate);
        let params: Value = question.params.read().unwrap();
        assert_eq!(params["mode"], "form");
        question.answer(Ok(accept("1")));
        let response = peer.response(id).await;
        assert_eq!(response, json!({"action": "accept", "content": {"v": "1"}}));
        peer.answer(&call_id, json!({"n": 1})).await;
        assert!(matches!(reply.outcome().await, Ok(Outcome::Complete(_))));
        peer.hears_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_three_kinds_are_asked_during_all_three_methods_whatever_was_declared() {
    let asks = ["elicitation/create", "sampling/createMessage", "roots/list"];
    let methods = [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead];
    for (kind, method) in asks.into_iter().zip(methods) {
        let (conversation, mut peer) = stateful().await;
        let mut outgoing = asked_call("x", DETACHED);
        outgoing.method = method.clone();
        let reply = begin(&conversation, outgoing);
        peer.expect(method.as_str()).await;
        peer.say(json!({"jsonrpc": "2.0", "id": 1, "method": kind}))
            .await;
        let (question, _reply) = asked(reply).await;
        assert_eq!(question.method.as_str(), kind);
        question.answer(Err(JsonRpcError::new(-1, "not now")));
        let error = peer.response(1).await;
        assert_eq!(error, json!({"code": -1, "message": "not now"}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_dropped_is_cancelled_or_refused() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (question, mut reply) = asked(reply).await;
    drop(question);
    assert_eq!(peer.response(1).await, json!({"action": "cancel"}));
    peer.ask(2, "sampling/createMessage", json!({})).await;
    drop(self::question(&mut reply).await);
    assert_eq!(peer.response(2).await["code"], -1);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_the_server_withdraws_is_answered_no_more() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    let (call_id, _) = peer.expect("tools/call").await;
    peer.ask("q", "elicitation/create", elicit()).await;
    let (mut question, reply) = asked(reply).await;
    // Another's id, or the same in another type, withdraws nothing.
    for other in [json!(1), json!("p")] {
        let params = json!({"requestId": other});
        peer.notify("notifications/cancelled", params).await;
    }
    settle().await;
    let still_wanted = timeout(Duration::from_secs(5), question.withdrawn()).await;
    assert!(still_wanted.is_err());
    peer.notify("notifications/cancelled", json!({"requestId": "q"}))
        .await;
    question.withdrawn().await;
    question.answer(Ok(accept("late")));
    peer.hears_nothing().await;
    peer.answer(&call_id, json!({})).await;
    reply.outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_withdraws_what_it_still_asks() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    let (call_id, _) = peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (mut question, reply) = asked(reply).await;
    peer.answer(&call_id, json!({"n": 1})).await;
    question.withdrawn().await;
    question.answer(Ok(accept("late")));
    reply.outcome().await.unwrap();
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_cancels_his_call_and_answers_what_it_still_asks() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    let (call_id, _) = peer.expect("tools/call").await;
    peer.ask("q", "elicitation/create", elicit()).await;
    peer.ask("r", "roots/list", json!({})).await;
    peer.ask("s", "roots/list", json!({})).await;
    let (mut question, mut reply) = asked(reply).await;
    let _unread = self::question(&mut reply).await;
    let refused = self::question(&mut reply).await;
    refused.answer(Err(JsonRpcError::new(-32601, "never heard of it")));
    drop(reply);
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], call_id);
    let mut responses = [peer.hear().await, peer.hear().await, peer.hear().await];
    responses.sort_by_key(|response| response["id"].to_string());
    assert_eq!(responses[0]["result"], json!({"action": "cancel"}));
    assert_eq!(responses[1]["error"]["code"], -1);
    // An answer that he gave just before counts.
    assert_eq!(responses[2]["error"]["code"], -32601);
    question.withdrawn().await;
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_breaks_withdraws_every_question_and_fails_its_call() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (mut question, reply) = asked(reply).await;
    let reason = Error::new(ErrorKind::BackendUnavailable(backend()), "it fell over");
    peer.voice.send(Err(reason)).await.unwrap();
    question.withdrawn().await;
    assert!(is_unavailable(&reply.outcome().await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn one_client_with_two_calls_is_asked_in_the_newer() {
    let (conversation, mut peer) = stateful().await;
    let _older = begin(&conversation, asked_call("older", ALICE));
    peer.expect("tools/call").await;
    let newer = begin(&conversation, asked_call("newer", ALICE));
    peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (question, _reply) = asked(newer).await;
    question.answer(Ok(accept("x")));
    peer.response(1).await;
}

#[tokio::test(start_paused = true)]
async fn between_two_clients_a_question_waits_until_it_can_be_told_whose_it_is() {
    for (first, second) in [(ALICE, BOB), (DETACHED, DETACHED)] {
        let (conversation, mut peer) = stateful().await;
        let bystander = begin(&conversation, asked_call("bystander", first));
        let (bystander_id, _) = peer.expect("tools/call").await;
        let asking = begin(&conversation, asked_call("asking", second));
        peer.expect("tools/call").await;
        peer.ask(1, "roots/list", json!({})).await;
        tokio::time::sleep(Duration::from_secs(29)).await;
        peer.hears_nothing().await;
        peer.answer(&bystander_id, json!({})).await;
        result(bystander).await.unwrap();
        let (question, _reply) = asked(asking).await;
        question.answer(Ok(raw(&json!({"roots": []}))));
        assert_eq!(peer.response(1).await, json!({"roots": []}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_stays_doubtful_is_refused_after_half_a_minute() {
    let (conversation, mut peer) = stateful().await;
    let replies = [ALICE, BOB].map(|asker| begin(&conversation, asked_call("x", asker)));
    for _ in &replies {
        peer.expect("tools/call").await;
    }
    let begun = Instant::now();
    peer.ask("q", "roots/list", json!({})).await;
    let error = peer.response("q").await;
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("roots/list"));
    assert_eq!(begun.elapsed().as_secs(), 30);
    // Nobody was asked.
    for reply in replies {
        assert!(!reply.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_all_ask_at_once_do_not_wait_for_each_other() {
    let (conversation, mut peer) = stateful_with(64).await;
    let mut replies = Vec::new();
    for _ in 0..5 {
        replies.push(begin(&conversation, asked_call("x", DETACHED)));
        peer.expect("tools/call").await;
    }
    for number in 0..5 {
        peer.ask(number, "roots/list", json!({})).await;
    }
    let begun = Instant::now();
    // The server gives up each call whose question is refused; the last one is left.
    for number in 0..4 {
        let error = peer.response(number).await;
        assert_eq!(error["code"], -32602);
        peer.answer(&json!(number + 2), json!({})).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    let (question, _reply) = asked(replies.pop().unwrap()).await;
    question.answer(Ok(raw(&json!({"roots": []}))));
    peer.response(4).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_before_the_first_call_waits_for_it() {
    let (conversation, mut peer) = stateful().await;
    peer.ask(0, "roots/list", json!({})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    // Neither a list nor a subscription is a reason to ask anybody.
    let listing = Outgoing {
        asker: Some(ALICE),
        ..Outgoing::plain(Method::ToolsList, RawJson::empty_object())
    };
    let listing = begin(&conversation, listing);
    let (list_id, _) = peer.expect("tools/list").await;
    peer.answer(&list_id, json!({"tools": []})).await;
    result(listing).await.unwrap();
    let reply = begin(&conversation, asked_call("x", ALICE));
    peer.expect("tools/call").await;
    let (question, _reply) = asked(reply).await;
    question.answer(Ok(raw(&json!({"roots": []}))));
    peer.response(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_cannot_be_asked_has_the_question_refused_at_once() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, call("x"));
    let (call_id, _) = peer.expect("tools/call").await;
    peer.ask(5, "roots/list", json!({})).await;
    assert_eq!(peer.response(5).await["code"], -32602);
    peer.answer(&call_id, json!({})).await;
    result(reply).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_user_holds_up_nobody_and_goes_on_when_it_is_its_turn() {
    let (conversation, mut peer) = stateful().await;
    let first = begin(&conversation, asked_call("first", DETACHED));
    peer.expect("tools/call").await;
    let second = begin(&conversation, asked_call("second", DETACHED));
    let (second_id, _) = peer.expect("tools/call").await;
    // Doubtful at first: from now on calls take turns.
    peer.ask(1, "elicitation/create", elicit()).await;
    peer.ask(2, "roots/list", json!({})).await;
    settle().await;
    peer.answer(&second_id, json!({})).await;
    result(second).await.unwrap();
    // The elicitation was refused, since nobody declared it; the other belongs to the first call now.
    assert_eq!(peer.response(1).await["code"], -32601);
    let (question, mut first) = asked(first).await;

    // While the first asks, the next may run, and is the one that further questions belong to.
    let third = begin(&conversation, asked_call("third", DETACHED));
    peer.hears_nothing().await;
    let (third_id, params) = peer.expect("tools/call").await;
    assert_eq!(params["name"], "third");
    peer.ask(3, "roots/list", json!({})).await;
    let (other, third) = asked(third).await;

    // Both wait: nobody is in the way of the answer that comes first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.answer(Ok(raw(&json!({"roots": []}))));
    peer.response(3).await;
    // The third runs again, so that the first has to wait before it goes on.
    question.answer(Ok(raw(&json!({"roots": [1]}))));
    tokio::time::sleep(Duration::from_secs(60)).await;
    peer.hears_nothing().await;
    peer.answer(&third_id, json!({})).await;
    third.outcome().await.unwrap();
    assert_eq!(peer.response(2).await, json!({"roots": [1]}));
    peer.ask(4, "roots/list", json!({})).await;
    self::question(&mut first).await;
}

#[tokio::test(start_paused = true)]
async fn once_a_server_asks_the_calls_of_different_clients_take_turns() {
    let (conversation, mut peer) = stateful().await;
    let first = begin(&conversation, asked_call("1", ALICE));
    let (first_id, _) = peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (question, first) = asked(first).await;
    question.answer(Ok(accept("x")));
    peer.response(1).await;

    // The same client's calls share a turn; others wait, and whoever leaves the queue is not missed.
    let second = begin(&conversation, asked_call("2", ALICE));
    let (second_id, _) = peer.expect("tools/call").await;
    let impatient = begin(&conversation, asked_call("3", BOB));
    let third = begin(&conversation, asked_call("4", BOB));
    tokio::time::sleep(Duration::from_secs(60)).await;
    peer.hears_nothing().await;
    impatient.abort();
    // What asks nobody does not wait.
    let listing = Outgoing::plain(Method::ToolsList, RawJson::empty_object());
    let _listing = begin(&conversation, listing);
    peer.expect("tools/list").await;
    for (id, reply) in [(first_id, None), (second_id, Some(second))] {
        peer.hears_nothing().await;
        peer.answer(&id, json!({})).await;
        if let Some(reply) = reply {
            result(reply).await.unwrap();
        }
    }
    first.outcome().await.unwrap();
    let (third_id, params) = peer.expect("tools/call").await;
    assert_eq!(params["name"], "4");
    peer.answer(&third_id, json!({})).await;
    result(third).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_conversation_has_learned_of_a_backend_the_next_one_knows() {
    let opening = opening();
    let (first, mut learning) = stateful_opened(&opening, 16).await;
    let reply = begin(&first, asked_call("x", ALICE));
    learning.expect("tools/call").await;
    learning.ask(1, "elicitation/create", elicit()).await;
    let (_question, _reply) = asked(reply).await;

    let (second, mut peer) = stateful_opened(&opening, 16).await;
    let _calls = [ALICE, BOB].map(|asker| begin(&second, asked_call("x", asker)));
    peer.expect("tools/call").await;
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn before_a_server_asks_nobody_waits_for_anybody() {
    let (conversation, mut peer) = stateful().await;
    // Asking for roots at the beginning does not count.
    peer.ask(0, "roots/list", json!({})).await;
    let replies = [ALICE, BOB].map(|asker| begin(&conversation, asked_call("x", asker)));
    for _ in &replies {
        peer.expect("tools/call").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_is_bounded_and_each_is_answered() {
    let (conversation, mut peer) = stateful_with(256).await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    peer.expect("tools/call").await;
    for id in 0..100 {
        peer.ask(id, "elicitation/create", elicit()).await;
    }
    // The same question once more is no other question.
    peer.ask(7, "elicitation/create", elicit()).await;
    for id in 64..100 {
        let error = peer.response(id).await;
        assert!(
            error["code"].is_i64() || !error["code"].is_null(),
            "{error}"
        );
    }
    peer.hears_nothing().await;
    let mut reply = reply.await.unwrap().unwrap();
    let mut questions = Vec::new();
    for _ in 0..64 {
        questions.push(question(&mut reply).await);
    }
    drop(questions);
    for _ in 0..64 {
        let response = peer.hear().await;
        assert_eq!(response["result"], json!({"action": "cancel"}));
    }
    peer.hears_nothing().await;
    peer.ask(7, "elicitation/create", elicit()).await;
    question(&mut reply).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_few_questions_wait_for_an_owner() {
    let (_conversation, mut peer) = stateful_with(256).await;
    for id in 0..40 {
        peer.ask(id, "roots/list", json!({})).await;
    }
    for id in 16..40 {
        assert_eq!(peer.response(id).await["code"], -32602);
    }
    peer.hears_nothing().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for _ in 0..16 {
        assert_eq!(peer.hear().await["error"]["code"], -32602);
    }
}

#[tokio::test(start_paused = true)]
async fn questions_in_a_batch_are_asked_like_others() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    let (call_id, _) = peer.expect("tools/call").await;
    peer.say(json!([
        {"jsonrpc": "2.0", "id": "a", "method": "sampling/createMessage", "params": {"n": 1}},
        {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}},
        {"jsonrpc": "2.0", "id": "b", "method": "roots/list"},
    ]))
    .await;
    let (first, mut reply) = asked(reply).await;
    let second = question(&mut reply).await;
    second.answer(Ok(raw(&json!({"roots": []}))));
    assert_eq!(peer.response("b").await, json!({"roots": []}));
    first.answer(Ok(raw(&json!({"role": "assistant"}))));
    assert_eq!(peer.response("a").await, json!({"role": "assistant"}));
    peer.answer(&call_id, json!({})).await;
    reply.outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_server_that_reads_slowly() {
    let (conversation, mut peer) = stateful_with(1).await;
    let reply = begin(&conversation, asked_call("x", ALICE));
    peer.expect("tools/call").await;
    peer.ask(1, "elicitation/create", elicit()).await;
    let (question, _reply) = asked(reply).await;
    let listing = Outgoing::plain(Method::ToolsList, RawJson::empty_object());
    let _filling = begin(&conversation, listing);
    settle().await;
    question.answer(Ok(accept("x")));
    settle().await;
    peer.expect("tools/list").await;
    peer.response(1).await;
}
