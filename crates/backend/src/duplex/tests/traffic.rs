//! What a backend sends besides answers.

use super::*;
use crate::conversation::PeerNotice;
use isthmus_exchange::ItemKind;

#[tokio::test(start_paused = true)]
async fn progress_reaches_the_call_whose_token_it_carries() {
    let (conversation, mut peer) = stateful().await;
    let first = begin(&conversation, curious_call("first"));
    let (first_id, first_params) = peer.expect("tools/call").await;
    let second = begin(&conversation, curious_call("second"));
    let (second_id, second_params) = peer.expect("tools/call").await;
    let token = |params: &Value| params["_meta"]["progressToken"].clone();
    assert!(token(&first_params).is_u64());
    for (params, n) in [(&second_params, 2), (&first_params, 1), (&second_params, 3)] {
        let params = json!({"progress": n, "progressToken": token(params), "message": "m"});
        peer.notify("notifications/progress", params).await;
    }
    // Neither unknown tokens nor those of others do harm.
    peer.notify(
        "notifications/progress",
        json!({"progressToken": "x", "progress": 1}),
    )
    .await;
    peer.notify(
        "notifications/progress",
        json!({"progressToken": 77, "progress": 1}),
    )
    .await;
    peer.answer(&first_id, json!({})).await;
    peer.answer(&second_id, json!({})).await;
    let mut second = second.await.unwrap().unwrap();
    assert_eq!(
        event(&mut second).await,
        json!({"progress": 2, "message": "m"})
    );
    assert_eq!(
        event(&mut second).await,
        json!({"progress": 3, "message": "m"})
    );
    assert!(matches!(second.next().await, Step::Done(Ok(_))));
    let mut first = first.await.unwrap().unwrap();
    assert_eq!(
        event(&mut first).await,
        json!({"progress": 1, "message": "m"})
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_wants_no_progress_sends_no_token_and_hears_none() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, call("x"));
    let (id, params) = peer.expect("tools/call").await;
    assert_eq!(params, json!({"name": "x"}));
    peer.notify(
        "notifications/progress",
        json!({"progressToken": (1 << 30) + id.as_u64().unwrap(), "progress": 1}),
    )
    .await;
    peer.answer(&id, json!({})).await;
    assert!(reply.await.unwrap().unwrap().into_ready().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_log_message_goes_to_the_only_call_in_flight_if_its_caller_wants_it() {
    let (conversation, mut peer) = stateful().await;
    let mut notices = conversation.notices();
    let reply = begin(&conversation, curious_call("x"));
    let (id, _) = peer.expect("tools/call").await;
    peer.notify(
        "notifications/message",
        json!({"level": "debug", "data": "too fine"}),
    )
    .await;
    peer.notify(
        "notifications/message",
        json!({"level": "error", "data": "mine"}),
    )
    .await;
    let mut reply = reply.await.unwrap().unwrap();
    assert_eq!(event(&mut reply).await["data"], "mine");
    // With a second call in flight nobody can tell whose it is.
    let other = begin(&conversation, curious_call("other"));
    peer.expect("tools/call").await;
    peer.notify(
        "notifications/message",
        json!({"level": "error", "data": "whose"}),
    )
    .await;
    peer.answer(&id, json!({})).await;
    assert!(matches!(reply.next().await, Step::Done(Ok(_))));
    for expected in ["too fine", "whose"] {
        let PeerNotice::Log(record) = notices.recv().await.unwrap() else {
            panic!()
        };
        assert!(record.params.as_str().contains(expected));
    }
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn changes_reach_whoever_follows() {
    let (conversation, peer) = stateful().await;
    let mut notices = conversation.notices();
    peer.notify("notifications/tools/list_changed", json!({}))
        .await;
    peer.say(json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}))
        .await;
    let updated = json!({"uri": "file:///a", "x": 1});
    peer.notify("notifications/resources/updated", updated.clone())
        .await;
    peer.notify("notifications/resources/updated", json!({}))
        .await;
    peer.notify("notifications/prompts/list_changed", json!({}))
        .await;
    let expected = [
        PeerNotice::ListChanged(ItemKind::Tool),
        PeerNotice::ListChanged(ItemKind::Resource),
        PeerNotice::ResourceUpdated {
            uri: "file:///a".to_owned(),
            params: raw(&updated),
        },
        PeerNotice::ListChanged(ItemKind::Prompt),
    ];
    for notice in expected {
        assert_eq!(notices.recv().await.unwrap(), notice);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stateful_servers_ping_is_answered_and_what_no_client_declared_is_refused_at_once() {
    let (_conversation, mut peer) = stateful().await;
    peer.say(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
        .await;
    assert_eq!(
        peer.hear().await,
        json!({"jsonrpc": "2.0", "id": 1, "result": {}})
    );
    let begun = Instant::now();
    for method in ["elicitation/create", "sampling/createMessage", "x/y"] {
        peer.say(json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": {}}))
            .await;
        let refusal = peer.hear().await;
        assert_eq!(refusal["id"], "q");
        assert_eq!(refusal["error"]["code"], -32601);
        let message = refusal["error"]["message"].as_str().unwrap();
        assert!(message.contains(method), "{message}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stateless_server_gets_no_answers_whatever_it_asks() {
    let (_conversation, mut peer) = stateless().await;
    for method in ["ping", "elicitation/create"] {
        peer.say(json!({"jsonrpc": "2.0", "id": 1, "method": method}))
            .await;
    }
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_and_answers_to_nothing_disturb_no_call() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, call("x"));
    let (id, _) = peer.expect("tools/call").await;
    for garbage in [
        "Server listening on stdio",
        "{",
        "[]",
        "[1]",
        "null",
        "{\"jsonrpc\":\"2.0\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"m\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1.0,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}",
    ] {
        peer.say_text(garbage).await;
    }
    peer.say_text(&b"\xff\xfe\x00"[..]).await;
    peer.say_text("[".repeat(100_000)).await;
    peer.answer(&id, json!({"n": 1})).await;
    peer.answer(&id, json!({"n": 2})).await;
    assert_eq!(result(reply).await.unwrap()["n"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_none_ends_its_call_instead_of_leaving_it_to_wait() {
    let (conversation, mut peer) = stateful().await;
    let reply = begin(&conversation, call("x"));
    let (id, _) = peer.expect("tools/call").await;
    peer.say(json!({"jsonrpc": "2.0", "id": id, "result": {}, "error": {}}))
        .await;
    let error = result(reply).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BackendMisbehaved(_)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_taken_apart() {
    let (conversation, mut peer) = stateful().await;
    let first = begin(&conversation, call("first"));
    let (first_id, _) = peer.expect("tools/call").await;
    let second = begin(&conversation, call("second"));
    let (second_id, _) = peer.expect("tools/call").await;
    peer.say(json!([
        {"jsonrpc": "2.0", "id": second_id, "result": {"n": 2}},
        "nonsense",
        {"jsonrpc": "2.0", "id": 5, "method": "ping"},
        {"jsonrpc": "2.0", "id": first_id, "result": {"n": 1}},
    ]))
    .await;
    assert_eq!(result(first).await.unwrap()["n"], 1);
    assert_eq!(result(second).await.unwrap()["n"], 2);
    assert_eq!(peer.hear().await["id"], 5);
}

#[tokio::test(start_paused = true)]
async fn a_stateless_request_describes_itself_and_its_result_loses_what_belongs_to_the_hop() {
    let (conversation, mut peer) = stateless().await;
    let mut outgoing = curious_call("x");
    outgoing.capabilities = raw(&json!({"elicitation": {}}));
    let reply = begin(&conversation, outgoing);
    let (id, params) = peer.expect("tools/call").await;
    let meta = &params["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {}})
    );
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "info");
    assert_eq!(
        meta["progressToken"],
        json!((1 << 30) + id.as_u64().unwrap())
    );
    peer.answer(
        &id,
        json!({"x": 1, "resultType": "complete", "ttlMs": 7, "cacheScope": "public"}),
    )
    .await;
    match reply.await.unwrap().unwrap().into_ready().unwrap() {
        Outcome::Complete(complete) => {
            assert_eq!(complete.result.as_str(), "{\"x\":1}");
            let cache = complete.cache.unwrap();
            assert_eq!((cache.ttl, cache.public), (Duration::from_millis(7), true));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_too_large_to_keep_is_left_out() {
    let (conversation, peer) = stateful().await;
    let mut notices = conversation.notices();
    let data = "x".repeat(100_000);
    peer.notify(
        "notifications/message",
        json!({"level": "info", "data": data}),
    )
    .await;
    peer.notify("notifications/tools/list_changed", json!({}))
        .await;
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
}
