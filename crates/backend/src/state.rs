//! What a backend shows of itself to the router: its state, and what it says unasked.

use std::time::SystemTime;

use isthmus_exchange::{Notice, PeerFacts, PrincipalId, Scope, ScopeId};

/// Where a backend stands in its life.
#[derive(Debug, Clone)]
pub enum BackendState {
    /// Not heard of yet: starting, connecting, being probed.
    Starting,
    /// Answers.
    Ready(Verdict),
    /// Does not answer; tried again with backoff.
    Down {
        /// What was seen, for people.
        reason: String,
    },
    /// Crashed too often; not tried again until a reload or a long pause.
    Parked {
        /// What was seen, for people.
        reason: String,
    },
    /// Finishes what is in flight, takes nothing new.
    Draining,
}

/// What is known of a backend's era, and since when (digest E-4, E-10).
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What the backend said of itself.
    pub facts: PeerFacts,
    /// When it said so.
    pub at: SystemTime,
    /// How that was found out, for people: `pinned`, `server/discover answered`, ….
    pub evidence: &'static str,
}

/// Something a backend said unasked. URIs are native ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendNotice {
    /// Who may hear it.
    pub audience: Audience,
    /// What was said.
    pub notice: Notice,
}

/// Whom a notice concerns: the conversation it came from belongs to somebody (trap 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// The conversation is nobody's: a stateless backend's, the listing session's, or one declared shared.
    Everyone,
    /// The conversation belongs to one client session.
    Scope(ScopeId),
    /// The conversation belongs to a principal.
    Principal(PrincipalId),
}

impl Audience {
    /// Whether a listener in `scope` may hear it.
    #[must_use]
    pub fn includes(&self, scope: &Scope) -> bool {
        match self {
            Self::Everyone => true,
            Self::Scope(id) => *id == scope.id(),
            Self::Principal(id) => id == scope.principal_id(),
        }
    }
}

impl BackendState {
    /// Whether the backend may still become ready soon: a first list waits for such ones (design §6, cold start).
    #[must_use]
    pub const fn is_starting(&self) -> bool {
        matches!(self, Self::Starting)
    }

    /// What the backend said of itself, if it answers.
    #[must_use]
    pub const fn facts(&self) -> Option<&PeerFacts> {
        match self {
            Self::Ready(verdict) => Some(&verdict.facts),
            _ => None,
        }
    }
}
