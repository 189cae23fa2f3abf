//! The whole gateway as its users meet it: the real binary, real sockets, scripted peers that hide nothing.
//!
//! One file per behaviour; what they are written with is in `support`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, tasks end with its runtime, bodies are its own"
)]

mod apps;
mod audit;
mod authentication;
mod authorization;
mod bad_input;
mod cli;
mod cli_items;
mod cold_start;
mod credentials;
mod edge;
mod every_cell;
mod fidelity;
mod healing;
mod http_sse;
mod input_required;
mod isolation;
mod lists;
mod login;
mod names;
mod official_rust_sdk;
mod old_backends;
mod pages;
mod questions;
mod reload;
mod resources;
mod sessions;
mod stdio_face;
mod supervision;
mod support;
mod tasks;
mod tls;
mod watching;
