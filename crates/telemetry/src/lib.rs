//! What the gateway writes down of itself, besides its log: so far the audit log.
//!
//! Knows requests and replies, and nothing of routes, backends or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
