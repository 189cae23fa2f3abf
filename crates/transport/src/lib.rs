//! Where MCP clients arrive: Streamable HTTP of every revision, HTTP+SSE of 2024-11-05, and stdio.
//!
//! Each message is classified by its body (E-5), turned into an `exchange::Request`, sent through the one stage of its
//! route, and answered in the revision of whoever asked. Sessions, ids, progress tokens, headers and status codes end
//! here. Knows nothing of backends: it is handed a `BoxStage` and, if callers are to be known, an `Authenticator`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod answer;
mod body;
mod connection;
mod cors;
mod documents;
mod entry;
mod expiry;
mod face;
mod forwarded;
mod http_sse;
mod listener;
mod peer;
mod principal_scopes;
mod respond;
mod rim;
mod stdio;
mod streamable_http;

pub use connection::serve_connection;
pub use face::{NoToolDefinitions, RouteFace, ToolDefinitions};
pub use listener::{Clients, ClientsSettings, Listener, Readiness};
pub use peer::Peer;
pub use respond::error_table;
pub use stdio::serve_stdio;
