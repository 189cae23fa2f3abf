//! Opaque tokens that we hand out and get back: cursors, session ids, request states, links.
//!
//! A token is sealed (encrypted and authenticated) for one purpose and one principal, so that its holder can neither
//! read nor change it, use it elsewhere, nor pass it on (S4, S21). Any replica with the same keys opens it; nothing is
//! remembered here. What a token means, and whether it has expired, is the caller's business.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod base64;
mod key_file;
mod keys;
mod token;

pub use key_file::KeyFileError;
pub use keys::{KeyId, KeyMaterial, NoKeys, SealKeys, random_id, warm_up};
pub use token::{Purpose, UnsealError};
