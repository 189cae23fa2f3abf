//! What the tests of the whole gateway are written with.

pub mod backend;
pub mod body;
pub mod child;
pub mod cli;
pub mod client;
pub mod examples;
pub mod gateway;
pub mod http;
pub mod inquiry;
pub mod live;
pub mod offering;
pub mod pipe;
pub mod resources_of;
pub mod rounds;
pub mod rust_sdk;
pub mod rust_sdk_server;
pub mod scene;
pub mod sse;

pub use backend::{Backend, Reaction};
pub use client::{Stateful, Stateless};
pub use gateway::Gateway;
pub use live::Live;
pub use rounds::Detached;

/// How long something expected may take, on a machine that does much else.
pub const fn patience() -> std::time::Duration {
    std::time::Duration::from_secs(20)
}

/// The four revisions that open with `initialize` and have Streamable HTTP, and the stateless one: a backend of each.
pub const BACKEND_REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// The revisions of clients with a session at the endpoint.
pub const STATEFUL_REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
