//! Leads requests to the backends behind a route, and tells clients when what is there changes.
//!
//! Owns the live catalog: per backend a keeper that knows what it offers, per route the catalog built from that. Lists are
//! answered from the catalog, calls go to the one backend they belong to, listens hear all of them. Knows nothing of HTTP
//! and nothing of eras.
//!
//! Invariant: one backend that hangs, dies or floods costs other backends' callers nothing.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod announcing;
mod any_backend;
mod calls;
mod exposed_uri;
mod gate;
mod keeper;
mod links;
mod listen;
mod listener;
mod lists;
mod live_backend;
mod live_route;
mod questions;
mod request_state;
mod resolve;
mod router;
mod routes_of;
mod scope_end;
mod status;
mod subscriptions;
mod tasks;
mod waiting;
mod watching;

pub use any_backend::AnyBackend;
pub use router::{Reloaded, Router};
pub use status::{BackendStatus, RouteStatus, Status};
