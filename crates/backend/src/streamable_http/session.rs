//! One session with a stateful backend: what all its requests, streams and tasks share.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use isthmus_exchange::{
    BackendName, BoxFuture, Error, Event, ItemKind, Outcome, PeerFacts, Question, Reply,
};
use isthmus_protocol::message::{Message, write_notification, write_request};
use isthmus_protocol::params::{TraceStamp, stamp_stateful};
use isthmus_protocol::{Id, Method, RawJson, ServerCapabilities, headers, object};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{self, Answered, Content, is_event_stream};
use super::call::{Call, Hop, Place, Resuming};
use super::endpoint::Endpoint;
use super::event_stream::EventStream;
use super::failure::{self, Failure};
use super::pause;
use crate::asking::is_question;
use crate::call_buffer::CallBuffer;
use crate::conversation::{Outgoing, PeerNotice};
use crate::questions::{self, Asked, Interactive, Questions, Wire};
use crate::{outcome, traffic};

/// One session with a stateful backend.
pub(super) struct Session {
    endpoint: Arc<Endpoint>,
    /// The replica that opened the session.
    url: Uri,
    facts: PeerFacts,
    /// What goes with every POST, GET and DELETE: session id and revision (LC-1, LC-3).
    headers: SessionHeaders,
    ids: AtomicU64,
    notices: broadcast::Sender<PeerNotice>,
    pub(super) closed: CancellationToken,
    /// Whether the GET stream is open; `None` until that is known.
    pub(super) hears: watch::Sender<Option<bool>>,
    /// Calls that want progress, which some backends send on the GET stream.
    progress: Mutex<HashMap<u64, Arc<CallBuffer>>>,
    questions: Arc<Questions>,
    /// Answers to requests of the backend that are being sent and that nobody waits for.
    answering: Arc<Semaphore>,
    deliveries: TaskTracker,
}

/// The headers of a session's requests.
pub(super) struct SessionHeaders {
    pub(super) post: HeaderMap,
    pub(super) stream: HeaderMap,
    pub(super) has_session_id: bool,
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// The backend offers none (405), or none to us.
    NotOffered(Error),
    /// The session has ended (404).
    SessionGone,
    /// It may work later.
    Later { error: Error, unreachable: bool },
}

