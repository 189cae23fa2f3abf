//! One open conversation with a backend, whatever its wire and era.
//!
//! Four kinds exist: stateful and stateless, each over a duplex pipe (stdio, HTTP+SSE) and over Streamable HTTP.
//! A conversation mints its own ids and progress tokens, speaks its own revision, and turns what comes back into the
//! shape of the core. It knows nothing of clients: who may share it is the pool's business.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use isthmus_exchange::{
    BoxFuture, Error, ItemKind, LogRecord, PeerFacts, Reply, ScopeId, TraceContext, Wants,
};
use isthmus_protocol::{Method, RawJson};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// One open conversation with a backend in its era.
pub(crate) trait Conversation: Send + Sync + fmt::Debug {
    /// What the backend said of itself when the conversation opened.
    fn facts(&self) -> &PeerFacts;

    /// Sends one request. The future resolves once the backend has begun to answer (or has answered).
    ///
    /// Dropping the future or the reply cancels the request at the backend in the era's way: a stateful or piped
    /// stateless one is sent `notifications/cancelled` with its own id, a stateless HTTP stream is closed.
    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>>;

    /// Follows traffic that belongs to no request. A receiver that lags loses the oldest and is told so.
    fn notices(&self) -> broadcast::Receiver<PeerNotice>;

    /// Replaces what the conversation is asked to announce through [`Conversation::notices`]; resolves with the honoured
    /// part.
    ///
    /// Stateless: opens a new listen with the whole filter, awaits its acknowledgement, then closes the one before
    /// (digest §3.2); list kinds that the backend does not declare are left out. Stateful: list changes come by
    /// themselves; a URI that is new is subscribed, one that is gone is unsubscribed, one that is refused is not in the
    /// honoured part. Calls are serialised inside the conversation.
    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>>;

    /// Tells a stateful backend that the roots of its client have changed; nothing to a stateless one.
    fn roots_changed(self: Arc<Self>) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether list changes and resource updates reach us through [`Conversation::notices`]: a GET stream is open, or
    /// the pipe carries them. `false` for a server that answered 405 to GET.
    fn hears(&self) -> bool;

    /// The same once it is known: a stream takes a moment to open.
    fn hears_soon(self: Arc<Self>) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(self.hears()))
    }

    /// Fires when the conversation can no longer be used: the child died, the session ended, the stream broke.
    fn closed(&self) -> CancellationToken;

    /// Ends the conversation in an orderly way: DELETE, or the shutdown sequence of a pipe.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// One request on its way to a backend: native names, no hop members.
///
/// A conversation gives it as much time as it takes: whoever waits for the answer knows when to stop.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// What is asked.
    pub(crate) method: Method,
    /// The parameters, always an object.
    pub(crate) params: RawJson,
    /// What the caller wants to hear.
    pub(crate) wants: Wants,
    /// The caller's trace context.
    pub(crate) trace: TraceContext,
    /// The capabilities that may be declared for this request (stateless eras); an object.
    pub(crate) capabilities: RawJson,
    /// The native definition of the tool that is called: `Mcp-Param` headers come from its schema (MC-2).
    pub(crate) tool: Option<RawJson>,
    /// Who can be asked while the request runs; nobody if `None`.
    pub(crate) asker: Option<Asker>,
}

/// Whom a backend's questions go to while a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The life that the caller belongs to.
    pub(crate) scope: ScopeId,
    /// The caller is asked in place; otherwise the call is parked, and each is on its own.
    pub(crate) live: bool,
}

impl Outgoing {
    /// A request of the gateway's own: nobody waits for its events.
    pub(crate) fn plain(method: Method, params: RawJson) -> Self {
        Self {
            method,
            params,
            wants: Wants::default(),
            trace: TraceContext::default(),
            capabilities: RawJson::empty_object(),
            tool: None,
            asker: None,
        }
    }
}

/// What a conversation is asked to announce. URIs are native ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Changes of the lists of tools, prompts and resources.
    pub(crate) lists: bool,
    /// Updates of these resources.
    pub(crate) uris: BTreeSet<String>,
}

/// Something a backend said that belongs to no request. URIs are native ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerNotice {
    /// The list of items of a kind changed.
    ListChanged(ItemKind),
    /// A resource changed.
    ResourceUpdated {
        /// Its URI.
        uri: String,
        /// The whole `params` object.
        params: RawJson,
    },
    /// A log message outside any request.
    Log(LogRecord),
    /// What a user was sent to a URL for is done.
    ElicitationComplete {
        /// What [`crate::traffic::exposed_elicitation_id`] makes of the backend's id.
        id: String,
    },
    /// A task has come further.
    Task {
        /// The backend's own id of it.
        id: String,
        /// The task in the words of the extension.
        task: RawJson,
    },
}
