//! What all wires share: from a message to a request of the core, and from the steps of its reply back to messages.
//!
//! *Stateless* callers describe each request and hear about it in the shape of 2026-07-28; *stateful* ones have a
//! session, and hear everything in the shape of the revision they negotiated. Nothing here knows which wire it is on.

pub(crate) mod asking;
pub(crate) mod call;
pub(crate) mod encode;
pub(crate) mod initialize;
pub(crate) mod listening;
pub(crate) mod notice;
pub(crate) mod pipe;
pub(crate) mod stateful;
pub(crate) mod stateless;
mod subject;
mod tasks;
