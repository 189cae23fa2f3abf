//! One session of a stateful client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use isthmus_exchange::{
    Attachment, Caller, ClientCapabilities, Principal, RouteName, Scope, ScopeId,
};
use isthmus_protocol::{RawJson, Revision};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::in_flight::InFlight;
use crate::questions::Questions;
use crate::streams::Streams;

/// What `initialize` settled.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Who opened the session. Nobody else can use it.
    pub principal: Principal,
    /// Where it was opened. It cannot be used elsewhere.
    pub route: RouteName,
    /// The negotiated revision.
    pub revision: Revision,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// The client's `clientInfo`; kept if it is short.
    pub client_info: Option<RawJson>,
    /// Where the client connects from.
    pub address: Option<SocketAddr>,
}

/// One session of a stateful client.
#[derive(Debug)]
pub struct Session {
    id: Arc<str>,
    route: RouteName,
    opened: Instant,
    revision: Revision,
    scope: Arc<Scope>,
    /// With the claims and scopes of the credential that was shown last.
    caller: ArcSwap<Caller>,
    lifecycle: Mutex<Lifecycle>,
    in_flight: InFlight,
    questions: Questions,
    streams: Streams,
    /// Milliseconds after `opened`.
    last_used: AtomicU64,
    rebuilt: AtomicBool,
    held: AtomicBool,
}

/// `Handshaking → Ready → Closed`.
#[derive(Debug)]
enum Lifecycle {
    /// `initialize` was answered; nothing unsolicited may be sent yet (LS-3).
    Handshaking,
    /// The client has said that it is ready, or behaves as if it were.
    Ready {
        /// The task that forwards what the session hears, once it has a stream to send on.
        listening: Option<AbortHandle>,
    },
    /// Ended.
    Closed,
}

impl Session {
    /// `first_question` is the id of the first question to the client, see [`Questions`].
    pub(crate) fn new(
        id: Arc<str>,
        scope: u128,
        new: NewSession,
        streams: Streams,
        first_question: u64,
    ) -> Self {
        // A part of the body that `initialize` came in would keep all of it in memory.
        let client_info = new
            .client_info
            .filter(|info| info.len() <= LONGEST_CLIENT_INFO)
            .map(|info| RawJson::assembled(info.as_bytes().to_vec()));
        let scope = Scope::session(ScopeId(scope), new.principal.id().clone());
        let scope = Arc::new(scope);
        Self {
            id,
            route: new.route,
            opened: Instant::now(),
            revision: new.revision,
            caller: ArcSwap::from_pointee(Caller {
                principal: new.principal,
                revision: new.revision,
                capabilities: Arc::new(new.capabilities),
                client_info,
                scope: Arc::clone(&scope),
                attachment: Attachment::Live,
                address: new.address,
            }),
            scope,
            lifecycle: Mutex::new(Lifecycle::Handshaking),
            in_flight: InFlight::new(IN_FLIGHT),
            questions: Questions::new(first_question, QUESTIONS),
            streams,
            last_used: AtomicU64::new(0),
            rebuilt: AtomicBool::new(false),
            held: AtomicBool::new(false),
        }
    }

    /// What the client sends as `Mcp-Session-Id`.
    #[must_use]
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Where the session was opened.
    #[must_use]
    pub const fn route(&self) -> &RouteName {
        &self.route
    }

    /// Who the session's requests come from.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        self.caller.load_full()
    }

    /// The session's principal has shown a credential again: from now on its claims, scopes and end are those of this one,
    /// so that what was taken from somebody is not kept by a session, and what was granted is not missing in it.
    ///
    /// Must be the principal that the session belongs to.
    pub fn shown(&self, principal: &Principal) {
        let caller = self.caller.load();
        let known = &caller.principal;
        debug_assert_eq!(known.id(), principal.id(), "a session has one principal");
        let same = known.claims() == principal.claims()
            && known.scopes() == principal.scopes()
            && known.expires() == principal.expires();
        if !same && known.id() == principal.id() {
            self.caller.store(Arc::new(Caller {
                principal: principal.clone(),
                ..Caller::clone(&caller)
            }));
        }
    }

    /// The life that things made for the session belong to.
    #[must_use]
    pub const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The negotiated revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether broken streams of this session can be resumed: their events have ids, and what was sent is kept for a
    /// while. Part of Streamable HTTP from its first revision on.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.revision >= Revision::V2025_03_26
    }

    /// Whether a stream begins with an event that has an id and no data, so that it can be resumed from its very
    /// beginning, and says when to come back. Older clients stumble over the empty data (LS-10, trap 23).
    #[must_use]
    pub fn is_primed(&self) -> bool {
        self.revision >= Revision::V2025_11_25
    }

    /// The requests that run.
    #[must_use]
    pub const fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// What the client was asked and has not answered yet.
    #[must_use]
    pub const fn questions(&self) -> &Questions {
        &self.questions
    }

    /// The streams.
    #[must_use]
    pub const fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The client has said that it is ready, or behaves as if it were.
    pub fn ready(&self) {
        let mut lifecycle = self.lifecycle();
        if matches!(*lifecycle, Lifecycle::Handshaking) {
            *lifecycle = Lifecycle::Ready { listening: None };
        }
    }

    /// Starts to forward what the session hears, if the session is ready and does not do so already. `start` spawns the
    /// task; the session aborts it when it ends.
    pub fn listen(&self, start: impl FnOnce() -> AbortHandle) {
        if let Lifecycle::Ready { listening } = &mut *self.lifecycle()
            && listening.as_ref().is_none_or(AbortHandle::is_finished)
        {
            *listening = Some(start());
        }
    }

    /// Whether this is not the session's first life: it was rebuilt from its id, and what happened in between is not
    /// known.
    #[must_use]
    pub fn is_rebuilt(&self) -> bool {
        self.rebuilt.load(Ordering::Relaxed)
    }

    /// Whoever comes back with an id has long finished the handshake.
    pub(crate) fn rebuilt(&self) {
        self.rebuilt.store(true, Ordering::Relaxed);
        self.ready();
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(*self.lifecycle(), Lifecycle::Closed)
    }

    /// Notes that the client is there.
    pub fn touch(&self) {
        let used = Instant::now().duration_since(self.opened).as_millis();
        self.last_used
            .store(u64::try_from(used).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The session lives as long as its connection, however silent: whoever calls this ends it.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// When the client was last heard of.
    pub(crate) fn last_used(&self) -> Instant {
        self.opened + std::time::Duration::from_millis(self.last_used.load(Ordering::Relaxed))
    }

    /// Whether a request runs, a stream is open, or a connection holds the session.
    pub(crate) fn is_busy(&self) -> bool {
        self.held.load(Ordering::Relaxed)
            || !self.in_flight.is_empty()
            || self.streams.is_attached()
    }

    /// Ends the session: its requests are cancelled, its streams end, what others keep for it is freed.
    pub(crate) fn close(&self) {
        let before = std::mem::replace(&mut *self.lifecycle(), Lifecycle::Closed);
        if let Lifecycle::Ready {
            listening: Some(listening),
        } = before
        {
            listening.abort();
        }
        // Requests run under children of this token.
        self.scope().end();
        self.streams.end();
    }

    fn lifecycle(&self) -> MutexGuard<'_, Lifecycle> {
        self.lifecycle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// Requests that one session may have running.
const IN_FLIGHT: usize = 512;
/// Questions that one client may have before it.
const QUESTIONS: usize = 64;
/// Longest `clientInfo` that is kept, in bytes. Icons can make it long, and nothing depends on it.
const LONGEST_CLIENT_INFO: usize = 2048;