impl Session {
    /// A session whose handshake is done; `used` ids were spent on it.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        url: Uri,
        facts: PeerFacts,
        headers: SessionHeaders,
        questions: Arc<Questions>,
        used: u64,
    ) -> Self {
        questions.speak(facts.revision);
        Self {
            endpoint,
            url,
            facts,
            headers,
            ids: AtomicU64::new(used),
            notices: broadcast::Sender::new(NOTICES),
            closed: CancellationToken::new(),
            hears: watch::Sender::new(None),
            progress: Mutex::default(),
            questions,
            answering: Arc::new(Semaphore::new(ANSWERS)),
            deliveries: TaskTracker::new(),
        }
    }

    pub(super) const fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    pub(super) fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.notices.subscribe()
    }

    /// The pause before a lost stream is opened again.
    pub(super) fn first_pause(&self) -> Duration {
        self.endpoint.limits().pause
    }

    /// How long a request of the gateway's own may take.
    pub(super) fn patience(&self) -> Duration {
        self.endpoint.limits().open
    }

    pub(super) fn declared(&self) -> ServerCapabilities {
        ServerCapabilities::parse(&self.facts.capabilities)
    }

    /// Sends a request and waits until its answer begins.
    pub(super) async fn request(self: Arc<Self>, outgoing: Outgoing) -> Result<Reply, Error> {
        let (method, asker) = (&outgoing.method, outgoing.asker);
        let interactive = self.questions.begin(method, &outgoing.params, asker).await;
        if self.closed.is_cancelled() {
            return Err(failure::session_gone(self.backend()));
        }
        // Ids are never used twice in a session (LC-5); they make progress tokens too.
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let wants_progress = outgoing.wants.progress;
        let token = wants_progress.then(|| traffic::progress_token(id));
        let trace = TraceStamp {
            parent: outgoing.trace.parent.as_deref(),
            state: outgoing.trace.state.as_deref(),
            baggage: outgoing.trace.baggage.as_deref(),
        };
        let params = stamp_stateful(&outgoing.params, token.as_ref(), trace);
        let body = write_request(&Id::number(id), &outgoing.method, &params);
        let session = Arc::clone(&self);
        let awaiting = Box::pin(async move { session.post(body).await });
        let strayed = (wants_progress || interactive.is_some()).then(Arc::<CallBuffer>::default);
        if let Some(strayed) = &strayed {
            if wants_progress {
                lock(&self.progress).insert(id, Arc::clone(strayed));
            }
            if let Some(interactive) = &interactive {
                interactive.sent(id, Arc::clone(strayed));
            }
        }
        Call::new(self, outgoing.method, id, awaiting)
            .with_progress(wants_progress)
            .with_strayed(strayed, interactive)
            .begin()
            .await
    }

    /// Sends a notification and waits until it is accepted.
    pub(super) async fn notify(
        &self,
        method: &Method,
        params: Option<&RawJson>,
    ) -> Result<(), Error> {
        if self.closed.is_cancelled() {
            return Err(failure::session_gone(self.backend()));
        }
        let answered = self
            .post(write_notification(method, params))
            .await
            .map_err(|failure| failure.error)?;
        match self.refusal(&answered) {
            Some(error) => Err(error),
            None if answered.status.is_success() => Ok(()),
            None => Err(failure::status(
                self.backend(),
                answered.status,
                &answered.headers,
            )),
        }
    }

    async fn post(&self, body: Bytes) -> Result<Answered, Failure> {
        let response = self
            .endpoint
            .post(&self.url, self.headers.post.clone(), body)
            .await
            .map_err(|error| Failure::not_answered(self.backend(), error))?;
        answer::read(self.backend(), response, self.endpoint.limits()).await
    }

    /// Opens a stream by GET: the session's own, or with a last event id the one that id belongs to.
    pub(super) async fn open_stream(
        &self,
        last_event_id: Option<&str>,
    ) -> Result<EventStream, Unopened> {
        let mut headers = self.headers.stream.clone();
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok()) {
            headers.insert(headers::LAST_EVENT_ID, id);
        }
        let sent = self
            .endpoint
            .send(http::Method::GET, &self.url, headers, Bytes::new())
            .await;
        let response = sent.map_err(|error| {
            let failure = Failure::not_answered(self.backend(), error);
            Unopened::Later {
                error: failure.error,
                unreachable: failure.unreachable,
            }
        })?;
        let status = response.status();
        if status.is_success() && is_event_stream(response.headers()) {
            return Ok(EventStream::new(
                response.into_body(),
                self.endpoint.limits().event,
            ));
        }
        let error = failure::status(self.backend(), status, response.headers());
        Err(match status {
            StatusCode::NOT_FOUND if self.headers.has_session_id => Unopened::SessionGone,
            // 409: the backend has not noticed yet that the stream before is gone.
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Unopened::Later {
                error,
                unreachable: false,
            },
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Unopened::Later {
                    error,
                    unreachable: false,
                }
            }
            _ => Unopened::NotOffered(error),
        })
    }

    /// Tells the backend that the session is over (LC-3); waits for neither yes nor no for long.
    pub(super) async fn end(&self) {
        // What was cancelled a moment ago is told before the session goes.
        self.deliveries.close();
        let _ = tokio::time::timeout(FAREWELL, self.deliveries.wait()).await;
        if self.headers.has_session_id && !self.closed.is_cancelled() {
            let deleted = self.endpoint.send(
                http::Method::DELETE,
                &self.url,
                self.headers.stream.clone(),
                Bytes::new(),
            );
            if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, deleted).await {
                tracing::debug!(backend = %self.backend(), %error, "could not end the session");
            }
        }
        self.closed.cancel();
    }

    /// Runs `work` on the background runtime until it is done or the session has ended.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.closed.clone().run_until_cancelled_owned(work);
        self.endpoint.background().spawn(work);
    }

    /// The same for a message that [`Session::end`] lets go out first.
    fn deliver(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.run(self.deliveries.track_future(work));
    }

    /// Whatever changed while nobody listened: says of each list that it may have (digest trap 16).
    pub(super) fn announce_gap(&self) {
        let declared = self.declared();
        let lists = [
            (declared.tools, ItemKind::Tool),
            (declared.prompts, ItemKind::Prompt),
            (declared.resources, ItemKind::Resource),
        ];
        for (list, kind) in lists {
            if list.is_some_and(|list| list.list_changed) {
                // Nobody may be listening.
                let _ = self.notices.send(PeerNotice::ListChanged(kind));
            }
        }
    }

    /// Takes what belongs to no call, as far as can be seen. `resumed` if it came on a stream that was opened again.
    pub(super) fn take(self: &Arc<Self>, message: Message, resumed: bool) {
        match message {
            Message::Request { id, method, params } if is_question(&method) => {
                let mut asked = Asked::new(id, method, params);
                asked.repeated = resumed;
                questions::take_unbound(self, asked);
            }
            other => self.aside(other),
        }
    }

    /// Sends a response. `Err` says why not, and whether trying once more makes sense.
    async fn post_response(&self, response: Bytes) -> Result<(), (Error, bool)> {
        let answered = self.post(response).await;
        let answered = answered.map_err(|failure| (failure.error, true))?;
        let status = answered.status;
        if status.is_success() {
            return Ok(());
        }
        let error = self
            .refusal(&answered)
            .unwrap_or_else(|| failure::status(self.backend(), status, &answered.headers));
        let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err((error, later))
    }

    fn cancel(self: &Arc<Self>, id: u64) {
        let params = object::assemble([
            ("requestId", Id::number(id).raw().clone()),
            ("reason", RawJson::string("the caller no longer waits")),
        ]);
        let session = Arc::clone(self);
        self.deliver(async move {
            let told = session.notify(&Method::Cancelled, Some(&params));
            if let Ok(Err(error)) = tokio::time::timeout(CANCELLING, told).await {
                tracing::debug!(backend = %session.backend(), %error, "could not cancel a request");
            }
        });
    }
}

