//! What we show to backends.
//!
//! [`Credentials`] belong to one backend. For each *holder*, the operator or one caller, they have a [`Pass`], which says what
//! to show with a request and what to do when it is refused. Tokens come from a source, are fetched once however many
//! requests wait for them, and are renewed before they end. What a caller shows to the gateway goes nowhere but to the
//! authorization server that exchanges it. Knows nothing of what a request asks for.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod challenge;
mod check;
mod client;
mod client_credentials;
mod credentials;
mod discovery;
mod form;
mod holder;
mod login;
mod pass;
mod resource;
mod source;
mod store;
mod token_endpoint;
mod token_exchange;
mod tokens;
mod trouble;

pub use check::check;
pub use credentials::{Credentials, Shared};
pub use holder::Holder;
pub use login::{Begun, LoggedIn, Login, LoginError, Logins, client_document};
pub use pass::{Pass, Shown, Verdict};
pub use store::{GrantStore, StoreError};
