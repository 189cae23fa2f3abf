//! What a call brings along when it becomes a park.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{BackendName, BoxFuture, Error, ErrorKind, PrincipalId};
use isthmus_protocol::LogLevel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::admission::Admission;

/// What a call brings along when it becomes a park.
#[derive(Debug)]
pub(crate) struct Seed {
    /// Which backend it was sent to.
    pub(crate) backend: BackendName,
    /// Whose call it is; nobody else gets to see it.
    pub(crate) principal: PrincipalId,
    /// Where it takes a place again when it goes on.
    pub(crate) admission: Arc<Admission>,
    /// The conversation it came from, held until the call ends.
    pub(crate) occupied: Arc<dyn Occupied>,
    /// How long the backend may take once it goes on, if the retry does not say.
    pub(crate) patience: Duration,
    /// Fires when the backend's parks have to end.
    pub(crate) ending: CancellationToken,
    /// By which the backend knows that it still has one.
    pub(crate) _counted: TaskTrackerToken,
}

impl Seed {
    /// What callers hear when the backend took too long.
    pub(super) fn timed_out(&self) -> Error {
        let (backend, seconds) = (&self.backend, self.patience.as_secs_f32());
        let text = format!("`{backend}` did not answer within {seconds} s");
        Error::new(ErrorKind::TimedOut(Some(backend.clone())), text)
    }
}

/// What a parked call holds on to.
pub(crate) trait Occupied: Send + Sync + fmt::Debug {
    /// Asks the backend for log messages of `level` and above, if it sends fewer so far.
    fn raise_log_level(self: Arc<Self>, level: LogLevel) -> BoxFuture<'static, ()>;
}

/// The parks of one backend.
#[derive(Debug, Default)]
pub(crate) struct ParksOfOne {
    counted: TaskTracker,
    ending: CancellationToken,
}

impl ParksOfOne {
    /// What a park holds for as long as its call goes on.
    pub(crate) fn count(&self) -> TaskTrackerToken {
        self.counted.token()
    }

    /// Fires when they have to end.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// Waits until all have ended, for `patience` at most, and then ends those that are left.
    pub(crate) async fn end(&self, patience: Duration) {
        self.counted.close();
        if tokio::time::timeout(patience, self.counted.wait())
            .await
            .is_err()
        {
            self.ending.cancel();
            self.counted.wait().await;
        }
        self.ending.cancel();
    }
}
