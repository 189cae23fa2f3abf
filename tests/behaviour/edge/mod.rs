//! Attacks on the edge: what is on the wire is not what it seems, or says more than it may.

mod framing;
mod headers;
mod injection;
mod paths;
mod proxies;
mod seal_keys;
mod sizes;
pub mod wire;
