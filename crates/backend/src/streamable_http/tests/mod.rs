//! Both eras against a scripted backend: a real HTTP server on port 0 whose answers each test gives one by one.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime, and its own server is trusted"
)]

mod detection;
mod get_streams;
mod listening;
mod questions;
mod refusals;
mod resuming;
mod sessions;
mod stateful_answers;
mod stateful_cancelling;
mod stateless_answers;
mod stateless_requests;

use std::sync::Arc;

use isthmus_exchange::{
    BackendName, Error, Event, Outcome, PeerFacts, Reply, Step, TraceContext, Wants,
};
use isthmus_protocol::{Method, RawJson, Revision};
use tokio::task::JoinHandle;

use super::{Endpoint, StatefulHttp, StatelessHttp};
use crate::conversation::{Conversation, Outgoing};
use crate::scripted::{ScriptedBackend, json};
use crate::traffic;

/// A session opened with 2025-11-25 and the id `s-1`; its GET waits to be answered.
async fn open_session(backend: &mut ScriptedBackend) -> Arc<StatefulHttp> {
    open_session_with(backend, "2025-11-25", Some("s-1"), ALL).await
}

async fn open_session_with(
    backend: &mut ScriptedBackend,
    revision: &str,
    session_id: Option<&str>,
    capabilities: &str,
) -> Arc<StatefulHttp> {
    let endpoint = backend.endpoint();
    let opening = tokio::spawn(async move { StatefulHttp::open(&endpoint, &json(DECLARED)).await });
    let initialize = backend.post_of("initialize").await;
    assert_eq!(
        initialize.json()["params"]["capabilities"].to_string(),
        DECLARED
    );
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"{revision}","capabilities":{capabilities},"serverInfo":{{"name":"x"}}}}}}"#,
        initialize.id()
    );
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(session_id.map(|id| ("mcp-session-id", id)));
    initialize.answer(200, &headers, body);
    backend.post_of("notifications/initialized").await.accept();
    opening.await.unwrap().unwrap()
}

fn stateless(endpoint: &Arc<Endpoint>) -> Arc<StatelessHttp> {
    let facts = PeerFacts {
        revision: Revision::V2026_07_28,
        capabilities: json(ALL),
        server_info: None,
        instructions: None,
    };
    StatelessHttp::new(endpoint, facts)
}

/// Sends a request from a task of its own, so that the test can answer it.
fn send(
    conversation: &Arc<impl Conversation + 'static>,
    outgoing: Outgoing,
) -> JoinHandle<Result<Reply, Error>> {
    tokio::spawn(Arc::clone(conversation).request(outgoing))
}

fn call(name: &str) -> Outgoing {
    let params = json(&format!(r#"{{"name":"{name}","arguments":{{}}}}"#));
    Outgoing::plain(Method::ToolsCall, params)
}

fn call_with_progress(name: &str) -> Outgoing {
    Outgoing {
        wants: Wants {
            progress: true,
            log_level: None,
        },
        ..call(name)
    }
}

fn complete(outcome: Outcome) -> RawJson {
    match outcome {
        Outcome::Complete(complete) => complete.result,
        Outcome::InputRequired(_) | Outcome::Task(_) => panic!("not complete: {outcome:?}"),
    }
}

/// Our progress token for the request with this id.
fn token_of(id: &str) -> String {
    traffic::progress_token(id.parse().unwrap()).to_string()
}

async fn next_progress(reply: &mut Reply) -> String {
    match reply.next().await {
        Step::Event(Event::Progress(progress)) => progress.params.to_string(),
        step => panic!("no progress: {step:?}"),
    }
}

async fn result_of(reply: Reply) -> String {
    complete(reply.outcome().await.unwrap()).to_string()
}

/// What sessions declare of their clients.
const DECLARED: &str = r#"{"extensions":{"x.example/y":{"a":[1.0]}},"roots":{}}"#;
const ALL: &str = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;
