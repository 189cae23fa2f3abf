//! The gateway as a server over a pipe: clients of every era, one message per line.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "lines of our own server")]

mod support;

use std::sync::Arc;

use isthmus_config::Bounds;
use isthmus_exchange::{Acknowledged, Event, ItemKind, ListenFilter, Notice};
use isthmus_protocol::Method;
use isthmus_seal::SealKeys;
use isthmus_transport::{Clients, serve_stdio};
use serde_json::{Value, json};
use support::script::{Script, scripted};
use support::{ALL, answer, stateful, stateless};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, split,
};
use tokio::task::JoinHandle;

struct Peer {
    lines: BufReader<ReadHalf<DuplexStream>>,
    input: WriteHalf<DuplexStream>,
    script: Script,
    clients: Arc<Clients>,
    served: JoinHandle<std::io::Result<()>>,
}

fn start() -> Peer {
    start_with(&Bounds::default())
}

fn start_with(bounds: &Bounds) -> Peer {
    let (stage, script) = scripted();
    let clients = support::clients(bounds, Arc::new(SealKeys::generate()));
    let face = Arc::new(support::face(stage));
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (reader, writer) = split(theirs);
    let serving = serve_stdio(
        Arc::clone(&clients),
        move || Some(Arc::clone(&face)),
        reader,
        writer,
    );
    let (lines, input) = split(ours);
    Peer {
        lines: BufReader::new(lines),
        input,
        script,
        clients,
        served: tokio::spawn(serving),
    }
}

impl Peer {
    async fn say(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.input.write_all(b"\n").await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not MCP: {line:?}"))
    }

    async fn handshake(&mut self, revision: &str) {
        self.handshake_with(revision, "{}").await;
    }

