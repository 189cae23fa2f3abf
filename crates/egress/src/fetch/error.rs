//! Why a document could not be fetched.

use std::io;
use std::time::Duration;

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// `http` where `https` is needed, or another scheme.
    #[error("only `https` is fetched, or `http` from this machine if the operator says so")]
    NotHttps,
    /// No host, a port that is none, or a user in it.
    #[error("the URL names no host and port")]
    NoHost,
    /// The name could not be looked up.
    #[error("cannot look up `{host}`: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The name leads to addresses that only this machine or its network can reach.
    #[error("`{host}` has no public address, and the operator did not name it")]
    Forbidden {
        /// The host as the URL names it.
        host: String,
    },
    /// No connection could be opened, or it broke.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// What came was not HTTP, or the connection broke on the way.
    #[error("the exchange failed: {0}")]
    Http(#[from] hyper::Error),
    /// The body is longer than allowed.
    #[error("the document is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A redirect leads nowhere.
    #[error("a redirect leads nowhere")]
    BadRedirect,
    /// Redirects go on and on.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The limit.
        limit: usize,
    },
    /// It took too long.
    #[error("it took longer than {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
}
