//! Calls: correlation, cancellation, slow callers, ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn answers_find_their_calls_in_any_order_and_no_id_is_used_twice() {
    let (conversation, mut peer) = stateful().await;
    let first = begin(&conversation, call("first"));
    let (first_id, params) = peer.expect("tools/call").await;
    assert_eq!(params, json!({"name": "first"}));
    let second = begin(&conversation, call("second"));
    let (second_id, _) = peer.expect("tools/call").await;
    peer.answer(&second_id, json!({"n": 2})).await;
    peer.answer(&first_id, json!({"n": 1})).await;
    assert_eq!(result(first).await.unwrap()["n"], 1);
    assert_eq!(result(second).await.unwrap()["n"], 2);
    let third = begin(&conversation, call("third"));
    let (third_id, _) = peer.expect("tools/call").await;
    assert!(third_id.as_u64() > second_id.as_u64() && second_id.as_u64() > first_id.as_u64());
    peer.refuse(&third_id, -32602).await;
    let error = result(third).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Answered { error, .. } if error.code == -32602));
}

#[tokio::test(start_paused = true)]
async fn a_result_keeps_its_spelling() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, call("x"));
    let (id, _) = peer.expect("tools/call").await;
    let text = "{ \"a\": 1.0, \"b\":1e400 ,\"a2\":\"\\u00e9\" }";
    peer.say_text(format!(
        "{{\"jsonrpc\":\"2.0\",\"result\":{text},\"id\":{id}}}"
    ))
    .await;
    match reply.await.unwrap().unwrap().into_ready().unwrap() {
        Outcome::Complete(complete) => assert_eq!(complete.result.as_str(), text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_cancels_his_own_call_and_no_other() {
    let (conversation, mut peer) = stateful().await;
    let kept = begin(&conversation, call("kept"));
    let (kept_id, _) = peer.expect("tools/call").await;
    let early = begin(&conversation, call("early"));
    let (early_id, _) = peer.expect("tools/call").await;
    early.abort();
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], early_id);

    let late = begin(&conversation, curious_call("late"));
    let (late_id, params) = peer.expect("tools/call").await;
    let token = &params["_meta"]["progressToken"];
    peer.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    )
    .await;
    let mut late = late.await.unwrap().unwrap();
    assert_eq!(event(&mut late).await, json!({"progress": 1}));
    drop(late);
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], late_id);

    // An answer that crossed the cancellation is nobody's.
    peer.answer(&late_id, json!({})).await;
    peer.answer(&kept_id, json!({})).await;
    result(kept).await.unwrap();
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_stateless_call_on_a_pipe_is_cancelled_by_a_notification_too() {
    let (conversation, mut peer) = stateless().await;
    let reply = begin(&conversation, call("x"));
    let (id, _) = peer.expect("tools/call").await;
    reply.abort();
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], id);
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_as_long_as_it_takes() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, curious_call("x"));
    let (id, params) = peer.expect("tools/call").await;
    let token = &params["_meta"]["progressToken"];
    let progress = json!({"progressToken": token, "progress": 1});
    peer.notify("notifications/progress", progress).await;
    let mut reply = reply.await.unwrap().unwrap();
    event(&mut reply).await;
    let later = async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        peer.answer(&id, json!({})).await;
    };
    let (outcome, ()) = tokio::join!(reply.outcome(), later);
    assert!(matches!(outcome, Ok(Outcome::Complete(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_reads_nothing_holds_up_nobody_and_still_gets_his_outcome() {
    let (conversation, mut peer) = stateful().await;
    let slow = begin(&conversation, curious_call("slow"));
    let (slow_id, params) = peer.expect("tools/call").await;
    let token = params["_meta"]["progressToken"].clone();
    let progress = |n: usize| json!({"progressToken": token.clone(), "progress": n});
    peer.notify("notifications/progress", progress(0)).await;
    let mut slow = slow.await.unwrap().unwrap();
    let quick = begin(&conversation, call("quick"));
    let (quick_id, _) = peer.expect("tools/call").await;
    for n in 1..10_000 {
        peer.notify("notifications/progress", progress(n)).await;
    }
    peer.answer(&slow_id, json!({"done": true})).await;
    peer.answer(&quick_id, json!({})).await;
    result(quick).await.unwrap();

    let mut events = Vec::new();
    let outcome = loop {
        match slow.next().await {
            Step::Event(Event::Progress(progress)) => events.push(progress.params.to_string()),
            Step::Event(other) => panic!("{other:?}"),
            Step::Done(outcome) => break outcome,
        }
    };
    assert!(events.len() <= 65, "{} events", events.len());
    assert_eq!(events.last().unwrap(), "{\"progress\":9999}");
    assert!(matches!(outcome, Ok(Outcome::Complete(_))));
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_to_a_peer_that_reads_slowly_is_sent_when_it_reads_again() {
    let (conversation, mut peer) = stateful_with(1).await;
    let given_up = begin(&conversation, call("given-up"));
    settle().await;
    given_up.abort();
    let waiting = begin(&conversation, call("waiting"));
    settle().await;
    peer.say(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}))
        .await;
    settle().await;
    let (id, _) = peer.expect("tools/call").await;
    let mut rest = Vec::new();
    for _ in 0..3 {
        rest.push(peer.hear().await);
    }
    assert!(
        rest.iter()
            .any(|message| message["params"]["requestId"] == id)
    );
    assert!(
        rest.iter()
            .any(|message| message["id"] == "p" && message["result"] == json!({}))
    );
    let call = rest
        .iter()
        .find(|message| message["params"]["name"] == "waiting")
        .unwrap();
    peer.answer(&call["id"], json!({})).await;
    result(waiting).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_is_not_cancelled() {
    let (conversation, mut peer) = stateful_with(1).await;
    let first = begin(&conversation, call("first"));
    settle().await;
    let never_sent = begin(&conversation, call("never-sent"));
    settle().await;
    never_sent.abort();
    let (id, params) = peer.expect("tools/call").await;
    assert_eq!(params["name"], "first");
    peer.answer(&id, json!({})).await;
    result(first).await.unwrap();
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_may_be_in_flight_are_refused_at_once() {
    let (conversation, mut peer) = stateful().await;
    let replies: Vec<_> = (0..8).map(|_| begin(&conversation, call("x"))).collect();
    for _ in 0..8 {
        peer.expect("tools/call").await;
    }
    let error = result(begin(&conversation, call("x"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Overloaded { .. }));
    drop(replies);
}

#[tokio::test(start_paused = true)]
async fn a_broken_pipe_fails_every_call_with_its_reason_and_refuses_later_ones() {
    let (conversation, mut peer) = stateful().await;
    let waiting = begin(&conversation, call("x"));
    peer.expect("tools/call").await;
    let reason = Error::new(ErrorKind::BackendUnavailable(backend()), "it fell over");
    peer.voice.send(Err(reason)).await.unwrap();
    assert_eq!(result(waiting).await.unwrap_err().message(), "it fell over");
    conversation.closed().cancelled().await;
    // What comes later is another matter: the server never saw it, and it may be sent once more elsewhere.
    let late = result(begin(&conversation, call("x"))).await.unwrap_err();
    assert_eq!(*late.kind(), ErrorKind::SessionUnknown);
    assert_eq!(late.message(), "it fell over");
    assert!(!conversation.hears());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_its_session_gone_was_not_accepted_and_the_others_may_have_been() {
    let (conversation, mut peer) = stateful().await;
    let accepted = begin(&conversation, call("accepted"));
    peer.expect("tools/call").await;
    let refused = begin(&conversation, call("refused"));
    let (id, _) = peer.expect("tools/call").await;
    let event = PipeEvent::Undelivered {
        request: id.as_u64().unwrap(),
        error: Error::new(ErrorKind::SessionUnknown, "no such session"),
    };
    peer.voice.send(Ok(event)).await.unwrap();
    let reason = Error::new(ErrorKind::BackendUnavailable(backend()), "it fell over");
    peer.voice.send(Err(reason)).await.unwrap();
    let error = result(refused).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionUnknown);
    assert!(conversation.closed().is_cancelled());
    assert!(is_unavailable(&result(accepted).await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_request_fails_alone() {
    let (conversation, mut peer) = stateful().await;
    let lost = begin(&conversation, call("lost"));
    let (lost_id, _) = peer.expect("tools/call").await;
    let kept = begin(&conversation, call("kept"));
    let (kept_id, _) = peer.expect("tools/call").await;
    let request = lost_id.as_u64().unwrap();
    let error = Error::new(ErrorKind::BackendUnavailable(backend()), "413");
    peer.voice
        .send(Ok(PipeEvent::Undelivered { request, error }))
        .await
        .unwrap();
    assert!(is_unavailable(&result(lost).await.unwrap_err()));
    peer.answer(&kept_id, json!({})).await;
    result(kept).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_pipe_and_waits_for_its_maker() {
    let (conversation, mut peer) = stateful().await;
    let waiting = begin(&conversation, call("x"));
    peer.expect("tools/call").await;
    let closing = Handle::current().spawn(conversation.close());
    peer.maker.closing.cancelled().await;
    assert!(is_unavailable(&result(waiting).await.unwrap_err()));
    assert!(!closing.is_finished());
    peer.maker.ended.cancel();
    closing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_conversation_ends_its_pipe_once_its_last_reply_is_gone() {
    let (conversation, mut peer) = stateful().await;
    let waiting = begin(&conversation, call("x"));
    let (id, _) = peer.expect("tools/call").await;
    drop(conversation);
    settle().await;
    assert!(!peer.maker.closing.is_cancelled());
    peer.answer(&id, json!({})).await;
    result(waiting).await.unwrap();
    settle().await;
    assert!(peer.maker.closing.is_cancelled());
}
