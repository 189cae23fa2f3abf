//! isthmus: one MCP endpoint in front of a fleet of MCP servers.
//!
//! This crate puts the parts together: the command line, the runtimes, the order of stages, what is built from a config
//! and swapped on a reload, and the orderly end. Wire details live in the crates below.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod fleet;
mod listening;
mod log;
mod reload;
mod request_log;
mod runtimes;
mod server;
mod settings;
mod stack;
mod tls;
mod watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
