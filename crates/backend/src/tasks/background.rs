//! What goes on about tasks when no request is there to carry it.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where it runs. Cheap to clone; [`Background::close`] ends all of it.
#[derive(Debug, Clone)]
pub(crate) struct Background {
    tasks: TaskTracker,
    ending: CancellationToken,
    handle: Handle,
}

impl Background {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            handle,
        }
    }

    /// Runs `work` until it or the backend ends.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let ending = self.ending.clone();
        let work = async move {
            tokio::select! {
                () = work => {}
                () = ending.cancelled() => {}
            }
        };
        self.tasks.spawn_on(work, &self.handle);
    }

    /// Gives what runs, such as a last word to the backend, a moment, and ends the rest.
    pub(super) async fn close(&self) {
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait())
            .await
            .is_err()
        {
            self.ending.cancel();
            self.tasks.wait().await;
        }
    }
}

/// How long a backend that is being closed may take to hear that tasks are cancelled.
const LAST_WORDS: Duration = Duration::from_secs(2);
