//! What becomes known of a request on its way.

use std::sync::OnceLock;

use crate::{Target, Verdict};

/// Left behind by the stages a request meets, for the one that writes down what became of it. What was found out first
/// counts.
#[derive(Debug, Default)]
pub struct Trail {
    target: OnceLock<Target>,
    verdict: OnceLock<Verdict>,
}

impl Trail {
    /// The request goes there.
    pub fn led_to(&self, target: &Target) {
        // A second one would be a retry of the same.
        let _ = self.target.set(target.clone());
    }

    /// This was decided about it.
    pub fn decided(&self, verdict: &Verdict) {
        let _ = self.verdict.set(verdict.clone());
    }

    /// Where it went, if it came so far.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.get()
    }

    /// What was decided, if anybody had to decide.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.get()
    }
}
