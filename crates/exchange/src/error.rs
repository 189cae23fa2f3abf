//! The one error type between the stages.
//!
//! Holds two texts: what the peer is told (it learns what it can act on) and the cause for our log. Only
//! `transport/respond.rs` turns a kind into JSON-RPC codes, HTTP status and headers.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isthmus_protocol::{JsonRpcError, RawJson};

use crate::BackendName;

/// Why a request failed.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

/// Boxed, so that a `Result` with it costs the good path nothing.
#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    fault: Fault,
    message: String,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Whose mistake an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Client,
    /// The backend's.
    Backend,
    /// Ours.
    Gateway,
    /// The configuration's.
    Operator,
}

/// What happened: a closed list, so that one table maps it to codes and statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not JSON.
    Malformed,
    /// Not a JSON-RPC message that may stand here.
    InvalidRequest,
    /// A header and the body disagree, or a required header is missing.
    HeaderMismatch,
    /// The request needs a capability that it did not declare: a `ClientCapabilities` object.
    MissingCapability(RawJson),
    /// A revision that is not served here.
    UnsupportedRevision {
        /// What was asked for.
        requested: String,
    },
    /// Nobody implements the method.
    MethodNotFound,
    /// Unknown tool, prompt, cursor or task, or wrong parameters. The envelope is fine.
    InvalidParams,
    /// A required key of `_meta` is missing or wrong: the envelope is incomplete.
    IncompleteEnvelope,
    /// No such resource.
    ResourceNotFound {
        /// The URI as the caller wrote it.
        uri: String,
    },
    /// The caller may do this with a credential that has these scopes, all of them.
    InsufficientScope {
        /// What it takes.
        scopes: Arc<[String]>,
    },
    /// The session is not known (any more).
    SessionUnknown,
    /// Asked too often.
    Limited {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too much is going on.
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The backend cannot be reached, or is not running.
    BackendUnavailable(BackendName),
    /// Somebody's time ran out.
    TimedOut(Option<BackendName>),
    /// What the caller refers to has ended: a park, an interaction.
    Expired,
    /// The backend said something that the protocol does not allow.
    BackendMisbehaved(BackendName),
    /// The backend wants to ask the client, and that cannot be done here.
    CannotAsk(BackendName),
    /// The backend answered with this JSON-RPC error.
    Answered {
        /// Which backend.
        backend: BackendName,
        /// What it said.
        error: JsonRpcError,
    },
    /// A defect of the gateway.
    Internal,
}

impl Error {
    /// An error with a sentence for the peer. The fault follows from the kind; see [`Error::with_fault`].
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let fault = match &kind {
            ErrorKind::BackendUnavailable(_)
            | ErrorKind::BackendMisbehaved(_)
            | ErrorKind::CannotAsk(_)
            | ErrorKind::TimedOut(_)
            | ErrorKind::Answered { .. } => Fault::Backend,
            ErrorKind::Internal | ErrorKind::Overloaded { .. } => Fault::Gateway,
            _ => Fault::Client,
        };
        Self(Box::new(Inner {
            kind,
            fault,
            message: message.into(),
            cause: None,
        }))
    }

    /// A defect of the gateway: the peer learns nothing but that.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, "internal error of the gateway").caused_by(cause)
    }

    /// Wrong parameters.
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParams, message)
    }

    /// A JSON-RPC error that a backend answered with.
    #[must_use]
    pub fn answered(backend: BackendName, error: JsonRpcError) -> Self {
        let message = error.message.clone();
        Self::new(ErrorKind::Answered { backend, error }, message)
    }

    /// A reply ended, or was read on after its end, without an outcome.
    #[must_use]
    pub(crate) fn reply_without_outcome() -> Self {
        Self::internal("a reply ended without an outcome")
    }

    /// The same error with its cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// The same error, of another kind: text, cause and fault stay.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with another fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.0.fault = fault;
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whose mistake it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    /// The sentence for the peer.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}
