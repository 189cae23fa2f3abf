//! Where a request goes on that was answered with `input_required`, or with a task.

use std::fmt;

use isthmus_protocol::RawJson;

/// What ties a retry to the request before it (26:basic/patterns/mrtr).
///
/// Between a client's rim and the router it is always [`Continuation::Opaque`]: the router seals whatever a backend gave
/// before a client sees it, and opens it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// Text that only its author reads: above the router our sealed token, below it the backend's own `requestState`.
    Opaque(String),
    /// A call to a stateful backend waits for these answers in this process (digest §3.5).
    Parked {
        /// Which one.
        park: ParkId,
        /// How often its caller was asked, this time included; the first round is 1.
        round: u32,
    },
    /// Nothing waits: the call is sent anew once the user has been at these elicitations' URLs (`-32042`).
    Restart {
        /// The backend's own elicitation ids.
        elicitations: Vec<String>,
    },
}

/// Names a parked call. Random, so that it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParkId(pub u128);

impl fmt::Debug for ParkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The task that a backend made of a request instead of answering it (SEP-2663; 2025-11-25 core tasks).
#[derive(Debug, Clone)]
pub struct CreatedTask {
    /// The task in the flat shape of the extension: `taskId`, `status`, `ttlMs`, … without `resultType`. The id is the
    /// backend's own below the router and ours above it.
    pub task: RawJson,
}
