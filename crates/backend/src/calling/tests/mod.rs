//! Calls through a whole backend whose conversations do what a test says.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a test gives away the JSON that it writes where it calls"
)]

mod declaring;
mod driving;
mod pages;
mod parking;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use isthmus_config::{Bounds, SessionPolicy, StdioWire, Wire};
use isthmus_exchange::{
    Answer, BoxFuture, ClientCapabilities, Complete, Event, InputRequired, PeerFacts, Principal,
    Question, Scope, ScopeId,
};
use isthmus_protocol::Revision;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backend::Shared;
use crate::conversation::{Conversation, PeerNotice, Watch};
use crate::parking::Parking;
use crate::pool::Open;

/// A backend, and the requests that reach it.
struct Fixture {
    backend: Arc<Backend>,
    parking: Parking,
    opened: Arc<Mutex<Vec<Arc<Scripted>>>>,
    sent: mpsc::Receiver<Sent>,
}

/// A request on its way to the backend.
struct Sent {
    outgoing: Outgoing,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

#[derive(Debug)]
struct Scripted {
    facts: PeerFacts,
    sent: mpsc::Sender<Sent>,
    notices: broadcast::Sender<PeerNotice>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Opener {
    revision: Revision,
    sent: mpsc::Sender<Sent>,
    opened: Arc<Mutex<Vec<Arc<Scripted>>>>,
}

impl Open for Opener {
    fn open(&self, _: RawJson) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        let conversation = Arc::new(Scripted {
            facts: PeerFacts {
                revision: self.revision,
                capabilities: raw(&json!({"logging": {}, "tools": {}})),
                server_info: None,
                instructions: None,
            },
            sent: self.sent.clone(),
            notices: broadcast::Sender::new(16),
            closed: CancellationToken::new(),
        });
        self.opened.lock().unwrap().push(conversation.clone());
        Box::pin(async move { Ok(conversation as Arc<dyn Conversation>) })
    }

    fn evidence(&self) -> &'static str {
        "scripted"
    }
}

impl Conversation for Scripted {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.sent.clone();
        Box::pin(async move {
            sent.send(Sent { outgoing, answer }).await.unwrap();
            answered
                .await
                .unwrap_or_else(|_| Err(Error::internal("not answered")))
        })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.notices.subscribe()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async { Ok(wanted) })
    }

    fn hears(&self) -> bool {
        true
    }

    fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.closed.cancel();
        Box::pin(async {})
    }
}

impl Fixture {
    fn new(revision: Revision) -> Self {
        Self::with(revision, |_| {})
    }

    fn with(revision: Revision, change: impl FnOnce(&mut isthmus_config::Backend)) -> Self {
        let (sender, sent) = mpsc::channel(64);
        let opened = Arc::default();
        let opener = Arc::new(Opener {
            revision,
            sent: sender,
            opened: Arc::clone(&opened),
        });
        let process = isthmus_config::Process::new("none");
        let mut settings = isthmus_config::Backend::new("b", Wire::Stdio(StdioWire { process }));
        change(&mut settings);
        let bounds = Bounds::default();
        let parking = Parking::new(&bounds, Handle::current());
        let shared = Shared {
            background: Handle::current(),
            egress: isthmus_egress::Client::new(isthmus_egress::ClientSettings::default()),
            credentials: isthmus_credentials::Shared {
                logins: None,
                fetcher: isthmus_egress::Fetcher::new(
                    Vec::new(),
                    isthmus_egress::FetchLimits::default(),
                ),
                background: Handle::current(),
            },
            client_info: raw(&json!({})),
            bounds,
            parking: parking.clone(),
            guard: PathBuf::new(),
            strangers: false,
        };
        let name = BackendName::parse("b").unwrap();
        Self {
            backend: Backend::opened_by(opener, name, settings, &shared),
            parking,
            opened,
            sent,
        }
    }

    /// Calls, on a task.
    fn call(&self, request: Request) -> tokio::task::JoinHandle<Result<Reply, Error>> {
        let backend = self.backend.clone();
        tokio::spawn(async move { backend.call(request).await })
    }