    async fn handshake_with(&mut self, revision: &str, capabilities: &str) {
        let hello = format!(r#"{{"protocolVersion":"{revision}","capabilities":{capabilities}}}"#);
        self.say(&stateful("0", "initialize", &hello)).await;
        assert_eq!(self.hear().await["result"]["protocolVersion"], revision);
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            .await;
    }
}

#[tokio::test]
async fn a_stateful_client_gets_answers_progress_and_notices() {
    let mut peer = start();
    peer.handshake("2025-06-18").await;
    let listening = peer.script.listen().await.begin();
    let filter = ListenFilter::default();
    listening
        .event(Event::Acknowledged(Acknowledged { filter }))
        .await;
    peer.say(&stateful(
        "1",
        "tools/call",
        r#"{"name":"x","_meta":{"progressToken":"p"}}"#,
    ))
    .await;
    let call = peer.script.call().await;
    assert!(call.request.caller.scope.is_session());
    let steps = call.begin();
    steps.progress(r#"{"progress":1}"#).await;
    assert_eq!(peer.hear().await["params"]["progressToken"], "p");
    listening
        .event(Event::Notice(Notice::ListChanged(ItemKind::Prompt)))
        .await;
    assert_eq!(
        peer.hear().await["method"],
        "notifications/prompts/list_changed"
    );
    steps
        .finish("{\"content\":[\n{\"type\":\"text\",\"text\":\"a\"}\n]}")
        .await;
    assert_eq!(peer.hear().await["result"]["content"][0]["text"], "a");
}

#[tokio::test]
async fn a_client_answers_questions_on_the_pipe_one_by_one_or_in_a_batch() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut peer = start();
        peer.handshake_with(revision, ALL).await;
        peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
            .await;
        let steps = peer.script.call().await.begin();
        let one = steps.ask(Method::RootsList, "{}").await;
        let two = steps.ask(Method::RootsList, "{}").await;
        let (first, second) = (peer.hear().await, peer.hear().await);
        assert_eq!(first["method"], "roots/list");
        let answers = [
            answer(&second, r#"{"roots":[2]}"#),
            answer(&first, r#"{"roots":[1]}"#),
        ];
        if revision == "2025-03-26" {
            peer.say(&format!("[{}]", answers.join(","))).await;
        } else {
            peer.say(&answers[0]).await;
            peer.say(&answers[1]).await;
        }
        assert_eq!(one.await.unwrap().unwrap().as_str(), r#"{"roots":[1]}"#);
        assert_eq!(two.await.unwrap().unwrap().as_str(), r#"{"roots":[2]}"#);
        steps.finish(r#"{"content":[]}"#).await;
        assert_eq!(peer.hear().await["id"], 1);
    }
}

#[tokio::test]
async fn a_question_on_the_pipe_is_cancelled_when_it_is_withdrawn() {
    let mut peer = start();
    peer.handshake_with("2025-11-25", ALL).await;
    peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = peer.script.call().await.begin();
    let asking = steps.ask(Method::RootsList, "{}").await;
    let question = peer.hear().await;
    drop(asking);
    let cancelled = peer.hear().await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
}

#[tokio::test]
async fn a_client_that_has_closed_its_end_is_asked_nothing() {
    let mut peer = start();
    peer.handshake_with("2025-11-25", ALL).await;
    peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = peer.script.call().await.begin();
    let open = steps.ask(Method::RootsList, "{}").await;
    peer.hear().await;
    peer.input.shutdown().await.unwrap();
    assert!(open.await.is_err());
    steps.finish(r#"{"content":[]}"#).await;
    peer.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn stateless_requests_travel_beside_a_session() {
    let mut peer = start();
    peer.say(&stateless("1", "server/discover", "{}")).await;
    let discovered = peer.hear().await;
    assert_eq!(discovered["result"]["supportedVersions"][0], "2026-07-28");
    peer.handshake("2025-11-25").await;
    peer.say(&stateless("2", "tools/list", "{}")).await;
    let call = peer.script.call().await;
    assert!(!call.request.caller.scope.is_session());
    call.complete(r#"{"tools":[]}"#);
    let listed = peer.hear().await;
    assert_eq!(listed["result"]["resultType"], "complete");
    peer.say(&stateful("3", "tools/list", "{}")).await;
    peer.script.call().await.complete(r#"{"tools":[]}"#);
    assert_eq!(peer.hear().await["result"], json!({"tools": []}));
}

#[tokio::test]
async fn requests_of_both_eras_are_cancelled_by_notification() {
    let mut peer = start();
    peer.handshake("2025-06-18").await;
    peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let one = peer.script.call().await.begin();
    peer.say(&stateless("2", "tools/call", r#"{"name":"x"}"#))
        .await;
    let two = peer.script.call().await.begin();
    for id in [1, 2] {
        let params = format!(r#"{{"requestId":{id}}}"#);
        peer.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
        ))
        .await;
    }
    one.cancelled().await;
    two.cancelled().await;
    peer.say(&stateful("3", "ping", "{}")).await;
    assert_eq!(
        peer.hear().await["id"],
        3,
        "cancelled requests have no answer"
    );
}

#[tokio::test]
async fn listen_streams_share_the_pipe_by_their_ids() {
    let mut peer = start();
    let wanted = r#"{"notifications":{"toolsListChanged":true}}"#;
    peer.say(&stateless("\"a\"", "subscriptions/listen", wanted))
        .await;
    let first = peer.script.listen().await;
    let filter = first.request.listen.clone().unwrap();
    let first = first.begin();
    peer.say(&stateless("\"b\"", "subscriptions/listen", wanted))
        .await;
    let second = peer.script.listen().await.begin();
    let key = "io.modelcontextprotocol/subscriptionId";
    first
        .event(Event::Acknowledged(Acknowledged { filter }))
        .await;
    assert_eq!(peer.hear().await["params"]["_meta"][key], "a");
    second
        .event(Event::Notice(Notice::ListChanged(ItemKind::Tool)))
        .await;
    assert_eq!(peer.hear().await["params"]["_meta"][key], "b");
    peer.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#)
        .await;
    first.cancelled().await;
    peer.clients.drain();
    let last = peer.hear().await;
    assert_eq!(last["id"], "b");
    assert_eq!(last["result"]["_meta"][key], "b");
    peer.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn batches_are_answered_in_one_line_for_2025_03_26_only() {
    let mut peer = start();
    peer.handshake("2025-03-26").await;
    let batch = format!(
        "[{},{}]",
        stateful("1", "ping", "{}"),
        stateful("2", "x/y", "{}")
    );
    peer.say(&batch).await;
    let answers = peer.hear().await;
    assert_eq!(answers[0]["id"], 1);
    assert_eq!(answers[1]["error"]["code"], -32601);
    let mut other = start();
    other.handshake("2025-06-18").await;
    other.say(&batch).await;
    assert_eq!(other.hear().await["error"]["code"], -32600);
}

#[tokio::test]
async fn bad_lines_are_complained_of_and_do_no_harm() {
    let mut peer = start_with(&Bounds {
        line: 1000,
        ..Bounds::default()
    });
    for (line, code) in [
        ("nonsense".to_owned(), -32700),
        ("[]".to_owned(), -32600),
        ("7".to_owned(), -32600),
        (stateful("1", "tools/list", "{}"), -32600),
        (stateful("1", "server/discover", "{}"), -32602),
        (format!("\"{}\"", "x".repeat(5000)), -32600),
        (stateless("1", "ping", "{}"), -32601),
        (stateless("1", "tools/call", "{}"), -32602),
    ] {
        peer.say(&line).await;
        assert_eq!(peer.hear().await["error"]["code"], code, "{line}");
    }
    peer.say(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#).await;
    peer.say("").await;
    peer.input.write_all(b"\"\xff\"\n").await.unwrap();
    assert_eq!(peer.hear().await["error"]["code"], -32700);
    peer.say(&stateful("2", "ping", "{}")).await;
    assert_eq!(peer.hear().await["id"], 2);
}

#[tokio::test]
async fn when_the_client_closes_its_end_running_requests_may_still_answer() {
    let mut peer = start();
    peer.handshake("2025-06-18").await;
    peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let call = peer.script.call().await;
    peer.input.shutdown().await.unwrap();
    call.complete(r#"{"content":[]}"#);
    assert_eq!(peer.hear().await["id"], 1);
    peer.served.await.unwrap().unwrap();
    assert!(peer.clients.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_in_time_is_cancelled_at_the_end() {
    let mut peer = start();
    peer.handshake("2025-06-18").await;
    peer.say(&stateful("1", "tools/call", r#"{"name":"x"}"#))
        .await;
    let steps = peer.script.call().await.begin();
    peer.input.shutdown().await.unwrap();
    steps.cancelled().await;
    peer.served.await.unwrap().unwrap();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_client_says_the_next_request_is_answered(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                "[^\n]{0,40}",
                "\\{\"jsonrpc\":\"2.0\",\"id\":[0-9]{1,3},\"method\":\"[a-z/]{0,12}\"(,\"params\":\\{(\"name\":\"x\")?\\})?\\}",
                "\\[[^\n]{0,20}\\]",
                "\\[?\\{\"jsonrpc\":\"2.0\",\"id\":[0-9\"]{1,9},\"(result|error)\":\\{(\"code\":1)?\\}\\}\\]?",
            ],
            0..8,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut peer = start();
            peer.handshake("2025-03-26").await;
            for line in &lines {
                peer.say(line).await;
            }
            peer.say(&stateful("\"the end\"", "ping", "{}")).await;
            loop {
                let answer = peer.hear().await;
                if answer["id"] == "the end" {
                    break;
                }
            }
        });
    }
}
