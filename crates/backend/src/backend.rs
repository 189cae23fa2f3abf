//! One backend as the router sees it.
//!
//! Sends each call through the conversation that its caller may use, once there is room for it, and ends it at its
//! deadline. What opens conversations, keeps one to list by and decides who shares them stands in files of their own.

use std::path::PathBuf;
use std::sync::Arc;

use isthmus_config::{SessionPolicy, Wire};
use isthmus_exchange::{
    Attachment, BackendName, Caller, Continuation, Error, ErrorKind, Listing, Reply, Request, Retry,
};
use isthmus_protocol::object::{self, ObjectEdit};
use isthmus_protocol::{Era, JsonRpcError, LogLevel, RawJson, code};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::conversation::Outgoing;
use crate::held::{Held, Patience};
use crate::listing::{self, ListBounds};
use crate::listing_session::ListingSession;
use crate::opening;
use crate::parking::Parking;
use crate::pool::{Lease, Open, Pool, Sharing};
use crate::state::{BackendNotice, BackendState};

/// What all backends of a gateway share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Where children, streams and everything else that outlives a request run.
    pub background: Handle,
    /// The outbound HTTP client.
    pub egress: isthmus_egress::Client,
    /// The gateway's own `Implementation` object: `clientInfo` towards backends.
    pub client_info: RawJson,
    /// What limits everything that comes from the network.
    pub bounds: isthmus_config::Bounds,
    /// Where calls of stateless clients wait for answers.
    pub parking: Parking,
    /// The executable that is started as the guard of each child; it must hand `__guard` to [`crate::guard_main`].
    pub guard: PathBuf,
    /// Whether callers that nobody authenticated may come from other machines: then a stateful backend's session is not
    /// shared between calls unless the operator says so (design §5).
    pub strangers: bool,
}

/// One MCP server behind us, running.
#[derive(Debug)]
pub struct Backend {
    name: BackendName,
    settings: isthmus_config::Backend,
    pool: Arc<Pool>,
    opener: Arc<dyn Open>,
    listing_session: Arc<ListingSession>,
    admission: Admission,
}

impl Backend {
    /// Starts a backend: it connects, or starts its child, at once and in the background.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used: a name that is none, a header that cannot be sent. A resolved config has neither.
    pub fn start(settings: isthmus_config::Backend, shared: &Shared) -> Result<Arc<Self>, Error> {
        let name = BackendName::parse(&settings.name).map_err(Error::internal)?;
        let opener = opening::opener(&name, &settings, shared)?;
        let sharing = sharing(&settings, shared.strangers);
        let background = shared.background.clone();
        let pool = Pool::new(opener.clone(), sharing, settings.idle, background);
        let listing_session = ListingSession::start(
            name.clone(),
            pool.clone(),
            opener.clone(),
            settings.restart,
            &shared.background,
        );
        let admission = Admission::new(settings.bounds.in_flight, settings.bounds.queue);
        Ok(Arc::new(Self {
            name,
            settings,
            pool,
            opener,
            listing_session,
            admission,
        }))
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &BackendName {
        &self.name
    }

    /// The settings it was started with: a reload keeps it if they are still the same.
    #[must_use]
    pub const fn settings(&self) -> &isthmus_config::Backend {
        &self.settings
    }

    /// Follows where it stands.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BackendState> {
        self.listing_session.state()
    }

