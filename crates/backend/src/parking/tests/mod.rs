//! Parked calls, with a backend and clients that do what a test says.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a test gives away the JSON that it writes where it calls"
)]

mod answering;
mod asking;
mod ending;
mod leaks;
mod leaving;
mod model;

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use isthmus_exchange::{
    Answer, Attachment, BackendName, BoxFuture, Caller, ClientCapabilities, Complete, Event,
    Outcome, Principal, Retry, Scope, ScopeId, Step, Wants,
};
use isthmus_protocol::object::{self, member_at};
use isthmus_protocol::{LogLevel, Method, RawJson, Revision};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::admission::Admission;
use crate::held::{Heard, Held, Patience};

/// How long a scripted backend may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LIFETIME: Duration = Duration::from_secs(900);
const EVERYTHING: &str =
    r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#;

/// A place to park, and the backend whose calls are parked.
struct Fixture {
    parking: Parking,
    admission: Arc<Admission>,
    parks: ParksOfOne,
    /// One clone per call that holds a conversation.
    leases: Arc<()>,
}

/// The backend's end of a call.
struct Peer {
    steps: mpsc::Sender<Step>,
}

/// A reply whose steps come from a [`Peer`].
struct Fed(mpsc::Receiver<Step>);

#[derive(Debug)]
struct Leased(#[expect(dead_code, reason = "counted by its existence")] Arc<()>);

impl Occupied for Leased {
    fn raise_log_level(self: Arc<Self>, _: LogLevel) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

impl Stream for Fed {
    type Item = Step;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        self.get_mut().0.poll_recv(context)
    }
}

impl Fixture {
    fn new() -> Self {
        Self::bounded(Bounds::default(), 512)
    }

    fn bounded(bounds: Bounds, in_flight: usize) -> Self {
        let bounds = Bounds {
            park_lifetime: LIFETIME,
            ..bounds
        };
        Self {
            parking: Parking::new(&bounds, Handle::current()),
            admission: Arc::new(Admission::new(in_flight, 1)),
            parks: ParksOfOne::default(),
            leases: Arc::new(()),
        }
    }

    /// A call of `caller`, as `Backend::call` would make it, and the backend's end of it.
    async fn call(&self, caller: &Caller) -> (Peer, Reply) {
        let (steps, fed) = mpsc::channel(64);
        let place = self.admission.admit(&backend()).await.unwrap();
        let seed = Seed {
            backend: backend(),
            principal: caller.principal.id().clone(),
            admission: self.admission.clone(),
            occupied: Arc::new(Leased(self.leases.clone())),
            patience: PATIENCE,
            ending: self.parks.ending(),
            _counted: self.parks.count(),
        };
        let patience = Patience {
            deadline: Instant::now() + PATIENCE,
            extension: Some(PATIENCE),
            timed_out: seed.timed_out(),
        };
        let heard = Heard {
            log_level: None,
            asked: None,
        };
        let held = Held::new(Reply::running(Fed(fed)), (place, seed), patience, heard);
        let capabilities = caller.capabilities.clone();
        let parkable = Parkable::new(self.parking.clone(), held, capabilities);
        (Peer { steps }, Reply::running(parkable))
    }

    /// A call that has asked one elicitation and been parked.
    async fn parked(&self, caller: &Caller) -> (Peer, Asked, oneshot::Receiver<Answer>) {
        let (peer, reply) = self.call(caller).await;
        let answer = peer.elicit().await;
        let asked = asked(reply.outcome().await);
        (peer, asked, answer)
    }

    async fn resume(
        &self,
        caller: &Caller,
        asked: &Asked,
        responses: &Value,
    ) -> Result<Reply, Error> {
        self.parking.resume(retry(caller, asked, responses)).await
    }

    /// A retry that is sent and waited for by a task.
    fn resuming(
        &self,
        caller: &Caller,
        asked: &Asked,
        responses: &Value,
    ) -> tokio::task::JoinHandle<Result<Outcome, Error>> {
        let request = retry(caller, asked, responses);
        let parking = self.parking.clone();
        tokio::spawn(async move { parking.resume(request).await?.outcome().await })
    }

    /// Nothing of any call is left.
    fn assert_nothing_is_left(&self) {
        assert_eq!(self.parking.0.tasks.len(), 0, "tasks");
        self.assert_all_calls_have_ended();
        assert_eq!(self.parking.0.table.count(), (0, 0), "parks");
        assert_eq!(self.parking.0.table.keeping().count(), (0, 0), "outcomes");
    }

    /// No call goes on. Outcomes may be kept.
    fn assert_all_calls_have_ended(&self) {
        assert_eq!(Arc::strong_count(&self.leases), 1, "leases");
        assert_eq!(self.admission.in_use(), 0, "places");
        assert_eq!(self.parking.0.table.count().1, 0, "unfinished parks");
        assert_eq!(self.parking.0.table.open().left(), table::OPEN_BYTES);
    }
}

impl Peer {
    async fn event(&self, event: Event) {
        self.steps.send(Step::Event(event)).await.unwrap();
    }

    async fn ask(&self, method: Method, params: Value) -> oneshot::Receiver<Answer> {
        let params = RawJson::from_serialize(&params);
        let (question, answer) = Question::new(backend(), method, params);
        self.event(Event::Question(question)).await;
        answer
    }

    async fn elicit(&self) -> oneshot::Receiver<Answer> {
        let params = json!({"mode": "form", "message": "?", "requestedSchema": {}});
        self.ask(Method::ElicitationCreate, params).await
    }

    async fn finish(self, text: &str) {
        let complete = Complete {
            result: RawJson::from_serialize(&json!({ "text": text })),
            cache: None,
        };
        // Whoever called may have gone.
        let done = Step::Done(Ok(Outcome::Complete(complete)));
        let _ = self.steps.send(done).await;
    }

    /// Whether the call was cancelled.
    async fn is_cancelled(&self) -> bool {
        let gone = tokio::time::timeout(Duration::from_secs(1), self.steps.closed());
        gone.await.is_ok()
    }
}

/// What a client was asked.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    state: Continuation,
    requests: Vec<(String, String)>,
}

