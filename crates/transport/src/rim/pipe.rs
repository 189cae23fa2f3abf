//! A duplex pipe of messages: stdio, and the pair of paths of HTTP+SSE.
//!
//! One pipe has at most one session, opened by `initialize`. Where the wire allows it, stateless requests travel beside
//! it, each for itself (E-1). Everything the client hears goes through one bounded channel.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use isthmus_exchange::{Error, ErrorKind, Principal};
use isthmus_protocol::message::{write_batch, write_error, write_result};
use isthmus_protocol::params::SplitParams;
use isthmus_protocol::{
    Era, Id, Incoming, Message, MessageError, Method, RawJson, Revision, parse_incoming,
};
use isthmus_session::{InFlight, Session};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::{self, Outlet};
use super::initialize::initialize;
use super::listening;
use super::stateful;
use super::stateless::{self, Described, Reading, Sender};
use crate::face::RouteFace;
use crate::listener::Clients;
use crate::respond::answer_outside_of_calls;

/// Gives a route's face as it is now; `None` once the route is gone.
pub(crate) type FaceSource = Arc<dyn Fn() -> Option<Arc<RouteFace>> + Send + Sync>;

/// One client at the other end of a pipe.
pub(crate) struct Pipe {
    clients: Arc<Clients>,
    face: FaceSource,
    sender: Sender,
    out: Out,
    session: OnceLock<Arc<Session>>,
    /// Stateless requests that run; `None` where there can be none.
    stateless: Option<InFlight>,
    /// The route is gone, or the gateway closes.
    deserted: CancellationToken,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// What the client hears.
#[derive(Debug, Clone)]
struct Out {
    messages: mpsc::Sender<Bytes>,
    /// Nothing new comes from the client: what has no end of its own ends.
    ending: CancellationToken,
    /// How long the client may take to answer one question.
    patience: Duration,
}

impl Outlet for Out {
    async fn event(&self, message: Bytes) {
        // A client that is gone hears nothing; its call goes on until somebody ends it.
        let _ = self.messages.send(message).await;
    }

    async fn question(&self, message: Bytes) -> Option<u64> {
        if self.ending.is_cancelled() {
            return None;
        }
        self.messages.send(message).await.ok().map(|()| 0)
    }

