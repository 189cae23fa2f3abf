//! Outcomes of calls that have ended, for retries that come late or twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// How many outcomes are kept, and how many bytes of them. The oldest go first.
#[derive(Debug, Clone)]
pub(super) struct Keeping(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_bytes: usize,
    kept: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    oldest_first: VecDeque<Item>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Item {
    number: u64,
    bytes: usize,
    evicted: CancellationToken,
}

/// One outcome that is kept until this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    keeping: Keeping,
    number: u64,
    evicted: CancellationToken,
}

impl Keeping {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            most_bytes,
            kept: Mutex::default(),
        }))
    }

    /// Room for one of so many bytes; older ones make room. `None` if it is too large by itself.
    pub(super) fn keep(&self, bytes: usize) -> Option<Kept> {
        if bytes > self.0.most_bytes {
            return None;
        }
        let mut all = self.all();
        all.bytes += bytes;
        while all.bytes > self.0.most_bytes || all.oldest_first.len() >= self.0.most {
            let Some(oldest) = all.oldest_first.pop_front() else {
                break;
            };
            all.bytes -= oldest.bytes;
            oldest.evicted.cancel();
        }
        let number = all.next;
        all.next += 1;
        let evicted = CancellationToken::new();
        all.oldest_first.push_back(Item {
            number,
            bytes,
            evicted: evicted.clone(),
        });
        Some(Kept {
            keeping: self.clone(),
            number,
            evicted,
        })
    }

    /// How many are kept, and their bytes.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let all = self.all();
        (all.oldest_first.len(), all.bytes)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Fires when it had to make room.
    pub(super) const fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut all = self.keeping.all();
        // Numbers grow from front to back.
        let found = all
            .oldest_first
            .binary_search_by_key(&self.number, |item| item.number);
        if let Ok(at) = found
            && let Some(item) = all.oldest_first.remove(at)
        {
            all.bytes -= item.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let keeping = Keeping::new(3, 100);
        let first = keeping.keep(60).unwrap();
        let second = keeping.keep(40).unwrap();
        assert!(!first.evicted().is_cancelled());
        let third = keeping.keep(10).unwrap();
        assert!(first.evicted().is_cancelled() && !second.evicted().is_cancelled());
        assert!(keeping.keep(101).is_none());
        drop(first);
        assert_eq!(keeping.count(), (2, 50));
        let more: Vec<_> = (0..2).filter_map(|_| keeping.keep(1)).collect();
        assert!(second.evicted().is_cancelled() && !third.evicted().is_cancelled());
        drop((second, third, more));
        assert_eq!(keeping.count(), (0, 0));
    }
}
