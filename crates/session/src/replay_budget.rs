//! How much may be kept for streams that break: per session and in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One session's account with the gateway's budget.
#[derive(Debug)]
pub(crate) struct ReplayBudget {
    kept: AtomicUsize,
    limit: usize,
    total: Arc<AtomicUsize>,
    total_limit: usize,
}

impl ReplayBudget {
    pub(crate) const fn new(limit: usize, total: Arc<AtomicUsize>, total_limit: usize) -> Self {
        Self {
            kept: AtomicUsize::new(0),
            limit,
            total,
            total_limit,
        }
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.kept() > self.limit || self.is_total_exceeded()
    }

    pub(crate) fn is_total_exceeded(&self) -> bool {
        self.total.load(Ordering::Relaxed) > self.total_limit
    }

    /// Whether less than half of the session's share is left: time to let go of what is least likely to be asked for.
    pub(crate) fn is_tight(&self) -> bool {
        self.kept() > self.limit / 2 || self.is_exceeded()
    }
}
