//! Which elicitations a backend has said to be done with, for a while.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isthmus_exchange::BackendName;
use tokio::sync::Notify;

use crate::traffic::exposed_elicitation_id;

/// The last ones, by the ids that others than the backend know them by.
#[derive(Debug, Default)]
pub(super) struct Completions {
    last: Mutex<VecDeque<String>>,
    changed: Notify,
}

impl Completions {
    /// One is done.
    pub(super) fn note(&self, exposed: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST {
            last.pop_front();
        }
        last.push_back(exposed.to_owned());
        drop(last);
        self.changed.notify_waiters();
    }

    /// Waits until all of these are done, for [`PATIENCE`] at most: a backend need not say so, and a user who agreed to
    /// open a page is not done with it (trap 22).
    pub(super) async fn wait_for(&self, backend: &BackendName, ids: &[String]) {
        let ids = ids.iter();
        let wanted: Vec<_> = ids.map(|id| exposed_elicitation_id(backend, id)).collect();
        let done = || {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().all(|id| last.contains(id))
        };
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if done() {
                    return;
                }
                changed.await;
            }
        };
        // Sent anew in either case: the backend knows whether it is satisfied.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }
}

const MOST: usize = 256;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_for_the_word_that_the_page_was_visited_and_not_for_ever() {
        let backend = BackendName::parse("b").unwrap();
        let completions = Completions::default();
        let ids = ["x".to_owned(), "y".to_owned()];
        completions.note(&exposed_elicitation_id(&backend, "x"));
        let begun = Instant::now();
        completions.wait_for(&backend, &ids).await;
        assert_eq!(begun.elapsed(), PATIENCE);
        let told = async {
            tokio::time::sleep(PATIENCE / 5).await;
            completions.note(&exposed_elicitation_id(&backend, "y"));
        };
        tokio::join!(completions.wait_for(&backend, &ids), told);
        assert_eq!(begun.elapsed(), PATIENCE + PATIENCE / 5);
        completions.wait_for(&backend, &ids).await;
        assert_eq!(begun.elapsed(), PATIENCE + PATIENCE / 5);
    }
}