    fn retract(&self, _place: u64) -> bool {
        // What is on its way is as good as read.
        true
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    async fn lost(&self) {
        self.ending.cancelled().await;
    }
}

impl Pipe {
    /// A pipe whose messages to the client go to `messages`.
    pub(crate) fn new(
        clients: Arc<Clients>,
        face: FaceSource,
        sender: Sender,
        messages: mpsc::Sender<Bytes>,
        takes_stateless: bool,
    ) -> Arc<Self> {
        let out = Out {
            messages,
            ending: clients.closing().child_token(),
            patience: clients.bounds().answer,
        };
        Arc::new(Self {
            face,
            sender,
            out,
            session: OnceLock::new(),
            stateless: takes_stateless.then(|| InFlight::new(STATELESS_IN_FLIGHT)),
            deserted: clients.closing().child_token(),
            clients,
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Takes one message or batch of the client. Returns once it is on its way, not once it is answered.
    pub(crate) async fn receive(self: &Arc<Self>, text: &Bytes) {
        match parse_incoming(text) {
            Ok(Incoming::Single(message)) => self.single(message).await,
            Ok(Incoming::Batch(batch)) => self.batch(batch).await,
            Err(error) => {
                let message = write_error(error.id.as_ref(), &error.to_json_rpc());
                self.send(message).await;
            }
        }
    }

    /// Tells the client about an error that belongs to no message.
    pub(crate) async fn complain(&self, error: &Error) {
        self.refuse(None, error).await;
    }

    /// Takes nothing new, ends listens, and completes when no request runs any more.
    pub(crate) async fn idle(&self) {
        self.out.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Fires when nothing unsolicited will come any more: the route is gone, or the gateway closes.
    pub(crate) const fn deserted(&self) -> &CancellationToken {
        &self.deserted
    }

    /// Whoever is at the other end has shown a credential again.
    pub(crate) fn shown(&self, principal: &Principal) {
        if let Some(session) = self.session.get() {
            session.shown(principal);
        }
    }

    /// Ends the session and every request.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        if let Some(session) = self.session.get() {
            self.clients.sessions().end(session);
        }
    }

    async fn single(self: &Arc<Self>, message: Message) {
        match message {
            Message::Request { id, method, params } => self.request(id, method, params).await,
            Message::Notification { method, params } => self.notification(&method, params.as_ref()),
            Message::Response { id, outcome } => {
                if let Some(session) = self.session.get() {
                    stateful::response(session, id.as_ref(), outcome);
                }
            }
        }
    }

    async fn request(self: &Arc<Self>, id: Id, method: Method, params: Option<RawJson>) {
        let split = match stateless::read(&method, params.as_ref()) {
            Reading::Stateless(described) if self.stateless.is_some() => {
                return self.stateless(id, method, described).await;
            }
            Reading::Stateless(described) => described.into_stateful(),
            Reading::Other(split) => *split,
        };
        let Some(session) = self.session.get() else {
            return self.before_session(id, method, params).await;
        };
        let Some(face) = (self.face)() else {
            return self.refuse(Some(&id), &route_gone()).await;
        };
        let (encoder, dispatch) = stateful::request(session, id, method, split);
        self.listen(session);
        let (session, out) = (Arc::clone(session), self.out.clone());
        self.tasks.spawn(async move {
            let response = call::run(&session, &face.stage, &encoder, dispatch, &out).await;
            if let Some(response) = response {
                out.event(response).await;
            }
        });
    }

    async fn before_session(&self, id: Id, method: Method, params: Option<RawJson>) {
        match method {
            Method::Initialize => self.initialize(id, params.as_ref()).await,
            Method::Ping => self.send(write_result(&id, &RawJson::empty_object())).await,
            Method::ServerDiscover => self.refuse(Some(&id), &stateless::no_envelope()).await,
            _ => {
                let message = "send `initialize` first, or describe the request in `params._meta`";
                let error = Error::new(ErrorKind::InvalidRequest, message);
                self.refuse(Some(&id), &error).await;
            }
        }
    }

    async fn initialize(&self, id: Id, params: Option<&RawJson>) {
        let Some(face) = (self.face)() else {
            return self.refuse(Some(&id), &route_gone()).await;
        };
        match initialize(&self.clients, &face, self.sender.clone(), params).await {
            Ok((session, result)) => {
                session.hold();
                if let Err(second) = self.session.set(session) {
                    self.clients.sessions().end(&second);
                }
                self.send(write_result(&id, &result)).await;
            }
            Err(error) => self.refuse(Some(&id), &error).await,
        }
    }

    fn notification(self: &Arc<Self>, method: &Method, params: Option<&RawJson>) {
        if *method == Method::Cancelled
            && let (Some(running), Some(id)) = (&self.stateless, stateful::cancelled_id(params))
        {
            running.cancel(&id);
        }
        if let Some(session) = self.session.get() {
            stateful::notification(session, method, params);
            self.listen(session);
        }
    }

    async fn batch(self: &Arc<Self>, batch: Vec<Result<Message, MessageError>>) {
        let allowed = self
            .session
            .get()
            .filter(|session| session.revision() == Revision::V2025_03_26);
        let (Some(session), Some(face)) = (allowed, (self.face)()) else {
            return self.refuse(None, &no_batches()).await;
        };
        if batch.len() > self.clients.bounds().batch {
            return self
                .refuse(None, &batch_too_long(self.clients.bounds().batch))
                .await;
        }
        let (session, out) = (Arc::clone(session), self.out.clone());
        self.tasks.spawn(async move {
            let members = batch
                .into_iter()
                .map(|member| member_of_batch(&session, &face, member, &out));
            let responses: Vec<Bytes> = join_all(members).await.into_iter().flatten().collect();
            if !responses.is_empty() {
                out.event(write_batch(&responses)).await;
            }
        });
    }

    async fn stateless(self: &Arc<Self>, id: Id, method: Method, described: Box<Described>) {
        let prepared = stateless::check_envelope(&described.split, |_| Ok(())).and_then(|()| {
            stateless::prepare(
                &self.clients,
                self.sender.clone(),
                id.clone(),
                method,
                described,
            )
        });
        let call = match prepared {
            Ok(call) => call,
            Err(error) => {
                let answer = answer_outside_of_calls(&error, Era::Stateless);
                return self.send(answer.write(Some(&id))).await;
            }
        };
        let Some(face) = (self.face)() else {
            return self.refuse(Some(&id), &route_gone()).await;
        };
        let pipe = Arc::clone(self);
        self.tasks
            .spawn(async move { pipe.run_stateless(&face, call).await });
    }

    async fn run_stateless(&self, face: &RouteFace, call: stateless::StatelessCall) {
        let Some(in_flight) = &self.stateless else {
            return;
        };
        let encoder = call.encoder;
        let running = match in_flight.begin(encoder.id(), &self.closed) {
            Ok(running) => running,
            Err(refused) => {
                let error = Error::new(ErrorKind::InvalidRequest, refused.to_string());
                return self.out.event(call::here(&encoder, Err(error))).await;
            }
        };
        let is_listen = call.request.listen.is_some();
        let driving = call::drive(&face.stage, call.request, &encoder, &self.out, None);
        let response = tokio::select! {
            biased;
            () = running.cancelled().cancelled() => return,
            () = self.out.ending.cancelled(), if is_listen => encoder.end_of_listen(),
            response = driving => response,
        };
        self.out.event(response).await;
    }

    /// Forwards what the session hears, once it is ready.
    fn listen(&self, session: &Arc<Session>) {
        session.listen(|| {
            let face = Arc::clone(&self.face);
            let stage = move || face().map(|face| face.stage.clone());
            let out = self.out.clone();
            let send = move |message: Bytes| {
                let out = out.clone();
                async move { out.event(message).await }
            };
            let (session, deserted) = (Arc::clone(session), self.deserted.clone());
            let forwarding = async move {
                listening::forward(session, stage, send).await;
                deserted.cancel();
            };
            self.clients.background().spawn(forwarding).abort_handle()
        });
    }

    async fn refuse(&self, id: Option<&Id>, error: &Error) {
        let answer = answer_outside_of_calls(error, Era::Stateful);
        self.send(answer.write(id)).await;
    }

    async fn send(&self, message: Bytes) {
        self.out.event(message).await;
    }
}

/// One member of a batch; `None` if it has no response.
pub(crate) async fn member_of_batch(
    session: &Arc<Session>,
    face: &RouteFace,
    member: Result<Message, MessageError>,
    outlet: &impl Outlet,
) -> Option<Bytes> {
    match member {
        Ok(Message::Request {
            method: Method::Initialize,
            id,
            ..
        }) => {
            let error = Error::new(
                ErrorKind::InvalidRequest,
                "`initialize` must not be part of a batch",
            );
            let answer = answer_outside_of_calls(&error, Era::Stateful);
            Some(answer.write(Some(&id)))
        }
        Ok(Message::Request { id, method, params }) => {
            let split = SplitParams::parse(&method, params.as_ref());
            let (encoder, dispatch) = stateful::request(session, id, method, split);
            call::run(session, &face.stage, &encoder, dispatch, outlet).await
        }
        Ok(Message::Notification { method, params }) => {
            stateful::notification(session, &method, params.as_ref());
            None
        }
        Ok(Message::Response { id, outcome }) => {
            stateful::response(session, id.as_ref(), outcome);
            None
        }
        Err(error) => Some(write_error(error.id.as_ref(), &error.to_json_rpc())),
    }
}

/// Batches exist in one revision only (LS-11, trap 23).
pub(crate) fn no_batches() -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "batches are part of revision 2025-03-26 only: send one message at a time",
    )
}

pub(crate) fn batch_too_long(limit: usize) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        format!("a batch may have {limit} messages"),
    )
}

pub(crate) fn route_gone() -> Error {
    Error::new(
        ErrorKind::SessionUnknown,
        "this route was taken out of the configuration",
    )
}

/// Stateless requests that one pipe may have running.
const STATELESS_IN_FLIGHT: usize = 512;
