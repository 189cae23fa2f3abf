//! Why a request got no response.

use std::error::Error as StdError;

use hyper_util::client::legacy;

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// No connection could be opened: nothing of the request was sent.
    #[error("cannot connect to `{authority}`: {}", innermost(.source))]
    Connect {
        /// Host and port.
        authority: String,
        /// What the connector said.
        source: legacy::Error,
    },
    /// The connection went away before the request was written: nothing of it was sent.
    #[error("the connection to `{authority}` closed before the request was sent")]
    Unsent {
        /// Host and port.
        authority: String,
        /// What the connection said.
        source: legacy::Error,
    },
    /// The connection broke after something was written. The other side may have acted on the request.
    #[error("the connection to `{authority}` broke: {}", innermost(.source))]
    Broken {
        /// Host and port.
        authority: String,
        /// What the connection said.
        source: legacy::Error,
    },
}

impl EgressError {
    pub(crate) fn new(authority: String, source: legacy::Error) -> Self {
        if source.is_connect() {
            Self::Connect { authority, source }
        } else if is_cancelled(&source) {
            Self::Unsent { authority, source }
        } else {
            Self::Broken { authority, source }
        }
    }

    /// Whether it is certain that nothing of the request reached the other side, so that it may be sent again.
    #[must_use]
    pub const fn never_left(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Unsent { .. })
    }
}

/// hyper calls a request cancelled only while it still lies in the connection's inbox.
fn is_cancelled(error: &legacy::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_canceled)
}

/// The cause at the bottom says what happened ("connection refused"); those above it only say where.
fn innermost(error: &legacy::Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
