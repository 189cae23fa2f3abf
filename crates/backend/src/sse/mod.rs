//! HTTP+SSE of 2024-11-05 towards a backend (1105:basic/transports).
//!
//! Makes a pipe: messages come on one GET stream and go by POST to the address that the stream's first event names. The
//! stream is the session, so its loss ends the pipe. Correlation is the duplex conversation's business.

mod address;
mod connect;

#[cfg(test)]
mod tests;

pub(crate) use connect::{connect, is_offered};