impl Hop for Session {
    fn backend(&self) -> &BackendName {
        self.endpoint.backend()
    }

    fn outcome(&self, _method: &Method, result: &RawJson) -> Result<Outcome, Error> {
        outcome::stateful(self.backend(), result)
    }

    fn refusal(&self, answered: &Answered) -> Option<Error> {
        let status = answered.status;
        if failure::says_it_all(status) {
            return Some(failure::status(self.backend(), status, &answered.headers));
        }
        if self.headers.has_session_id && says_session_gone(status, &answered.content) {
            self.closed.cancel();
            return Some(failure::session_gone(self.backend()));
        }
        None
    }

    fn asked(self: &Arc<Self>, call: Option<&Interactive>, asked: Asked) -> Option<Question> {
        questions::take_on_call(self, call, asked)
    }

    fn aside(self: &Arc<Self>, message: Message) {
        match message {
            Message::Request { id, method, .. } => self.owe(traffic::answer_to(&id, &method)),
            Message::Notification {
                method: Method::Progress,
                params,
            } => {
                let Some((token, progress)) = params.as_ref().and_then(traffic::progress) else {
                    return;
                };
                if let Some(call) = lock(&self.progress).get(&token) {
                    call.push(Event::Progress(progress));
                }
            }
            Message::Notification {
                method: Method::Cancelled,
                params: Some(params),
            } => {
                if let Some(id) = object::member(&params, "requestId").and_then(Id::from_raw) {
                    self.questions.withdraw(&id);
                }
            }
            Message::Notification { method, params } => {
                if let Some(notice) = traffic::notice(self.backend(), &method, params.as_ref()) {
                    // Nobody may be listening.
                    let _ = self.notices.send(notice);
                }
            }
            Message::Response { id, .. } => {
                tracing::debug!(backend = %self.backend(), ?id, "ignored a response to nothing");
            }
        }
    }

