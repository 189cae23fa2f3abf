//! Credentials in, principal or challenge out.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{BoxFuture, Principal};

/// What a connection and its headers say about who is calling. Borrowed: nothing of it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The `Authorization` header, if it is visible ASCII.
    pub authorization: Option<&'a str>,
    /// Where the connection comes from.
    pub address: Option<SocketAddr>,
}

/// Why nobody was let in, in terms of HTTP's challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// 401 or 403.
    pub status: u16,
    /// The `WWW-Authenticate` header.
    pub header: Option<String>,
    /// One sentence for the caller.
    pub message: String,
}

/// Asked by `transport` before a body is read, since it needs headers and certificates and answers with HTTP.
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    /// Who is calling.
    ///
    /// # Errors
    ///
    /// The challenge to answer with.
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Principal, Challenge>>;
}

/// An authenticator shared by all connections.
pub type BoxAuthenticator = Arc<dyn Authenticator>;