    /// Follows what it says unasked. A receiver that lags loses the oldest and is told so.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.pool.notices()
    }

    /// Fetches everything the backend lists, all pages of all kinds, now.
    ///
    /// # Errors
    ///
    /// The first failure of any page; `TimedOut` after the backend's list time.
    pub async fn listing(&self) -> Result<Arc<Listing>, Error> {
        let lease = self.listing_session.lease().await?;
        let fetched = listing::fetch(&self.name, lease.conversation(), self.list_bounds());
        let listing = tokio::time::timeout(self.settings.timeouts.list, fetched)
            .await
            .map_err(|_| {
                let seconds = self.settings.timeouts.list.as_secs_f32();
                let message = format!(
                    "`{}` did not finish its lists within {seconds} s",
                    self.name
                );
                Error::new(ErrorKind::TimedOut(Some(self.name.clone())), message)
            })??;
        Ok(Arc::new(listing))
    }

    /// Sends one call, in native names, through the conversation that its caller may use.
    ///
    /// Dropping the future or the reply cancels the call at the backend in its era's way.
    ///
    /// # Errors
    ///
    /// `Overloaded` when the queue is full, `BackendUnavailable`, `TimedOut`, `BackendMisbehaved`, or what it answered.
    pub async fn call(&self, request: Request) -> Result<Reply, Error> {
        let place = self.admission.admit(&self.name).await?;
        // Before a session sets its level, which messages it hears is the backend's choice (LS-15).
        let own_choice = request.caller.revision.era() == Era::Stateful
            && request.caller.scope.log_level().is_none();
        let heard_level = if own_choice {
            Some(LogLevel::Debug)
        } else {
            request.wants.log_level
        };
        // A caller's own deadline is fixed; the backend's begins anew with each sign of progress.
        let (deadline, extension) = match request.deadline {
            Some(deadline) => (deadline, None),
            None => (
                Instant::now() + self.settings.timeouts.call,
                Some(self.settings.timeouts.call),
            ),
        };
        let mut outgoing = Outgoing {
            method: request.method,
            params: request.params,
            wants: request.wants,
            trace: request.trace,
            capabilities: answerable(&request.caller),
            tool: request
                .target
                .and_then(|target| target.item)
                .map(|item| item.native_definition.clone()),
            asker: None,
        };
        let raise_to = outgoing.wants.log_level.filter(|_| !own_choice);
        let (caller, retry) = (&request.caller, request.retry.as_ref());
        let sending = async {
            match self.send(caller, outgoing.clone(), retry, raise_to).await {
                Err(error) if answered_with(&error, code::HEADER_MISMATCH) => {
                    // The tool's schema has changed under us: look again and try once more (MC-2).
                    outgoing.tool = self.fresh_definition(&outgoing).await?;
                    self.send(caller, outgoing, retry, raise_to).await
                }
                sent => sent,
            }
        };
        let (lease, reply) = tokio::time::timeout_at(deadline, sending)
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))?;
        Ok(match reply.into_ready() {
            Ok(outcome) => Reply::ready(outcome),
            Err(reply) => {
                let timed_out = self.timed_out();
                Reply::running(Held::new(
                    reply,
                    (place, lease),
                    Patience {
                        deadline,
                        extension,
                        timed_out,
                    },
                    heard_level,
                ))
            }
        })
    }

    async fn send(
        &self,
        caller: &Caller,
        outgoing: Outgoing,
        retry: Option<&Retry>,
        raise_to: Option<LogLevel>,
    ) -> Result<(Lease, Reply), Error> {
        let lease = self.pool.acquire(caller).await?;
        if let Some(level) = raise_to {
            lease.raise_log_level(level).await;
        }
        let outgoing = match retry {
            Some(retry) if lease.conversation().facts().revision.era() == Era::Stateless => {
                with_retry(outgoing, retry)
            }
            _ => outgoing,
        };
        match lease.conversation().clone().request(outgoing.clone()).await {
            Ok(reply) => Ok((lease, reply)),
            // The backend ended our session and said so with 404: it did not accept the request, so sending it once more
            // is safe (digest §3.3).
            Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                drop(lease);
                let lease = self.pool.acquire(caller).await?;
                match lease.conversation().clone().request(outgoing).await {
                    Ok(reply) => Ok((lease, reply)),
                    Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                        let message = format!("`{}` keeps ending its sessions", self.name);
                        Err(
                            Error::new(ErrorKind::BackendMisbehaved(self.name.clone()), message)
                                .caused_by(error),
                        )
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn fresh_definition(&self, outgoing: &Outgoing) -> Result<Option<RawJson>, Error> {
        let name = object::string_member(&outgoing.params, "name");
        let listing = self.listing().await?;
        Ok(listing
            .items
            .iter()
            .find(|item| {
                item.kind == isthmus_exchange::ItemKind::Tool && Some(&item.key) == name.as_ref()
            })
            .map(|item| item.definition.clone()))
    }

    /// Subscribes the caller's scope to a native URI. Idempotent.
    ///
    /// # Errors
    ///
    /// Invalid parameters if the backend does not honour it; else as [`Backend::call`].
    pub async fn subscribe(&self, caller: &Caller, uri: &str) -> Result<(), Error> {
        self.pool
            .acquire(caller)
            .await?
            .subscribe(caller.scope.id(), uri)
            .await
    }

    /// Ends a subscription. Idempotent.
    ///
    /// # Errors
    ///
    /// As [`Backend::call`].
    pub async fn unsubscribe(&self, caller: &Caller, uri: &str) -> Result<(), Error> {
        self.pool
            .acquire(caller)
            .await?
            .unsubscribe(caller.scope.id(), uri)
            .await
    }

    /// Takes nothing new, gives calls in flight the backend's `timeouts.stop` to end, then ends every conversation in an
    /// orderly way.
    pub async fn close(&self) {
        self.listing_session.drain();
        self.admission.close(self.settings.timeouts.stop).await;
        self.listing_session.stop();
        self.pool.close().await;
        self.opener.close().await;
    }

    const fn list_bounds(&self) -> ListBounds {
        ListBounds {
            pages: self.settings.bounds.pages,
            items: self.settings.bounds.items,
        }
    }

    fn timed_out(&self) -> Error {
        let seconds = self.settings.timeouts.call.as_secs_f32();
        let message = format!("`{}` did not answer within {seconds} s", self.name);
        Error::new(ErrorKind::TimedOut(Some(self.name.clone())), message)
    }
}

/// Who shares a conversation, where the operator leaves it open (design §5).
const fn sharing(settings: &isthmus_config::Backend, strangers: bool) -> Sharing {
    match settings.sessions {
        Some(SessionPolicy::PerClient) => Sharing::PerClient,
        Some(SessionPolicy::PerPrincipal) => Sharing::PerPrincipal,
        Some(SessionPolicy::PerCall) => Sharing::PerCall,
        Some(SessionPolicy::Shared) => Sharing::Shared,
        None if strangers => Sharing::PerCall,
        None => match settings.wire {
            Wire::Stdio(_) => Sharing::PerPrincipal,
            Wire::Http(_) | Wire::Sse(_) => Sharing::PerClient,
        },
    }
}

/// What may be declared to a stateless backend on behalf of `caller`: what a stateless caller can answer, since its
/// answers travel in a retry of the same request. A stateful caller is not asked yet, so nothing is declared for it.
fn answerable(caller: &Caller) -> RawJson {
    let declared = caller.capabilities.declared();
    if caller.attachment == Attachment::Live || declared.len() <= RawJson::empty_object().len() {
        return RawJson::empty_object();
    }
    let kinds = ["elicitation", "sampling", "roots"];
    object::assemble(
        kinds
            .into_iter()
            .filter_map(|kind| Some((kind, object::member(declared, kind)?))),
    )
}

/// Puts the answers of a retry where a stateless backend expects them (26:basic/patterns/mrtr). A stateful one never gets
/// them: they mean nothing to it.
fn with_retry(mut outgoing: Outgoing, retry: &Retry) -> Outgoing {
    let mut edit = ObjectEdit::new(&outgoing.params);
    if let Some(responses) = &retry.responses {
        edit = edit.set("inputResponses", responses.clone());
    }
    if let Some(Continuation::Opaque(state)) = &retry.state {
        edit = edit.set("requestState", RawJson::string(state));
    }
    outgoing.params = edit.finish();
    outgoing
}

fn answered_with(error: &Error, code: i64) -> bool {
    matches!(error.kind(), ErrorKind::Answered { error: JsonRpcError { code: answered, .. }, .. } if *answered == code)
}
