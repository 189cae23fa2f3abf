//! How many calls of a backend run at a time, and how many wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use isthmus_exchange::{BackendName, Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets calls in, up to a bound, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    /// Calls that may run.
    limit: usize,
    waiting: AtomicUsize,
    /// Calls that may wait.
    queue: usize,
}

impl Admission {
    /// Lets `limit` calls run and `queue` more wait.
    pub(crate) fn new(limit: usize, queue: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limit)),
            limit,
            waiting: AtomicUsize::new(0),
            queue,
        }
    }

    /// A place among the calls that run, at once or after waiting for one. Dropping it frees the place.
    ///
    /// # Errors
    ///
    /// `Overloaded` when too many wait already, `BackendUnavailable` once [`Admission::close`] was called.
    pub(crate) async fn admit(&self, backend: &BackendName) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = self.running.clone().try_acquire_owned() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let message = format!("too many calls are waiting for `{backend}`");
            return Err(Error::new(
                ErrorKind::Overloaded {
                    retry_after: RETRY_AFTER,
                },
                message,
            ));
        }
        let _waiting = Waiting(&self.waiting);
        self.running.clone().acquire_owned().await.map_err(|_| {
            let message = format!("`{backend}` is being removed");
            Error::new(ErrorKind::BackendUnavailable(backend.clone()), message)
        })
    }

    /// How many calls run.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.limit - self.running.available_permits()
    }

    /// Waits until no call runs, for `patience` at most, and refuses everything from then on.
    pub(crate) async fn close(&self, patience: Duration) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let finished = tokio::time::timeout(patience, self.running.acquire_many(all)).await;
        self.running.close();
        drop(finished);
    }
}

/// Counts a waiting call for as long as it waits, also when its caller leaves.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_beyond_the_bound_wait_and_beyond_the_queue_are_refused() {
        let backend = BackendName::parse("b").unwrap();
        let admission = Arc::new(Admission::new(1, 1));
        let first = admission.admit(&backend).await.unwrap();
        let waiting = tokio::runtime::Handle::current().spawn({
            let (admission, backend) = (admission.clone(), backend.clone());
            async move { admission.admit(&backend).await.map(drop) }
        });
        while admission.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = admission.admit(&backend).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Overloaded { .. }));
        drop(first);
        waiting.await.unwrap().unwrap();
        drop(admission.admit(&backend).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_what_runs_and_not_for_ever() {
        let backend = BackendName::parse("b").unwrap();
        let admission = Admission::new(2, 2);
        let place = admission.admit(&backend).await.unwrap();
        let begun = tokio::time::Instant::now();
        admission.close(Duration::from_secs(5)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        drop(place);
        assert!(admission.admit(&backend).await.is_err());
    }
}
