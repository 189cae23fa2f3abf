//! Why a login came to nothing.

use crate::store::StoreError;
use crate::token_endpoint::Asked;
use crate::trouble::Trouble;

/// Why a login came to nothing. For the person who logs in: nothing secret is in it, and nothing that an impostor wrote.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The backend or the authorization server, or the way to them.
    #[error(transparent)]
    Server(Box<dyn std::error::Error + Send + Sync>),
    /// RFC 7636 is not supported, as far as the server says.
    #[error(
        "the authorization server `{issuer}` does not say that it supports PKCE with S256, so nobody could tell a stolen code from a good one"
    )]
    NoPkce {
        /// The server.
        issuer: String,
    },
    /// It cannot be logged in to.
    #[error(
        "the authorization server `{issuer}` names no page to log in at that a browser may be sent to"
    )]
    NoPage {
        /// The server.
        issuer: String,
    },
    /// There is no way to become a client.
    #[error(
        "the authorization server `{issuer}` registers no clients by itself: register one there with the redirect URI `{redirect}`, and set `client_id` and `issuer` of the login"
    )]
    NoRegistration {
        /// The server.
        issuer: String,
        /// Where it is to send the browser.
        redirect: String,
    },
    /// The server does not want this client.
    #[error(
        "the authorization server `{issuer}` does not register the gateway ({code}): register a client there with the redirect URI `{redirect}`, and set `client_id` and `issuer` of the login"
    )]
    NotRegistered {
        /// The server.
        issuer: String,
        /// Its reason, letters and `_` only.
        code: String,
        /// Where it was to send the browser.
        redirect: String,
    },
    /// What the browser brought back cannot be read, or lacks something.
    #[error("what the browser brought back is not an answer to a login")]
    Unreadable,
    /// It answers another login.
    #[error("what the browser brought back answers another login")]
    OtherState,
    /// RFC 9207: somebody else answered.
    #[error("the answer does not come from `{issuer}`, where the login began; it was thrown away")]
    OtherIssuer {
        /// Where the login began.
        issuer: String,
    },
    /// The server or the person said no.
    #[error("`{issuer}` did not agree: {code}{}", description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Denied {
        /// The server.
        issuer: String,
        /// RFC 6749 §4.1.2.1, letters and `_` only.
        code: String,
        /// What it says beside that.
        description: Option<String>,
    },
    /// The grant cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness, no key.
    #[error(transparent)]
    Defect(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Trouble> for LoginError {
    fn from(trouble: Trouble) -> Self {
        Self::Server(Box::new(trouble))
    }
}

impl From<Asked> for LoginError {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Trouble(trouble) => trouble.into(),
            Asked::Defect(error) => Self::Defect(Box::new(error)),
        }
    }
}
