//! Counts what a backend does that it should not, and says so without flooding the log.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use isthmus_exchange::BackendName;

/// Complaints about one conversation.
#[derive(Debug)]
pub(super) struct Complaints {
    backend: BackendName,
    count: AtomicU64,
}

impl Complaints {
    /// None yet.
    pub(super) fn about(backend: BackendName) -> Self {
        Self {
            backend,
            count: AtomicU64::new(0),
        }
    }

    /// Logs the first few, then each one whose number is a power of two.
    pub(super) fn file(&self, what: impl fmt::Display) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count <= 8 || count.is_power_of_two() {
            tracing::warn!(backend = %self.backend, count, "the backend misbehaves: {what}");
        }
    }
}
