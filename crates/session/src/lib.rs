//! What a stateful client has open: sessions, their streams, and their requests in flight.
//!
//! A session is what revisions up to 2025-11-25 know between `initialize` and DELETE. It belongs to one principal and
//! one route. It owns the calls that it started (they outlive the connection that brought them, LS-8), the messages that
//! wait for a stream (each goes out on exactly one, LS-7), the questions that its client has not answered yet, and what a
//! broken stream may ask for again (LS-10).
//!
//! Knows nothing of HTTP: what travels here are whole JSON-RPC messages.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod event_log;
mod in_flight;
mod questions;
mod replay_budget;
mod session;
mod session_id;
mod streams;
mod table;

pub use event_log::{EventLog, EventReader, StoredEvent};
pub use in_flight::{InFlight, NotStarted, RunningCall};
pub use questions::{OpenQuestion, Questions, TooManyQuestions};
pub use session::{NewSession, Session};
pub use streams::{EventId, InvalidEventId, Streams, TooManyStreams};
pub use table::{OpenError, SessionLimits, SessionTable};