impl Asked {
    fn keys(&self) -> Vec<&str> {
        self.requests.iter().map(|(key, _)| key.as_str()).collect()
    }

    fn round(&self) -> u32 {
        match self.state {
            Continuation::Parked { round, .. } => round,
            _ => panic!("not parked"),
        }
    }
}

fn asked(outcome: Result<Outcome, Error>) -> Asked {
    let Ok(Outcome::InputRequired(required)) = outcome else {
        panic!("{outcome:?} asks nothing")
    };
    let requests = object::members(&required.requests.unwrap()).unwrap();
    let requests = requests.into_iter().map(|(key, request)| {
        assert!(member_at(&request, &["params"]).is_some());
        let method = object::string_member(&request, "method").unwrap();
        (key, method)
    });
    Asked {
        state: required.state.unwrap(),
        requests: requests.collect(),
    }
}

fn text(outcome: Result<Outcome, Error>) -> String {
    match outcome {
        Ok(Outcome::Complete(complete)) => object::string_member(&complete.result, "text").unwrap(),
        other => panic!("{other:?} is not complete"),
    }
}

fn kind<T>(refused: Result<T, Error>) -> ErrorKind {
    match refused {
        Err(error) => error.kind().clone(),
        Ok(_) => panic!("not refused"),
    }
}

fn backend() -> BackendName {
    BackendName::parse("b").unwrap()
}

fn client(subject: &str) -> Caller {
    client_that_can(subject, EVERYTHING)
}

fn client_that_can(subject: &str, declared: &str) -> Caller {
    let principal = Principal::authenticated("test", "", subject, "");
    let declared = RawJson::parse(declared.to_owned()).unwrap();
    Caller {
        scope: Arc::new(Scope::principal(ScopeId(1), principal.id().clone())),
        principal,
        revision: Revision::V2026_07_28,
        capabilities: Arc::new(ClientCapabilities::parse(declared).unwrap()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    }
}

fn retry(caller: &Caller, asked: &Asked, responses: &Value) -> Request {
    let params = RawJson::from_serialize(&json!({"name": "t"}));
    let mut request = Request::new(Method::ToolsCall, params, Arc::new(caller.clone()));
    request.retry = Some(Retry {
        state: Some(asked.state.clone()),
        responses: (!responses.is_null()).then(|| RawJson::from_serialize(responses)),
    });
    request
}

fn wants(log_level: Option<LogLevel>) -> Wants {
    Wants {
        progress: true,
        log_level,
    }
}

fn yes() -> Value {
    json!({"action": "accept", "content": {"x": 1}})
}

/// Lets everything that can go on do so.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
