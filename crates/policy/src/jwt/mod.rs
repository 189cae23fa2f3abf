//! Tokens that an authorization server has signed (RFC 7519, RFC 9068).
//!
//! `token` says whether a token is good and whose it is; `issuer_keys` has the keys of an issuer at hand and fetches them
//! beside the traffic; `key_set` and `discovery` read what the issuer publishes; `seen` remembers good tokens for a
//! while. Signatures and encodings are jsonwebtoken's work.

mod discovery;
mod issuer_keys;
mod key_set;
mod seen;
mod token;

pub(crate) use issuer_keys::{IssuerKeys, Source};
pub(crate) use key_set::KeySet;
pub(crate) use token::JwtCheck;
pub use token::principal_of_claims;
