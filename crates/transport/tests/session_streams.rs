//! Streams of sessions: calls that outlive their connection, messages that go out once, streams that are resumed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_exchange::{Acknowledged, Event, ItemKind, ListenFilter, LogRecord, Notice};
use isthmus_protocol::LogLevel;
use serde_json::json;
use support::script::{Steps, raw};
use support::{Gateway, start, stateful};

fn call_with_token() -> String {
    stateful(
        "1",
        "tools/call",
        r#"{"name":"x","_meta":{"progressToken":"t"}}"#,
    )
}

async fn hearing(gateway: &mut Gateway) -> Steps {
    let call = gateway.script.listen().await;
    let filter = call.request.listen.clone().unwrap();
    assert!(filter.follow_scope && filter.tools && filter.prompts && filter.resources);
    let steps = call.begin();
    let acknowledged = Acknowledged {
        filter: ListenFilter::default(),
    };
    steps.event(Event::Acknowledged(acknowledged)).await;
    steps
}

#[tokio::test]
async fn progress_comes_on_the_stream_of_its_request() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let asking = client.posting(&call_with_token());
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    assert!(answer.is_stream());
    let event = answer.event().await.unwrap();
    let message: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(
        message["params"],
        json!({"progress": 1, "progressToken": "t"})
    );
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(answer.message().await.unwrap()["id"], 1);
    assert!(answer.message().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_does_not_cancel() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let asking = client.posting(&call_with_token());
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    answer.message().await.unwrap();
    drop(answer);
    // The gateway has noticed once the id is free again only after the end: until then a twin is refused.
    let twin = client.post(&call_with_token()).await;
    assert_eq!(twin.code().await, -32600);
    assert!(!steps.is_cancelled());
    steps.finish(r#"{"content":[]}"#).await;
}

#[tokio::test]
async fn a_client_of_2025_11_25_resumes_exactly_the_stream_that_broke() {
    let mut gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    let asking = client.posting(&call_with_token());
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    let mut answer = asking.await.unwrap();
    let priming = answer.event().await.unwrap();
    assert!(priming.data.is_empty() && priming.retry.is_some());
    let first = answer.event().await.unwrap();
    assert!(first.id.is_some() && !first.data.is_empty());
    drop(answer);
    steps.progress(r#"{"progress":2}"#).await;

    let resuming = client.with("last-event-id", first.id.as_deref().unwrap());
    let mut rest = resuming.get().await;
    assert!(rest.is_stream());
    assert_eq!(rest.message().await.unwrap()["params"]["progress"], 2);
    steps.finish(r#"{"content":[]}"#).await;
    assert_eq!(rest.message().await.unwrap()["id"], 1);
    assert!(rest.message().await.is_none());

    let whole = client.with("last-event-id", priming.id.as_deref().unwrap());
    let mut whole = whole.get().await;
    assert_eq!(whole.message().await.unwrap()["params"]["progress"], 1);
    assert_eq!(whole.message().await.unwrap()["params"]["progress"], 2);
    assert_eq!(whole.message().await.unwrap()["id"], 1);
    assert!(whole.message().await.is_none());
}

#[tokio::test]
async fn older_clients_resume_too_and_get_no_event_without_data() {
    for revision in ["2025-03-26", "2025-06-18"] {
        let mut gateway = start().await;
        let client = gateway.session(revision).await;
        let asking = client.posting(&call_with_token());
        let steps = gateway.script.call().await.begin();
        steps.progress(r#"{"progress":1}"#).await;
        let mut answer = asking.await.unwrap();
        let first = answer.event().await.unwrap();
        assert!(
            !first.data.is_empty() && first.retry.is_none(),
            "{revision}"
        );
        drop(answer);
        steps.progress(r#"{"progress":2}"#).await;
        let resuming = client.with("last-event-id", first.id.as_deref().unwrap());
        let mut rest = resuming.get().await;
        let second = rest.event().await.unwrap();
        assert!(!second.data.is_empty(), "{revision}");
        steps.finish(r#"{"content":[]}"#).await;
        assert_eq!(rest.message().await.unwrap()["id"], 1);
        assert!(rest.message().await.is_none());
    }
}

#[tokio::test]
async fn a_stream_of_which_nothing_is_left_is_not_opened_again() {
    let mut gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    let asking = client.posting(&call_with_token());
    let steps = gateway.script.call().await.begin();
    let mut answer = asking.await.unwrap();
    let priming = answer.event().await.unwrap();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    client.post(cancel).await;
    steps.cancelled().await;
    assert!(answer.event().await.is_none());
    let again = client.with("last-event-id", priming.id.as_deref().unwrap());
    assert_eq!(again.get().await.status, 204);
}

#[tokio::test]
async fn clients_of_2024_11_05_know_no_resumption() {
    let mut gateway = start().await;
    let client = gateway.session("2024-11-05").await;
    let asking = client.posting(&call_with_token());
    let steps = gateway.script.call().await.begin();
    steps.progress(r#"{"progress":1}"#).await;
    assert_eq!(asking.await.unwrap().event().await.unwrap().id, None);
}

#[tokio::test]
async fn a_client_that_would_rather_have_a_stream_gets_one_at_once() {
    let mut gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    let client = client.with("accept", "text/event-stream, application/json");
    let mut answer = client.post(&stateful("1", "tools/list", "{}")).await;
    assert!(answer.event().await.unwrap().data.is_empty());
    gateway.script.call().await.complete(r#"{"tools":[]}"#);
    let last = answer.event().await.unwrap();
    assert!(last.id.is_some());
    assert!(answer.event().await.is_none());
}

#[tokio::test]
async fn an_event_id_that_is_none_of_ours_is_refused() {
    let gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    let answer = client.with("last-event-id", "what?").get().await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn cancelling_reaches_the_request_of_this_session_and_no_other() {
    let mut gateway = start().await;
    let one = gateway.session("2025-06-18").await;
    let two = gateway.session("2025-06-18").await;
    let asking_one = one.posting(&stateful("7", "tools/call", r#"{"name":"x"}"#));
    let steps_one = gateway.script.call().await.begin();
    let asking_two = two.posting(&stateful("7", "tools/call", r#"{"name":"x"}"#));
    let steps_two = gateway.script.call().await.begin();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(two.post(cancel).await.status, 202);
    steps_two.cancelled().await;
    let mut nothing = asking_two.await.unwrap();
    assert!(nothing.message().await.is_none());
    assert!(!steps_one.is_cancelled());
    steps_one.finish(r#"{"content":[]}"#).await;
    assert_eq!(asking_one.await.unwrap().json().await["id"], 7);
}

#[tokio::test]
async fn what_a_session_hears_comes_on_its_get_stream() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let mut stream = client.get().await;
    assert_eq!(stream.status, 200);
    let steps = hearing(&mut gateway).await;
    for kind in [ItemKind::Tool, ItemKind::Prompt, ItemKind::ResourceTemplate] {
        steps.event(Event::Notice(Notice::ListChanged(kind))).await;
    }
    for method in ["tools", "prompts", "resources"] {
        assert_eq!(
            stream.message().await.unwrap(),
            json!({"jsonrpc": "2.0", "method": format!("notifications/{method}/list_changed")})
        );
    }
    let updated = Notice::ResourceUpdated {
        uri: "a:b".into(),
        params: raw(r#"{"uri":"a:b"}"#),
    };
    steps.event(Event::Notice(updated)).await;
    let message = stream.message().await.unwrap();
    assert_eq!(message["method"], "notifications/resources/updated");
    assert_eq!(message["params"], json!({"uri": "a:b"}));
}

#[tokio::test]
async fn log_messages_outside_of_requests_obey_the_sessions_level() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let mut stream = client.get().await;
    let steps = hearing(&mut gateway).await;
    let level = stateful("2", "logging/setLevel", r#"{"level":"error"}"#);
    client.post(&level).await;
    for level in [LogLevel::Info, LogLevel::Alert] {
        let params = raw(&format!(r#"{{"level":"{level}","data":1}}"#));
        let record = LogRecord { level, params };
        steps.event(Event::Notice(Notice::Log(record))).await;
    }
    assert_eq!(stream.message().await.unwrap()["params"]["level"], "alert");
}

#[tokio::test]
async fn nothing_unsolicited_is_sent_before_the_client_is_ready() {
    let mut gateway = start().await;
    let (_, client) = gateway.client().initialize("2025-06-18").await;
    let mut stream = client.get().await;
    assert!(!gateway.script.is_listening());
    client
        .post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        .await;
    let steps = hearing(&mut gateway).await;
    steps
        .event(Event::Notice(Notice::ListChanged(ItemKind::Tool)))
        .await;
    assert!(stream.message().await.is_some());
}

#[tokio::test]
async fn two_get_streams_share_the_messages_and_one_too_many_is_refused() {
    let mut gateway = support::start_with(support::Setup {
        bounds: isthmus_config::Bounds {
            streams_per_session: 2,
            ..Default::default()
        },
        ..Default::default()
    })
    .await;
    let client = gateway.session("2025-06-18").await;
    let mut one = client.get().await;
    let mut two = client.get().await;
    assert_eq!(client.get().await.status, 409);
    let steps = hearing(&mut gateway).await;
    steps
        .event(Event::Notice(Notice::ListChanged(ItemKind::Tool)))
        .await;
    steps
        .event(Event::Notice(Notice::ListChanged(ItemKind::Prompt)))
        .await;
    // Wait until both have been sent, then end both streams and count.
    let mut seen = vec![two.message().await.unwrap(), two.message().await.unwrap()];
    client.delete().await;
    while let Some(message) = one.message().await {
        seen.push(message);
    }
    while let Some(message) = two.message().await {
        seen.push(message);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_get_stream_begins_with_a_priming_event_for_those_who_can_read_it() {
    let gateway = start().await;
    let new = gateway.session("2025-11-25").await;
    let event = new.get().await.event().await.unwrap();
    assert!(event.id.is_some() && event.data.is_empty() && event.retry.is_some());
    let old = gateway.session("2025-06-18").await;
    let mut stream = old.get().await;
    gateway.clients.drain();
    assert!(stream.event().await.is_none(), "no event with empty data");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_in_listening_every_list_counts_as_changed() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let mut stream = client.get().await;
    drop(hearing(&mut gateway).await);
    let _steps = hearing(&mut gateway).await;
    for method in ["tools", "prompts", "resources"] {
        let expected = format!("notifications/{method}/list_changed");
        assert_eq!(stream.message().await.unwrap()["method"], expected);
    }
}
