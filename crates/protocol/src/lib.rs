//! The Model Context Protocol as types, for a program that stands between two peers.
//!
//! Parses what a hop must read (the envelope, the few members that route) and leaves everything else as the raw JSON
//! text it arrived as. Knows every published revision. Does no I/O, keeps no state, knows no settings.
//!
//! Invariant: a byte that this crate was not asked to change leaves as it came.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::needless_pass_by_value))]

pub mod convert;
mod era;
mod error;
pub mod headers;
mod id;
pub mod listing;
mod log_level;
pub mod message;
mod method;
pub mod object;
pub mod params;
mod raw_json;
pub mod result;
mod scan;
mod server_capabilities;
pub mod sse;
pub mod tasks;
mod uri_template;
pub mod visit;

pub use era::{Era, Revision, UnknownRevision};
pub use error::{JsonRpcError, code};
pub use id::Id;
pub use log_level::{LogLevel, UnknownLogLevel};
pub use message::{
    Incoming, Message, MessageError, MessageErrorKind, parse_incoming, parse_message,
};
pub use method::Method;
pub use raw_json::RawJson;
pub use scan::{InvalidJson, MAX_DEPTH};
pub use server_capabilities::{ListCapability, ServerCapabilities};
pub use uri_template::{InvalidTemplate, UriTemplate};
