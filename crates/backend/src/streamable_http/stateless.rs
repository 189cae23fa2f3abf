//! Requests that describe themselves over Streamable HTTP: 2026-07-28.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use isthmus_exchange::{BackendName, BoxFuture, Error, Outcome, PeerFacts, Question, Reply};
use isthmus_protocol::message::{Message, write_request};
use isthmus_protocol::params::{StatelessStamp, TraceStamp, stamp_stateless};
use isthmus_protocol::{Id, JsonRpcError, Method, RawJson, Revision, code, headers, object};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{self, Answered};
use super::call::{Call, Hop, Place, Resuming};
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::{listen, request_headers};
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::greeting::{self, Discovered};
use crate::outcome;
use crate::questions::{Asked, Interactive};
use crate::traffic;
use crate::traffic::progress_token;

/// Conversation with a stateless backend over Streamable HTTP. Opens nothing until something is sent.
///
/// [`Conversation::closed`] fires when none of the URLs can be reached, so that its owner looks again whether and how
/// the backend is there.
#[derive(Debug)]
pub(crate) struct StatelessHttp {
    peer: Arc<Peer>,
    /// The open listen; a new one replaces it once it is acknowledged.
    listening: Mutex<Option<AbortOnDropHandle<()>>>,
    /// Serialises changes of the listen.
    changing: tokio::sync::Mutex<()>,
}

/// What requests and the listen share.
pub(super) struct Peer {
    endpoint: Arc<Endpoint>,
    facts: PeerFacts,
    headers: HeaderMap,
    ids: AtomicU64,
    notices: broadcast::Sender<PeerNotice>,
    pub(super) closed: CancellationToken,
    pub(super) hears: AtomicBool,
}

