//! What limits everything that comes from the network.

use std::time::Duration;

/// Upper bounds of the whole gateway (design §11). None is zero. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// A request or response body.
    pub body: usize,
    /// A line of a stdio peer.
    pub line: usize,
    /// An event of an event stream.
    pub event: usize,
    /// The header block of a request or response.
    pub header_block: usize,
    /// Nesting of JSON.
    pub json_depth: usize,
    /// Messages in one batch (2025-03-26).
    pub batch: usize,
    /// Open connections of clients, all listeners together.
    pub connections: usize,
    /// How long a client may take to send the head, and then the body, of a request.
    pub request_read: Duration,
    /// Sessions of stateful clients.
    pub sessions: usize,
    /// Sessions of one principal.
    pub sessions_per_principal: usize,
    /// After which idle time a session ends.
    pub session_idle: Duration,
    /// Streams that one session has open at a time.
    pub streams_per_session: usize,
    /// What one session keeps for resumption.
    pub replay_per_session: usize,
    /// What all sessions together keep for resumption.
    pub replay_total: usize,
    /// Calls of stateless clients that wait for an answer of their user.
    pub parks: usize,
    /// Calls of one principal that wait for an answer.
    pub parks_per_principal: usize,
    /// How long such a call waits for its client to come back.
    pub park_lifetime: Duration,
    /// How long a stateful client may take to answer one question.
    pub answer: Duration,
    /// How often a stateless backend may ask in the course of one call of a stateful client.
    pub rounds: u32,
    /// How often a comment keeps a silent event stream alive.
    pub keep_alive: Duration,
    /// How long a shutdown waits for what is in flight.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            line: 16 << 20,
            event: 16 << 20,
            header_block: 64 << 10,
            json_depth: 128,
            batch: 100,
            connections: 20_000,
            request_read: Duration::from_secs(30),
            sessions: 10_000,
            sessions_per_principal: 100,
            session_idle: Duration::from_secs(60 * 60),
            streams_per_session: 8,
            replay_per_session: 1 << 20,
            replay_total: 256 << 20,
            parks: 10_000,
            parks_per_principal: 100,
            park_lifetime: Duration::from_secs(15 * 60),
            answer: Duration::from_secs(10 * 60),
            rounds: 10,
            keep_alive: Duration::from_secs(15),
            drain: Duration::from_secs(30),
        }
    }
}
