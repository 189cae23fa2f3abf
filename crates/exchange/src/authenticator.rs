//! Credentials in, principal or challenge out.
//!
//! The one seam between `transport`, which has headers, certificates and HTTP, and `policy`, which knows whom they
//! belong to. What `transport` does: for every request to a route, before it reads the body, it asks the route's
//! [`Authenticator`] and answers a [`Challenge`] as it stands. It serves the authenticator's [`PublicDocument`]s to
//! anybody. It never looks into credentials itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use isthmus_protocol::RawJson;

use crate::{BoxFuture, Principal};

/// What a connection and its headers say about who is calling. Borrowed: nothing of it is kept.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The headers of the request.
    pub headers: &'a dyn HeaderFields,
    /// The client's certificate (DER), whose chain, times and key the listener has verified; `None` if it showed none.
    pub certificate: Option<&'a [u8]>,
    /// Where the connection comes from.
    pub address: Option<SocketAddr>,
}

/// The headers of one request.
pub trait HeaderFields: Send + Sync {
    /// The field called `name`, in lower case.
    fn field(&self, name: &str) -> Field<'_>;
}

/// What a request has under one header name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// Nothing.
    Absent,
    /// One value of visible ASCII, spaces and tabs.
    Text(&'a str),
    /// Several values, or one that is not text. Two readers could believe different ones, so nobody reads any.
    Unreadable,
}

/// Why nobody was let in, in terms of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// 400, 401, 403, or 503 if it cannot be known now who is calling.
    pub status: u16,
    /// The `WWW-Authenticate` headers, one per scheme. They hold only what a header may hold.
    pub headers: Vec<String>,
    /// When to try again, with 503.
    pub retry_after: Option<Duration>,
    /// One sentence for the caller. Says nothing that helps to guess a credential.
    pub message: String,
}

/// A document that anybody may read without credentials, such as a protected resource's metadata (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicDocument {
    /// Where it stands on every listener of the route, such as `/.well-known/oauth-protected-resource/mcp`.
    pub path: String,
    /// The host, and port if it is not the scheme's own, by which clients know the route. Where documents of several
    /// routes stand at one path, the one of the host that the request names is meant, else the first.
    pub authority: String,
    /// The document, an object.
    pub content: RawJson,
}

/// Asked by `transport` before a body is read, since it needs headers and certificates and answers with HTTP.
pub trait Authenticator: Send + Sync + fmt::Debug {
    /// Who is calling.
    ///
    /// # Errors
    ///
    /// The challenge to answer with.
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Principal, Challenge>>;

    /// What a known caller is told who needs `scopes` for what it asks: a step-up (design §7). These are all scopes of
    /// the operation, whether the caller has some of them or not.
    fn insufficient_scope(&self, scopes: &[String]) -> Challenge {
        Challenge {
            status: 403,
            headers: Vec::new(),
            retry_after: None,
            message: format!("this needs the scopes `{}`", scopes.join(" ")),
        }
    }

    /// What is to be served to everybody.
    fn documents(&self) -> &[PublicDocument] {
        &[]
    }
}

/// An authenticator shared by all connections.
pub type BoxAuthenticator = Arc<dyn Authenticator>;

/// Credentials do not print.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate.is_some())
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The value does not print.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Text(_) => "Text(…)",
            Self::Unreadable => "Unreadable",
        })
    }
}
