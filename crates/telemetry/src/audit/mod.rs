//! One line of JSON for every request: who asked for what, where it went, what was decided, how it ended.
//!
//! A place for the line is taken before the request goes on, so that a request whose line could not be written can be
//! held up, refused, or let go on and counted, as the operator wants it. The line is written when the outcome is known,
//! or nobody waits for it any more, by a thread of its own.

mod layer;
mod line;
mod log;
mod writer;

pub use layer::{AuditLayer, Audited};
pub use line::{Refusal, arguments_of};
pub use log::AuditLog;
