//! Conversations over a pipe of JSON-RPC messages: stdio and HTTP+SSE of 2024-11-05.
//!
//! A [`Pipe`] carries whole messages; a link correlates them by ids of its own; a conversation speaks one era. Invariant:
//! whatever a backend sends, each call ends exactly once, a slow caller holds up nobody else, and nothing grows without
//! bound.

mod call;
mod complaints;
mod dispatch;
mod link;
mod listen;
mod opening;
mod pipe;
mod stateful;
mod stateless;

#[cfg(test)]
mod tests;

pub(crate) use opening::{DetectError, Detected, Opening, open_detecting};
pub(crate) use pipe::{OutgoingMessage, Pipe, PipeEnd, PipeEvent, PipeMaker};
pub(crate) use stateful::StatefulDuplex;
pub(crate) use stateless::StatelessDuplex;
