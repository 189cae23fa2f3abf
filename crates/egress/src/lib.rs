//! The only code that opens outbound HTTP: requests to backends by [`Client`], documents that somebody has named by
//! [`Fetcher`].
//!
//! One [`Client`] is shared by the whole program. Inside it has one connection pool per runtime (design §12): a pooled
//! connection is always driven by the runtime that made it, so a request never waits for another core. Threads say
//! which pool is theirs by [`enter_slot`].
//!
//! Invariants: redirects are not followed by [`Client`], and by [`Fetcher`] only to where it may go; a request is sent again
//! by itself only if nothing of it was written; roots are those of the platform unless [`TlsSettings`] say otherwise. Timeouts for answers, limits for bodies and credentials are left to callers.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod connector;
mod error;
mod fetch;
mod loopback;
mod slot;
mod tls;

pub use client::{Client, ClientSettings};
pub use error::EgressError;
pub use fetch::{FetchError, FetchLimits, Fetched, Fetcher, NamedBy};
pub use slot::enter_slot;
pub use tls::{TlsSettings, UnusableTls};

/// What a request carries: a body that is known in full before it is sent.
pub type RequestBody = http_body_util::Full<bytes::Bytes>;
/// What a response carries: a body that is still arriving.
pub type ResponseBody = hyper::body::Incoming;
