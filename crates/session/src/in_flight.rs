//! The requests a session is waiting for, by the client's own ids.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use isthmus_protocol::Id;
use tokio_util::sync::CancellationToken;

/// The running requests of one session. A client can cancel its own and nobody else's (digest §3.10).
#[derive(Debug)]
pub struct InFlight {
    calls: Mutex<HashMap<Id, CancellationToken>>,
    limit: usize,
}

/// Why a request was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// The client uses the id of a request that is still running.
    #[error("a request with this id is still running")]
    DuplicateId,
    /// The session has too many requests running.
    #[error("too many requests of this session are running")]
    TooMany,
}

/// One running request. Dropping it makes its id free again.
#[derive(Debug)]
pub struct RunningCall<'a> {
    owner: &'a InFlight,
    id: Id,
    cancelled: CancellationToken,
}

impl InFlight {
    /// Nothing runs yet, and never more than `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            calls: Mutex::default(),
            limit,
        }
    }

    /// Enters a request; it is cancelled with `parent`, or by [`InFlight::cancel`].
    ///
    /// # Errors
    ///
    /// [`NotStarted`], and nothing has changed.
    pub fn begin(
        &self,
        id: &Id,
        parent: &CancellationToken,
    ) -> Result<RunningCall<'_>, NotStarted> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.contains_key(id) {
            return Err(NotStarted::DuplicateId);
        }
        if calls.len() >= self.limit {
            return Err(NotStarted::TooMany);
        }
        let cancelled = parent.child_token();
        calls.insert(id.clone(), cancelled.clone());
        Ok(RunningCall {
            owner: self,
            id: id.clone(),
            cancelled,
        })
    }

    /// Cancels a running request. An id that is not (or no longer) running is ignored: the race is the client's right.
    pub fn cancel(&self, id: &Id) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = calls.get(id) {
            cancelled.cancel();
        }
    }

    /// Whether nothing runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.is_empty()
    }
}

impl RunningCall<'_> {
    /// Fires when the client no longer wants the request, or the session has ended.
    #[must_use]
    pub const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        let mut calls = self
            .owner
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        calls.remove(&self.id);
        if calls.is_empty() {
            // An idle session keeps no room for the busiest moment of its life.
            calls.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_while_its_request_runs_and_free_afterwards() {
        let calls = InFlight::new(8);
        let session = CancellationToken::new();
        let first = calls.begin(&Id::number(1), &session).unwrap();
        assert_eq!(
            calls.begin(&Id::number(1), &session).unwrap_err(),
            NotStarted::DuplicateId
        );
        drop(first);
        assert!(calls.is_empty());
        assert!(calls.begin(&Id::number(1), &session).is_ok());
    }

    #[test]
    fn cancelling_reaches_the_request_with_that_id_only() {
        let calls = InFlight::new(8);
        let session = CancellationToken::new();
        let one = calls.begin(&Id::number(1), &session).unwrap();
        let two = calls.begin(&Id::number(2), &session).unwrap();
        calls.cancel(&Id::number(1));
        calls.cancel(&Id::number(7));
        assert!(one.cancelled().is_cancelled());
        assert!(!two.cancelled().is_cancelled());
        session.cancel();
        assert!(two.cancelled().is_cancelled());
    }

    #[test]
    fn no_more_requests_run_than_the_limit_allows() {
        let calls = InFlight::new(1);
        let session = CancellationToken::new();
        let _one = calls.begin(&Id::number(1), &session).unwrap();
        assert_eq!(
            calls.begin(&Id::number(2), &session).unwrap_err(),
            NotStarted::TooMany
        );
    }
}