    fn resume(self: &Arc<Self>, from: &Place) -> Option<Resuming> {
        let last_event_id = from.last_event_id.clone()?;
        let pause = pause::before_resuming(self.endpoint.limits().pause, from);
        let session = Arc::clone(self);
        Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            session
                .open_stream(Some(&last_event_id))
                .await
                .map_err(|unopened| match unopened {
                    Unopened::Later { error, .. } => (error, true),
                    Unopened::NotOffered(error) => (error, false),
                    Unopened::SessionGone => {
                        session.closed.cancel();
                        // Not `session_gone`: the request was accepted, and must not be sent again.
                        let text = format!(
                            "`{}` ended its session before the response",
                            session.backend()
                        );
                        (failure::unavailable(session.backend(), text), false)
                    }
                })
        }))
    }

    fn ended(self: &Arc<Self>, id: u64, finished: bool) {
        lock(&self.progress).remove(&id);
        if !finished && !self.closed.is_cancelled() {
            self.cancel(id);
        }
    }
}

impl Wire for Session {
    fn questions(&self) -> &Arc<Questions> {
        &self.questions
    }

    fn owe(self: &Arc<Self>, response: Bytes) {
        let Ok(place) = Arc::clone(&self.answering).try_acquire_owned() else {
            tracing::debug!(backend = %self.backend(), "too many requests of the backend at once, one ignored");
            return;
        };
        let session = Arc::clone(self);
        self.deliver(async move {
            if let Err((error, _)) = session.post_response(response).await {
                tracing::debug!(backend = %session.backend(), %error, "an answer was not delivered");
            }
            drop(place);
        });
    }

    fn respond(self: Arc<Self>, response: Bytes) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Its call waits for it, so it is worth more than one attempt. A second copy does no harm.
            for attempt in 1.. {
                let Err((error, later)) = self.post_response(response.clone()).await else {
                    return;
                };
                tracing::debug!(backend = %self.backend(), %error, attempt, "an answer was not delivered");
                if !later || attempt >= ATTEMPTS {
                    return;
                }
                tokio::time::sleep(pause::after_failures(self.first_pause(), attempt)).await;
            }
        })
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        Self::run(self, work);
    }
}

/// Whether a response means that the session is no more. 404 is what the specification says; servers written after an
/// early example of the TypeScript SDK say 400 with an error that is about no request and names the session.
fn says_session_gone(status: StatusCode, content: &Content) -> bool {
    if !matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
        return false;
    }
    let error = match content {
        Content::Whole(text) => match isthmus_protocol::parse_message(text) {
            Ok(Message::Response {
                id,
                outcome: Err(error),
            }) => Some((id, error)),
            _ => None,
        },
        _ => None,
    };
    match (status, error) {
        // Some stateful servers answer an unknown method so, as stateless ones do; it names our request.
        (StatusCode::NOT_FOUND, Some((Some(_), error))) => {
            error.code != isthmus_protocol::code::METHOD_NOT_FOUND
        }
        (StatusCode::NOT_FOUND, _) => true,
        (StatusCode::BAD_REQUEST, Some((None, error))) => {
            error.message.to_ascii_lowercase().contains("session")
        }
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("backend", self.endpoint.backend())
            .field("url", &self.url)
            .field("revision", &self.facts.revision)
            .finish_non_exhaustive()
    }
}

/// Notices kept for a receiver that is behind.
const NOTICES: usize = 32;
/// Answers to the backend's own requests on their way at once. A backend waits for ever for one that is lost, so there
/// are as many as calls that may ask; only a flood of its own making is cut off.
const ANSWERS: usize = 1024;
/// How often an answer is sent that does not arrive.
const ATTEMPTS: u32 = 5;
const CANCELLING: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);
