//! What was decided before.
//!
//! By credential and item, so that a caller with other scopes or claims is asked about anew. Bounded: of very many
//! credentials those that were not seen for longest are forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use isthmus_exchange::{CredentialId, ItemId};

use super::inputs::OfCredential;

/// What was decided on one route.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    credentials: RwLock<HashMap<CredentialId, Arc<Known>>>,
    /// How much is remembered of all items together. May be a little off while two things happen at once.
    entries: AtomicUsize,
    /// Counts up with every use.
    now: AtomicU64,
}

/// What is known of one credential.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What decisions about it are made from.
    pub(super) inputs: OfCredential,
    outcomes: RwLock<HashMap<ItemId, u32>>,
    last_use: AtomicU64,
}

impl Remembered {
    /// What is known of a credential.
    pub(super) fn credential(&self, id: CredentialId) -> Arc<Known> {
        let known = self.credentials.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&id) {
            known.touch(&self.now);
            return known.clone();
        }
        drop(known);
        let all = self.credentials.write();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_CREDENTIALS {
            self.forget_half(&mut all);
        }
        let known = all.entry(id).or_default();
        known.touch(&self.now);
        known.clone()
    }

    /// What was decided about an item, or what `decide` says.
    pub(super) fn outcome(&self, known: &Known, item: ItemId, decide: impl FnOnce() -> u32) -> u32 {
        let outcomes = known.outcomes.read();
        let outcomes = outcomes.unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = outcomes.get(&item) {
            return *outcome;
        }
        drop(outcomes);
        let outcome = decide();
        let outcomes = known.outcomes.write();
        let mut outcomes = outcomes.unwrap_or_else(PoisonError::into_inner);
        // Items that are no longer there leave theirs behind.
        if outcomes.len() >= MOST_OF_ONE {
            self.entries.fetch_sub(outcomes.len(), Ordering::Relaxed);
            outcomes.clear();
        }
        outcomes.insert(item, outcome);
        drop(outcomes);
        if self.entries.fetch_add(1, Ordering::Relaxed) >= MOST_ENTRIES {
            let all = self.credentials.write();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            self.forget_half(&mut all);
        }
        outcome
    }

    /// Forgets the half of the credentials that were not used for longest.
    fn forget_half(&self, all: &mut HashMap<CredentialId, Arc<Known>>) {
        let mut uses: Vec<u64> = all.values().map(|known| known.last_use()).collect();
        uses.sort_unstable();
        let middle = uses.get(uses.len() / 2).copied().unwrap_or_default();
        all.retain(|_, known| known.last_use() > middle);
        let left = all.values().map(|known| known.len()).sum();
        self.entries.store(left, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn credentials(&self) -> usize {
        self.credentials.read().unwrap().len()
    }
}

impl Known {
    fn touch(&self, now: &AtomicU64) {
        let now = now.fetch_add(1, Ordering::Relaxed) + 1;
        self.last_use.store(now, Ordering::Relaxed);
    }

    fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    fn len(&self) -> usize {
        let outcomes = self.outcomes.read();
        outcomes.unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Credentials of one route; a refreshed token is another.
pub(super) const MOST_CREDENTIALS: usize = 4_096;
/// Items of one credential: more than a route can show.
const MOST_OF_ONE: usize = 131_072;
/// Items of all credentials: some tens of megabytes.
const MOST_ENTRIES: usize = 1 << 20;
