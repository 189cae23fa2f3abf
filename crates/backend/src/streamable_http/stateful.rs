//! A session over Streamable HTTP: 2025-03-26, 2025-06-18 and 2025-11-25.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::HeaderValue;
use http::{StatusCode, Uri};
use isthmus_exchange::{BoxFuture, Error, ErrorKind, PeerFacts, Reply};
use isthmus_protocol::message::write_request;
use isthmus_protocol::{Id, Method, RawJson, Revision, headers, object};
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

use super::answer;
use super::call::Hop;
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::get_stream;
use super::session::{Session, SessionHeaders};
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::greeting;
use crate::questions::Questions;

/// A session with a stateful backend over Streamable HTTP.
///
/// A request that meets a session the backend has ended fails with `SessionUnknown`, and [`Conversation::closed`] fires:
/// the backend did not accept it (digest §3.3), so it may be sent once more in a new session. When this is dropped without
/// [`Conversation::close`], its streams end and the backend is not told.
#[derive(Debug)]
pub(crate) struct StatefulHttp {
    session: Arc<Session>,
    /// Resources the session is subscribed to.
    subscribed: Mutex<BTreeSet<String>>,
}

/// Why a handshake failed, and with which status if that is what failed it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) status: Option<StatusCode>,
}

impl StatefulHttp {
    /// Opens a session that declares `capabilities`, and begins to listen to its GET stream.
    ///
    /// # Errors
    ///
    /// `BackendUnavailable`, `BackendMisbehaved`, `TimedOut`, or the error that the backend answered `initialize` with.
    pub(crate) async fn open(
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<Self>, Error> {
        Self::try_open(endpoint, capabilities)
            .await
            .map_err(|refusal| refusal.error)
    }

    pub(super) async fn try_open(
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<Self>, Refusal> {
        let limit = endpoint.limits().open;
        match tokio::time::timeout(limit, Self::handshake(endpoint, capabilities)).await {
            Ok(opened) => opened,
            Err(_) => {
                Err(failure::timed_out(endpoint.backend(), "answer `initialize`", limit).into())
            }
        }
    }

    async fn handshake(
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<Self>, Refusal> {
        let backend = endpoint.backend();
        let (url, answered) = initialize(endpoint, capabilities)
            .await
            .map_err(|failure| failure.error)?;
        let status = answered.status;
        if failure::says_it_all(status) {
            return Err(Refusal {
                error: failure::status(backend, status, &answered.headers),
                status: Some(status),
            });
        }
        let refused = failure::status(backend, status, &answered.headers);
        let session_id = answered.headers.get(headers::MCP_SESSION_ID).cloned();
        let result = match answered.content.response(backend, INITIALIZE_ID).await {
            Ok(Some(Ok(result))) => result,
            Ok(Some(Err(error))) => {
                return Err(Refusal {
                    error: Error::answered(backend.clone(), error),
                    status: Some(status),
                });
            }
            Ok(None) if status.is_success() => {
                return Err(failure::misbehaved(
                    backend,
                    format!("`{backend}` did not answer `initialize`"),
                )
                .into());
            }
            Ok(None) => {
                return Err(Refusal {
                    error: refused,
                    status: Some(status),
                });
            }
            Err(failure) => return Err(failure.error.into()),
        };
        let facts = greeting::read_initialized(backend, &result)?;
        let headers = session_headers(endpoint, &facts, session_id)?;
        let questions = Questions::new(backend.clone(), capabilities, endpoint.habit());
        let endpoint = Arc::clone(endpoint);
        let session = Session::new(endpoint, url, facts, headers, questions, INITIALIZE_ID);
        session.notify(&Method::Initialized, None).await?;
        let session = Arc::new(session);
        session.run(get_stream::listen(Arc::clone(&session)));
        Ok(Arc::new(Self {
            session,
            subscribed: Mutex::default(),
        }))
    }

    /// Subscribes to `uri` or ends that; `false` if the backend will not.
    async fn subscription(&self, method: Method, uri: &str) -> Result<bool, Error> {
        let params = object::assemble([("uri", RawJson::string(uri))]);
        let session = Arc::clone(&self.session);
        let limit = session.patience();
        let answered = async {
            let reply = session.request(Outgoing::plain(method, params)).await?;
            reply.outcome().await
        };
        let answer = tokio::time::timeout(limit, answered).await;
        let backend = self.session.backend();
        let silent = || Err(failure::timed_out(backend, "answer a subscription", limit));
        match answer.unwrap_or_else(|_| silent()) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Answered { .. }) => Ok(false),
            // Nobody sends it once more.
            Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                let text = error.message().to_owned();
                Err(failure::unavailable(backend, text).caused_by(error))
            }
            Err(error) => Err(error),
        }
    }
}