    /// The next request that reaches the backend.
    async fn next(&mut self) -> Sent {
        let next = tokio::time::timeout(Duration::from_secs(60), self.sent.recv());
        next.await.expect("nothing was sent").unwrap()
    }

    fn opened(&self, at: usize) -> Arc<Scripted> {
        self.opened.lock().unwrap()[at].clone()
    }
}

impl Sent {
    fn params(&self) -> Value {
        self.outgoing.params.read().unwrap()
    }

    fn complete(self, result: Value) {
        self.end(Ok(complete(result)));
    }

    fn end(self, outcome: Result<Outcome, Error>) {
        let _ = self.answer.send(outcome.map(Reply::ready));
    }

    fn require(self, requests: Value, state: Option<&str>) {
        self.end(Ok(required(requests, state)));
    }

    /// Answers with a reply that goes on.
    fn begin(self) -> mpsc::Sender<Step> {
        let (steps, mut fed) = mpsc::channel(16);
        let reply = futures_util::stream::poll_fn(move |context| fed.poll_recv(context));
        let _ = self.answer.send(Ok(Reply::running(reply)));
        steps
    }
}

async fn ask(steps: &mpsc::Sender<Step>, method: Method) -> oneshot::Receiver<Answer> {
    let backend = BackendName::parse("b").unwrap();
    let (question, answer) = Question::new(backend, method, raw(&json!({"mode": "form"})));
    steps
        .send(Step::Event(Event::Question(question)))
        .await
        .unwrap();
    answer
}

fn complete(result: Value) -> Outcome {
    Outcome::Complete(Complete {
        result: raw(&result),
        cache: None,
    })
}

fn required(requests: Value, state: Option<&str>) -> Outcome {
    Outcome::InputRequired(InputRequired {
        requests: (!requests.is_null()).then(|| raw(&requests)),
        state: state.map(|state| Continuation::Opaque(state.to_owned())),
    })
}

fn result(outcome: Result<Outcome, Error>) -> Value {
    match outcome {
        Ok(Outcome::Complete(complete)) => complete.result.read().unwrap(),
        other => panic!("{other:?} is not complete"),
    }
}

fn inputs(outcome: Result<Outcome, Error>) -> InputRequired {
    match outcome {
        Ok(Outcome::InputRequired(required)) => required,
        other => panic!("{other:?} asks nothing"),
    }
}

async fn question(reply: &mut Reply) -> Question {
    match reply.next().await {
        Step::Event(Event::Question(question)) => question,
        other => panic!("{other:?} is no question"),
    }
}

fn raw(value: &Value) -> RawJson {
    RawJson::from_serialize(value)
}

const EVERYTHING: &str =
    r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#;

fn live(revision: Revision, declared: &str) -> Caller {
    let principal = Principal::anonymous();
    Caller {
        scope: Arc::new(Scope::session(ScopeId(1), principal.id().clone())),
        attachment: Attachment::Live,
        ..detached(declared).with_revision(revision)
    }
}

fn detached(declared: &str) -> Caller {
    let principal = Principal::anonymous();
    let declared = RawJson::parse(declared.to_owned()).unwrap();
    Caller {
        scope: Arc::new(Scope::principal(ScopeId(2), principal.id().clone())),
        principal,
        revision: Revision::V2026_07_28,
        capabilities: Arc::new(ClientCapabilities::parse(declared).unwrap()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    }
}

trait WithRevision {
    fn with_revision(self, revision: Revision) -> Self;
}

impl WithRevision for Caller {
    fn with_revision(mut self, revision: Revision) -> Self {
        self.revision = revision;
        self
    }
}

fn tool_call(caller: Caller) -> Request {
    let params = raw(&json!({"name": "t", "arguments": {"a": 1}}));
    Request::new(Method::ToolsCall, params, Arc::new(caller))
}

fn retry_of(caller: Caller, required: &InputRequired, responses: &Value) -> Request {
    let mut request = tool_call(caller);
    request.retry = Some(Retry {
        state: required.state.clone(),
        responses: Some(raw(responses)),
    });
    request
}
