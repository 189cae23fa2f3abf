//! Why there is no token.

use http::StatusCode;
use isthmus_egress::FetchError;
use isthmus_exchange::{BackendName, Error, ErrorKind, Fault};

/// Why there is no token. What it says holds nothing secret: it may stand in a log, and a caller may see it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody answered.
    #[error("{what} cannot be fetched: {source}")]
    Fetch {
        /// Which document.
        what: &'static str,
        /// Why.
        source: FetchError,
    },
    /// The answer was no such document.
    #[error("{what} cannot be read (HTTP {status})")]
    Unreadable {
        /// Which document.
        what: &'static str,
        /// With which status it came.
        status: StatusCode,
    },
    /// No metadata, and nothing else that names an authorization server.
    #[error("it names no authorization server")]
    NoServer,
    /// RFC 9728 §3.3.
    #[error("its metadata is about another resource than `{expected}`")]
    OtherResource {
        /// What the metadata has to be about.
        expected: String,
    },
    /// The operator's authorization server is not the backend's.
    #[error("it does not trust the authorization server `{issuer}`, it names others")]
    OtherServers {
        /// The operator's.
        issuer: String,
    },
    /// RFC 8414 §3.3.
    #[error("the metadata found for the authorization server `{issuer}` is another issuer's")]
    OtherIssuer {
        /// Whose was wanted.
        issuer: String,
    },
    /// The authorization server said no.
    #[error("the authorization server refuses: {code}")]
    Refused {
        /// RFC 6749 §5.2, letters and `_` only.
        code: String,
        /// What it says beside that.
        #[source]
        described: Option<Described>,
        /// Whether the caller's token is what it does not like.
        of_caller: bool,
    },
    /// The token is of a kind that cannot be shown.
    #[error("the authorization server gave no bearer token")]
    NoBearer,
    /// The token is the caller's own.
    #[error(
        "the authorization server gave the caller's own token back, which is not for the backend"
    )]
    SameToken,
}

/// A server's own words, for the log only.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Described(pub(crate) String);

impl Trouble {
    /// The same as what a caller is told.
    pub(crate) fn with(self, backend: &BackendName) -> Error {
        let fault = match &self {
            Self::Fetch { .. } | Self::Unreadable { .. } => Fault::Backend,
            Self::Refused {
                of_caller: true, ..
            } => Fault::Client,
            _ => Fault::Operator,
        };
        let kind = ErrorKind::BackendUnavailable(backend.clone());
        let text = format!("there is no token for `{backend}`: {self}");
        Error::new(kind, text).caused_by(self).with_fault(fault)
    }
}
