//! Keeps one conversation with a backend open: to list by, to hear changes through, and to know whether it is there.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use isthmus_config::Restart;
use isthmus_exchange::{BackendName, Error};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::pool::{Lease, Open, Pool};
use crate::state::{BackendState, Verdict};

/// Opens the listing conversation, and opens it again whenever it ends, with pauses that grow.
#[derive(Debug)]
pub(crate) struct ListingSession {
    name: BackendName,
    pool: Arc<Pool>,
    opener: Arc<dyn Open>,
    restart: Restart,
    state: watch::Sender<BackendState>,
    lease: Mutex<Option<Arc<Lease>>>,
    task: Mutex<Option<AbortHandle>>,
}

impl ListingSession {
    /// Begins at once, on `background`.
    pub(crate) fn start(
        name: BackendName,
        pool: Arc<Pool>,
        opener: Arc<dyn Open>,
        restart: Restart,
        background: &Handle,
    ) -> Arc<Self> {
        let session = Arc::new(Self {
            name,
            pool,
            opener,
            restart,
            state: watch::Sender::new(BackendState::Starting),
            lease: Mutex::default(),
            task: Mutex::default(),
        });
        let task = background.spawn(session.clone().keep()).abort_handle();
        *session.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        session
    }

    /// Follows where the backend stands.
    pub(crate) fn state(&self) -> watch::Receiver<BackendState> {
        self.state.subscribe()
    }

    /// The conversation to list by.
    ///
    /// # Errors
    ///
    /// Why there is none and none can be opened.
    pub(crate) async fn lease(&self) -> Result<Arc<Lease>, Error> {
        let kept = self
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match kept {
            Some(lease) if !lease.conversation().closed().is_cancelled() => Ok(lease),
            _ => Ok(Arc::new(self.pool.acquire_listing().await?)),
        }
    }

    /// Says that the backend takes nothing new.
    pub(crate) fn drain(&self) {
        self.state.send_replace(BackendState::Draining);
    }

    /// Stops keeping. The conversation is the pool's to close.
    pub(crate) fn stop(&self) {
        if let Some(task) = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            task.abort();
        }
        self.replace(None);
    }

    async fn keep(self: Arc<Self>) {
        let mut failures = 0_u32;
        loop {
            match self.open().await {
                Ok(lease) => {
                    let opened = Instant::now();
                    self.stay(lease).await;
                    self.replace(None);
                    tracing::info!(backend = %self.name, "the connection ended");
                    let reason = format!("the connection to `{}` ended", self.name);
                    self.state.send_replace(BackendState::Down { reason });
                    // One that stood for a while starts afresh; one that falls at once is slowed down.
                    failures = if opened.elapsed() > self.restart.longest {
                        0
                    } else {
                        failures + 1
                    };
                }
                Err(error) => {
                    failures += 1;
                    self.report(&error, failures);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause(failures)) => {}
                () = self.renewed() => {}
            }
        }
    }

    /// Completes when there is something else to show to the backend than before.
    async fn renewed(&self) {
        match self.opener.credentials() {
            Some(credentials) => credentials.renewed().await,
            None => std::future::pending().await,
        }
    }

    async fn open(&self) -> Result<Arc<Lease>, Error> {
        let lease = Arc::new(self.pool.acquire_listing().await?);
        lease.watch_lists().await?;
        let revision = lease.conversation().facts().revision;
        tracing::info!(backend = %self.name, %revision, "ready");
        self.announce(&lease);
        Ok(lease)
    }

    /// Lists by `lease`, or by a caller's conversation once there is one that will do, until that ends.
    async fn stay(&self, mut lease: Arc<Lease>) {
        let mut movable = self.pool.movable();
        loop {
            let closed = lease.conversation().closed();
            self.replace(Some(lease.clone()));
            lease = loop {
                tokio::select! {
                    () = closed.cancelled() => return,
                    moved = movable.changed() => if moved.is_err() {
                        return closed.cancelled().await;
                    },
                }
                if let Some(better) = self.pool.move_listing(&lease) {
                    break Arc::new(better);
                }
            };
            tracing::debug!(backend = %self.name, "listing by a caller's conversation from now on");
            if let Err(error) = lease.watch_lists().await {
                tracing::debug!(backend = %self.name, %error, "changes of lists are not announced");
            }
            self.announce(&lease);
        }
    }

    fn announce(&self, lease: &Lease) {
        let verdict = Verdict {
            facts: lease.conversation().facts().clone(),
            at: SystemTime::now(),
            evidence: self.opener.evidence(),
        };
        self.state.send_replace(BackendState::Ready(verdict));
    }

    fn report(&self, error: &Error, failures: u32) {
        let reason = describe(error);
        let parked = self.opener.parked();
        if parked.is_some() {
            tracing::warn!(backend = %self.name, %reason, "crashed too often: parked until a reload, or for some minutes");
        } else if failures == 1 {
            tracing::warn!(backend = %self.name, %reason, "not available");
        } else {
            tracing::debug!(backend = %self.name, %reason, failures, "still not available");
        }
        self.state.send_replace(match parked {
            Some(reason) => BackendState::Parked { reason },
            None => BackendState::Down { reason },
        });
    }

    /// Replaces the conversation that lists are fetched through.
    fn replace(&self, lease: Option<Arc<Lease>>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    fn pause(&self, failures: u32) -> Duration {
        let Restart { first, longest, .. } = self.restart;
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        jittered(self.opener.pause().unwrap_or_else(|| doubled.min(longest)))
    }
}

/// An error with its causes in one line.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        // Messages often end in what their cause says.
        let last = text.rsplit(": ").next().unwrap_or_default().len();
        if said.starts_with(&text[text.len() - last..]) {
            text.truncate(text.len() - last);
            text.push_str(&said);
        } else if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Between three quarters of `pause` and all of it, so that a fleet does not knock in step.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(pause) % 1000;
    pause - (pause / 4).mul_f64(chance as f64 / 1000.0)
}
