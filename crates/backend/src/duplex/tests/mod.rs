//! Conversations with a scripted peer at the other end of a pipe in memory.

mod calls;
mod detection;
mod questions;
mod traffic;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use isthmus_exchange::{BackendName, Error, ErrorKind, Event, Outcome, Reply, Step, Wants};
use isthmus_protocol::{LogLevel, Method, RawJson};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{
    Opening, OutgoingMessage, Pipe, PipeEnd, PipeEvent, PipeMaker, StatefulDuplex, StatelessDuplex,
};
use crate::conversation::{Conversation, Outgoing};
use crate::questions::Habit;

/// The other end of a pipe.
struct Peer {
    heard: mpsc::Receiver<OutgoingMessage>,
    voice: mpsc::Sender<Result<PipeEvent, Error>>,
    maker: PipeMaker,
}

/// A pipe whose queue to the peer holds `queue` messages.
fn pipe(queue: usize) -> (Pipe, Peer) {
    let (outgoing, heard) = mpsc::channel(queue);
    let (voice, incoming) = mpsc::channel(64);
    let (end, maker) = PipeEnd::new();
    let incoming = stream::unfold(incoming, async |mut incoming: mpsc::Receiver<_>| {
        Some((incoming.recv().await?, incoming))
    });
    let pipe = Pipe {
        backend: backend(),
        outgoing,
        incoming: Box::pin(incoming),
        end,
    };
    (
        pipe,
        Peer {
            heard,
            voice,
            maker,
        },
    )
}

fn backend() -> BackendName {
    BackendName::parse("b").unwrap()
}

fn opening() -> Opening {
    Opening {
        client_info: raw(&json!({"name": "isthmus", "version": "0"})),
        capabilities: raw(&json!({"extensions": {"x.example/y": {}}, "roots": {}})),
        deadline: Instant::now() + Duration::from_secs(60),
        most_in_flight: 8,
        habit: Habit::default(),
    }
}

fn raw(value: &Value) -> RawJson {
    RawJson::from_serialize(value)
}

impl Peer {
    /// The next message that arrives.
    async fn hear(&mut self) -> Value {
        let message = timeout(Duration::from_secs(3600), self.heard.recv()).await;
        serde_json::from_slice(&message.unwrap().unwrap().text).unwrap()
    }

    /// The next message, which must be `method`; its id (null for a notification) and parameters.
    async fn expect(&mut self, method: &str) -> (Value, Value) {
        let mut message = self.hear().await;
        assert_eq!(message["method"], method, "{message}");
        (message["id"].take(), message["params"].take())
    }

    /// That nothing has arrived.
    async fn hears_nothing(&mut self) {
        settle().await;
        assert!(self.heard.try_recv().is_err());
    }

    async fn say(&self, message: Value) {
        self.say_text(message.to_string()).await;
    }

    async fn say_text(&self, text: impl Into<Bytes>) {
        let event = PipeEvent::Message(text.into());
        self.voice.send(Ok(event)).await.unwrap();
    }

    async fn answer(&self, id: &Value, result: Value) {
        self.say(json!({"jsonrpc": "2.0", "id": id, "result": result}))
            .await;
    }

    async fn refuse(&self, id: &Value, code: i64) {
        self.say(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}}))
            .await;
    }

    async fn notify(&self, method: &str, params: Value) {
        self.say(json!({"jsonrpc": "2.0", "method": method, "params": params}))
            .await;
    }
}

/// Lets every task that can run do so.
async fn settle() {
    // The clock is paused: this takes no time, but ends only when everybody else waits.
    tokio::time::sleep(Duration::from_micros(1)).await;
}

fn initialized(version: &str) -> Value {
    json!({"protocolVersion": version, "serverInfo": {"name": "s"},
        "capabilities": {"tools": {}, "resources": {"subscribe": true}}})
}

fn discovered(versions: &[&str]) -> Value {
    json!({"supportedVersions": versions, "resultType": "complete", "instructions": "hi",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s"}},
        "capabilities": {"tools": {"listChanged": true}, "prompts": {}, "resources": {"subscribe": true}}})
}

/// Does a stateful server's part of a handshake.
async fn accepts(peer: &mut Peer) {
    let (id, _) = peer.expect("initialize").await;
    peer.answer(&id, initialized("2025-11-25")).await;
    peer.expect("notifications/initialized").await;
}

async fn stateful_opened(opening: &Opening, queue: usize) -> (Arc<StatefulDuplex>, Peer) {
    let (pipe, mut peer) = pipe(queue);
    let background = Handle::current();
    let opened = StatefulDuplex::open(pipe, opening, &background);
    let (opened, ()) = tokio::join!(opened, accepts(&mut peer));
    (Arc::new(opened.unwrap()), peer)
}

/// An open stateful conversation, with `queue` places on the way to the peer.
async fn stateful_with(queue: usize) -> (Arc<StatefulDuplex>, Peer) {
    stateful_opened(&opening(), queue).await
}

async fn stateful() -> (Arc<StatefulDuplex>, Peer) {
    stateful_with(16).await
}

/// An open stateless conversation.
async fn stateless() -> (Arc<StatelessDuplex>, Peer) {
    let (pipe, mut peer) = pipe(16);
    let opening = opening();
    let background = Handle::current();
    let opened = StatelessDuplex::open(pipe, &opening, &background);
    let server = async {
        let (id, _) = peer.expect("server/discover").await;
        peer.answer(&id, discovered(&["2026-07-28"])).await;
    };
    let (opened, ()) = tokio::join!(opened, server);
    (Arc::new(opened.unwrap()), peer)
}

fn call(name: &str) -> Outgoing {
    Outgoing::plain(Method::ToolsCall, raw(&json!({"name": name})))
}

/// A call whose caller wants to hear everything.
fn curious_call(name: &str) -> Outgoing {
    let mut outgoing = call(name);
    outgoing.wants = Wants {
        progress: true,
        log_level: Some(LogLevel::Info),
    };
    outgoing
}

/// Begins a request in a task of its own.
fn begin(
    conversation: &Arc<impl Conversation + 'static>,
    outgoing: Outgoing,
) -> JoinHandle<Result<Reply, Error>> {
    Handle::current().spawn(conversation.clone().request(outgoing))
}

async fn result(reply: JoinHandle<Result<Reply, Error>>) -> Result<Value, Error> {
    match reply.await.unwrap()?.outcome().await? {
        Outcome::Complete(complete) => Ok(complete.result.read().unwrap()),
        other => panic!("{other:?}"),
    }
}

/// The next step, which must be an event: what it says.
async fn event(reply: &mut Reply) -> Value {
    match reply.next().await {
        Step::Event(Event::Progress(progress)) => progress.params.read().unwrap(),
        Step::Event(Event::Log(record)) => record.params.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BackendUnavailable(_))
}