/// Sends `initialize` to the first replica that can be reached, and says which it was.
async fn initialize(
    endpoint: &Endpoint,
    capabilities: &RawJson,
) -> Result<(Uri, answer::Answered), Failure> {
    let params = greeting::initialize_params(capabilities, endpoint.client_info());
    let body = write_request(&Id::number(INITIALIZE_ID), &Method::Initialize, &params);
    let headers = endpoint.post_headers().clone();
    let (url, response) = endpoint.post_from(0, headers, body).await?;
    let answered = answer::read(endpoint.backend(), response, endpoint.limits()).await?;
    Ok((url.clone(), answered))
}

/// What every later request carries: the session id, and from 2025-06-18 on the revision (LC-1, LC-3).
fn session_headers(
    endpoint: &Endpoint,
    facts: &PeerFacts,
    session_id: Option<HeaderValue>,
) -> Result<SessionHeaders, Error> {
    let mut own = http::HeaderMap::new();
    let has_session_id = session_id.is_some();
    if let Some(mut id) = session_id {
        let visible = !id.is_empty()
            && id
                .as_bytes()
                .iter()
                .all(|byte| (0x21..=0x7e).contains(byte));
        if !visible {
            let text = format!(
                "`{}` gave out a session id with forbidden characters",
                endpoint.backend()
            );
            return Err(failure::misbehaved(endpoint.backend(), text));
        }
        id.set_sensitive(true);
        own.insert(headers::MCP_SESSION_ID, id);
    }
    if facts.revision >= Revision::V2025_06_18 {
        own.insert(
            headers::MCP_PROTOCOL_VERSION,
            HeaderValue::from_static(facts.revision.as_str()),
        );
    }
    let mut post = endpoint.post_headers().clone();
    let mut stream = endpoint.stream_headers();
    for (name, value) in &own {
        post.insert(name, value.clone());
        stream.insert(name, value.clone());
    }
    Ok(SessionHeaders {
        post,
        stream,
        has_session_id,
    })
}

impl Conversation for StatefulHttp {
    fn facts(&self) -> &PeerFacts {
        self.session.facts()
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        Box::pin(Arc::clone(&self.session).request(outgoing))
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.session.notices()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async move {
            let declared = self.session.declared();
            let mut subscribed = self.subscribed.lock().await;
            // Tried even if not declared: the Python SDK does not declare what its servers answer.
            for uri in wanted.uris.difference(&subscribed.clone()) {
                if self.subscription(Method::ResourcesSubscribe, uri).await? {
                    subscribed.insert(uri.clone());
                }
            }
            for uri in subscribed.clone().difference(&wanted.uris) {
                // Refused or not: it is nothing we want to hear.
                self.subscription(Method::ResourcesUnsubscribe, uri).await?;
                subscribed.remove(uri);
            }
            let lists = [declared.tools, declared.prompts, declared.resources];
            let announces = lists.into_iter().flatten().any(|list| list.list_changed);
            Ok(Watch {
                lists: wanted.lists && announces,
                uris: subscribed.clone(),
            })
        })
    }

    fn roots_changed(self: Arc<Self>) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let told = self.session.notify(&Method::RootsListChanged, None);
            told.await
        })
    }

    fn hears(&self) -> bool {
        *self.session.hears.borrow() == Some(true)
    }

    fn hears_soon(self: Arc<Self>) -> BoxFuture<'static, bool> {
        Box::pin(async move {
            let mut hears = self.session.hears.subscribe();
            tokio::select! {
                known = hears.wait_for(Option::is_some) => known.is_ok_and(|known| *known == Some(true)),
                () = self.session.closed.cancelled() => false,
            }
        })
    }

    fn closed(&self) -> CancellationToken {
        self.session.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let session = Arc::clone(&self.session);
        Box::pin(async move { session.end().await })
    }
}

impl Drop for StatefulHttp {
    fn drop(&mut self) {
        self.session.closed.cancel();
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            error,
            status: None,
        }
    }
}

/// Not 0, which some servers take for a missing id.
const INITIALIZE_ID: u64 = 1;