impl StatelessHttp {
    /// A conversation with a backend that said `facts` of itself.
    pub(crate) fn new(endpoint: &Arc<Endpoint>, facts: PeerFacts) -> Arc<Self> {
        let headers = headers_of(endpoint, facts.revision);
        let peer = Peer {
            endpoint: Arc::clone(endpoint),
            facts,
            headers,
            ids: AtomicU64::new(0),
            notices: broadcast::Sender::new(NOTICES),
            closed: CancellationToken::new(),
            hears: AtomicBool::new(false),
        };
        Arc::new(Self {
            peer: Arc::new(peer),
            listening: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Asks the backend what it is, for a backend whose era is settled.
    ///
    /// # Errors
    ///
    /// `BackendUnavailable`, `BackendMisbehaved`, `TimedOut`, or the error that the backend answered with.
    pub(crate) async fn open(endpoint: &Arc<Endpoint>) -> Result<Arc<Self>, Error> {
        let backend = endpoint.backend();
        let limit = endpoint.limits().open;
        let discovering = async {
            let answered = discover(endpoint).await.map_err(|failure| failure.error)?;
            let refused = failure::status(backend, answered.status, &answered.headers);
            if failure::says_it_all(answered.status) {
                return Err(refused);
            }
            match answered.response {
                Some(Ok(result)) => match greeting::read_discovered(backend, &result)? {
                    Discovered::Stateless(facts) => Ok(Self::new(endpoint, facts)),
                    Discovered::Stateful => {
                        let text = format!(
                            "`{backend}` speaks no stateless revision; set its `era` to `stateful` or `auto`"
                        );
                        Err(failure::unavailable(backend, text))
                    }
                },
                Some(Err(error)) => Err(Error::answered(backend.clone(), error)),
                None => Err(refused),
            }
        };
        tokio::time::timeout(limit, discovering)
            .await
            .unwrap_or_else(|_| {
                Err(failure::timed_out(
                    backend,
                    "answer `server/discover`",
                    limit,
                ))
            })
    }
}

/// What came back for `server/discover`.
#[derive(Debug)]
pub(super) struct Introduced {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// `None` if there was no JSON-RPC response, or the status says it all.
    pub(super) response: Option<Result<RawJson, JsonRpcError>>,
}

/// Sends `server/discover`; once more if the backend refuses its revision and yet names it as one that it speaks (MC-9).
pub(super) async fn discover(endpoint: &Endpoint) -> Result<Introduced, Failure> {
    let introduced = discover_once(endpoint).await?;
    match &introduced.response {
        Some(Err(error)) if names(error, Revision::LATEST) => discover_once(endpoint).await,
        _ => Ok(introduced),
    }
}

/// Whether an error says that the peer speaks `revision`.
fn names(error: &JsonRpcError, revision: Revision) -> bool {
    let supported = error
        .data
        .as_ref()
        .and_then(|data| object::member(data, "supported"))
        .and_then(|supported| supported.read::<Vec<String>>().ok());
    error.code == code::UNSUPPORTED_PROTOCOL_VERSION
        && supported.is_some_and(|versions| versions.iter().any(|text| text == revision.as_str()))
}

async fn discover_once(endpoint: &Endpoint) -> Result<Introduced, Failure> {
    let stamp = StatelessStamp {
        revision: Revision::LATEST,
        capabilities: &RawJson::empty_object(),
        client_info: endpoint.client_info(),
        log_level: None,
        progress_token: None,
        trace: TraceStamp::default(),
    };
    let params = stamp_stateless(&RawJson::empty_object(), &stamp);
    let mut headers = headers_of(endpoint, Revision::LATEST);
    request_headers::add(&mut headers, &Method::ServerDiscover, &params, None);
    let body = write_request(&Id::number(DISCOVER_ID), &Method::ServerDiscover, &params);
    let response = endpoint.post_in_turn(headers, body).await?;
    let answered = answer::read(endpoint.backend(), response, endpoint.limits()).await?;
    let response = if failure::says_it_all(answered.status) {
        None
    } else {
        let backend = endpoint.backend();
        answered.content.response(backend, DISCOVER_ID).await?
    };
    Ok(Introduced {
        status: answered.status,
        headers: answered.headers,
        response,
    })
}

fn headers_of(endpoint: &Endpoint, revision: Revision) -> HeaderMap {
    let mut headers = endpoint.post_headers().clone();
    headers.insert(
        headers::MCP_PROTOCOL_VERSION,
        HeaderValue::from_static(revision.as_str()),
    );
    headers
}

impl Peer {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    pub(super) fn say(&self, notice: PeerNotice) {
        // Nobody may be listening.
        let _ = self.notices.send(notice);
    }

    /// A fresh id, not in use by any request in flight.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Sends a request with the id `id`, envelope and headers (MC-1, MC-2), and waits for the head of the response.
    pub(super) async fn post(&self, id: u64, outgoing: &Outgoing) -> Result<Answered, Failure> {
        let token = outgoing.wants.progress.then(|| progress_token(id));
        let id = Id::number(id);
        let stamp = StatelessStamp {
            revision: self.facts.revision,
            capabilities: &outgoing.capabilities,
            client_info: self.endpoint.client_info(),
            log_level: outgoing.wants.log_level,
            progress_token: token.as_ref(),
            trace: TraceStamp {
                parent: outgoing.trace.parent.as_deref(),
                state: outgoing.trace.state.as_deref(),
                baggage: outgoing.trace.baggage.as_deref(),
            },
        };
        let params = stamp_stateless(&outgoing.params, &stamp);
        let mut headers = self.headers.clone();
        request_headers::add(
            &mut headers,
            &outgoing.method,
            &outgoing.params,
            outgoing.tool.as_ref(),
        );
        self.send(headers, write_request(&id, &outgoing.method, &params))
            .await
    }

    async fn send(&self, headers: HeaderMap, body: Bytes) -> Result<Answered, Failure> {
        let response = self
            .endpoint
            .post_in_turn(headers, body)
            .await
            .inspect_err(|failure| {
                if failure.unreachable {
                    self.closed.cancel();
                }
            })?;
        answer::read(self.backend(), response, self.endpoint.limits()).await
    }
}

impl Hop for Peer {
    fn backend(&self) -> &BackendName {
        self.endpoint.backend()
    }

    fn outcome(&self, method: &Method, result: &RawJson) -> Result<Outcome, Error> {
        let mut outcome = outcome::stateless(self.backend(), method, result)?;
        // Whatever the backend says: what a caller got by its own credentials is not for others (S5).
        if self.endpoint.acts_for_caller()
            && let Outcome::Complete(complete) = &mut outcome
            && let Some(cache) = &mut complete.cache
        {
            cache.public = false;
        }
        Ok(outcome)
    }

    fn refusal(&self, answered: &Answered) -> Option<Error> {
        let status = answered.status;
        failure::says_it_all(status)
            .then(|| failure::status(self.backend(), status, &answered.headers))
    }

    fn asked(self: &Arc<Self>, _call: Option<&Interactive>, asked: Asked) -> Option<Question> {
        // It gets no answer: a stateless client sends no responses (MC-4).
        tracing::debug!(backend = %self.backend(), method = %asked.method, "a stateless server must not ask so");
        None
    }

    fn aside(self: &Arc<Self>, message: Message) {
        if let Message::Notification {
            method: method @ Method::TasksNotification,
            params,
        } = &message
            && let Some(notice) = traffic::notice(self.backend(), method, params.as_ref())
        {
            // On the listen of whoever follows tasks.
            return self.say(notice);
        }
        // What belongs to no request travels on listen streams, and there are no requests to us (MS-5).
        tracing::debug!(backend = %self.backend(), ?message, "ignored what does not belong to the request");
    }

    fn resume(self: &Arc<Self>, _from: &Place) -> Option<Resuming> {
        None // A lost stream is a lost request (digest §1.1).
    }

    fn ended(self: &Arc<Self>, _id: u64, _finished: bool) {
        // The stream is closed by dropping it, and that cancels (MC-4).
    }
}

impl Conversation for StatelessHttp {
    fn facts(&self) -> &PeerFacts {
        &self.peer.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        let peer = Arc::clone(&self.peer);
        let id = peer.next_id();
        let method = outgoing.method.clone();
        let wants_progress = outgoing.wants.progress;
        let hop = Arc::clone(&peer);
        let awaiting = Box::pin(async move { peer.post(id, &outgoing).await });
        let call = Call::new(hop, method, id, awaiting).with_progress(wants_progress);
        Box::pin(call.begin())
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.peer.notices.subscribe()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async move {
            let _changing = self.changing.lock().await;
            let (honoured, listening) = listen::begin(&self.peer, &wanted).await?;
            // The one before ends only now, when the new one is acknowledged: nothing is missed in between.
            *self
                .listening
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = listening;
            Ok(honoured)
        })
    }

    fn hears(&self) -> bool {
        self.peer.hears.load(Ordering::Relaxed)
    }

    fn closed(&self) -> CancellationToken {
        self.peer.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.peer.closed.cancel();
        Box::pin(std::future::ready(()))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("endpoint", &self.endpoint)
            .field("revision", &self.facts.revision)
            .finish_non_exhaustive()
    }
}

/// The id of the request that [`discover`] sends.
const DISCOVER_ID: u64 = 1;
/// Notices kept for a receiver that is behind.
const NOTICES: usize = 32;
