//! One MCP server behind us, whatever its wire and era.
//!
//! [`Backend`] is the only thing other crates see. Inside, a pool decides which conversation serves which caller, an
//! opener finds out the era and opens conversations, and each wire turns the protocol into events and an outcome.
//! Knows nothing of clients but a caller's scope, and nothing of other backends.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod asking;
mod backend;
mod call_buffer;
mod calling;
mod capabilities;
mod conversation;
mod duplex;
mod greeting;
mod held;
mod listen_filter;
mod listing;
mod listing_session;
mod opening;
mod outcome;
mod parking;
mod pool;
mod questions;
mod relayed;
mod rounds;
#[cfg(test)]
mod scripted;
mod sse;
mod state;
mod stdio;
mod streamable_http;
mod tasks;
mod traffic;
mod url_elicitation;

pub use backend::{Backend, Shared};
pub use parking::Parking;
pub use state::{Audience, BackendNotice, BackendState, Verdict};
pub use stdio::guard_main;
pub use tasks::TaskNews;
