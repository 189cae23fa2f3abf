//! What a method says of a request.

use std::time::Duration;

use isthmus_exchange::Principal;

/// What a method says of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The request has nothing that this method takes: the next one is asked.
    NotMine,
    /// It is known who calls.
    Known(Principal),
    /// The credential is this method's, and it is not good.
    Refused(Refusal),
}

/// Why a credential does not let its bearer in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be read.
    Malformed(&'static str),
    /// It is not, or not any more, what it should be.
    Invalid(&'static str),
    /// Nobody can say now.
    Unavailable {
        /// Why.
        message: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
}

impl Verdict {
    pub(crate) const fn invalid(why: &'static str) -> Self {
        Self::Refused(Refusal::Invalid(why))
    }
}
