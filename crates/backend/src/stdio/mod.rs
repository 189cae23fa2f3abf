//! Children: programs that the gateway starts, speaks to over stdin and stdout, watches and ends.
//!
//! A child is started under a guard, a second process of our own binary, which sees to it that no descendant outlives
//! the child or the gateway. What the child speaks is `duplex`'s business; who may share it is the pool's. Invariant:
//! each line, queue and wait is bounded, and no process is left behind.

mod child;
mod companion;
#[cfg(target_os = "linux")]
mod guard;
mod line_writer;
mod lines;
mod open;
mod piped;
#[cfg(target_os = "linux")]
mod processes;
mod program;
mod restart;
mod stderr;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub(crate) use child::ChildSettings;
pub(crate) use companion::{Companion, CompanionState};
#[cfg(target_os = "linux")]
pub use guard::guard_main;
pub(crate) use open::open;
pub(crate) use restart::{Phase, Supervisor, chance};

/// There is no guard on this system: children run in a process group of their own instead.
#[cfg(not(target_os = "linux"))]
pub fn guard_main(
    _arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
