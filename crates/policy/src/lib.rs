//! What stands in a request's way.
//!
//! First who is calling: [`Authenticators`] makes of a config what `transport` asks before it reads a body; each method
//! (API keys, signed tokens, client certificates) has a module of its own and does not know the others. No cryptography
//! and no token parsing is written here: libraries do that. Credentials do not print and are not kept. Then what a caller
//! may see and use: [`compile_authorization`] makes of a config what its routes decide by. Neither knows the other.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api_keys;
mod authentication;
mod authorization;
mod certificate;
mod jwt;
mod verdict;

pub use api_keys::{KEY_PREFIX, NewKey, principal_of_key};
pub use authentication::{AuthenticationError, Authenticators, Door, Doors, check};
pub use authorization::{Authorizations, Rules, compile_authorization};
pub use jwt::principal_of_claims;
