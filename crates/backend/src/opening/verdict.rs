//! What was found out about a backend's era, and until when it is believed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isthmus_config::EraSetting;
use tokio::time::Instant;

/// After this time the next conversation to open asks again.
const BELIEVED: Duration = Duration::from_secs(60 * 60);

/// How to speak to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// With a handshake.
    Stateful,
    /// Each request by itself.
    Stateless,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

/// A dated verdict, or a pin that is never questioned.
#[derive(Debug)]
pub(super) struct DatedVerdict {
    pinned: Option<Speech>,
    found: Mutex<Option<Found>>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    speech: Speech,
    evidence: &'static str,
    at: Instant,
}

impl DatedVerdict {
    /// Nothing is known yet, unless the operator says so.
    pub(super) fn new(setting: EraSetting) -> Self {
        Self::pinned(match setting {
            EraSetting::Auto => None,
            EraSetting::Stateful => Some(Speech::Stateful),
            EraSetting::Stateless => Some(Speech::Stateless),
        })
    }

    /// The verdict is `speech` whatever happens.
    pub(super) fn pinned(speech: Option<Speech>) -> Self {
        Self {
            pinned: speech,
            found: Mutex::default(),
        }
    }

    /// How to speak, if that is known and fresh.
    pub(super) fn speech(&self) -> Option<Speech> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.pinned.or_else(|| {
            found
                .filter(|found| found.at.elapsed() < BELIEVED)
                .map(|found| found.speech)
        })
    }

    /// Remembers what was found out.
    pub(super) fn found(&self, speech: Speech, evidence: &'static str) {
        let found = Found {
            speech,
            evidence,
            at: Instant::now(),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// Something contradicted the verdict: ask again next time.
    pub(super) fn doubt(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What it rests on, for people.
    pub(super) fn evidence(&self) -> &'static str {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.pinned, *found) {
            (Some(_), _) => "pinned by the config",
            (None, Some(found)) => found.evidence,
            (None, None) => "not found out yet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_verdict_is_believed_for_an_hour_and_dropped_when_contradicted() {
        let verdict = DatedVerdict::new(EraSetting::Auto);
        assert_eq!(verdict.speech(), None);
        verdict.found(Speech::Stateful, "refused server/discover");
        assert_eq!(verdict.speech(), Some(Speech::Stateful));
        assert_eq!(verdict.evidence(), "refused server/discover");
        tokio::time::advance(BELIEVED).await;
        assert_eq!(verdict.speech(), None);
        verdict.found(Speech::Stateless, "answered server/discover");
        verdict.doubt();
        assert_eq!(verdict.speech(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pin_is_never_questioned() {
        let verdict = DatedVerdict::new(EraSetting::Stateless);
        verdict.doubt();
        tokio::time::advance(2 * BELIEVED).await;
        assert_eq!(verdict.speech(), Some(Speech::Stateless));
    }
}
