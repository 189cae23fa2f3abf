//! The queue between requests and the thread that writes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use isthmus_config::{Audit, AuditArguments, WhenFull};
use isthmus_exchange::{Error, ErrorKind};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit};

use super::line::Refusal;
use super::writer::Writer;

/// Where lines are handed in. Cheap to clone; the thread ends, with everything written, when the last clone is closed.
#[derive(Clone)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    queue: Mutex<Option<mpsc::Sender<String>>>,
    when_full: WhenFull,
    arguments: Vec<AuditArguments>,
    health: Arc<Health>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writing thread says of itself.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last attempt to write failed.
    pub(super) failing: AtomicBool,
    /// Lines that are missing.
    pub(super) dropped: AtomicU64,
    /// Give up what cannot be written: the gateway ends.
    pub(super) ending: AtomicBool,
}

/// A place for one line.
#[derive(Debug)]
pub(crate) struct Place(Option<OwnedPermit<String>>);

impl AuditLog {
    /// Opens the sink and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn start(settings: &Audit) -> std::io::Result<Self> {
        let health = Arc::new(Health::default());
        let writer = Writer::open(&settings.sink, settings.when_full, Arc::clone(&health))?;
        let (queue, lines) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(lines))?;
        Ok(Self(Arc::new(Shared {
            queue: Mutex::new(Some(queue)),
            when_full: settings.when_full,
            arguments: settings.arguments.clone(),
            health,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// How many lines are missing since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.health.dropped.load(Ordering::Relaxed)
    }

    /// Writes down a request that got no further than the door. Without a place for it, the line is missing and counted:
    /// what is refused anyway waits for nothing.
    pub fn refused(&self, refusal: &Refusal<'_>) {
        match self.try_place() {
            Some(place) => place.write(refusal.line()),
            None => self.drop_one(),
        }
    }

    /// Writes what is still waiting, for at most `limit`, and takes nothing more.
    pub fn close(&self, limit: Duration) {
        self.lock_queue().take();
        let thread = self
            .0
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return };
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        let health = Arc::clone(&self.0.health);
        let waiting = std::thread::Builder::new().spawn(move || {
            // A panic of the writer was printed when it happened.
            let _ = thread.join();
            let _ = done.send(());
        });
        if waiting.is_ok() && ended.recv_timeout(limit).is_err() {
            health.ending.store(true, Ordering::Relaxed);
        }
    }

    /// Whose arguments are written.
    pub(crate) fn arguments(&self) -> &[AuditArguments] {
        &self.0.arguments
    }

    /// A place for the line of a request that is about to begin.
    ///
    /// # Errors
    ///
    /// `Overloaded` if there is none and the operator wants no request without a line.
    pub(crate) async fn place(&self) -> Result<Place, Error> {
        let failing = self.0.health.failing.load(Ordering::Relaxed);
        match self.0.when_full {
            WhenFull::Refuse if failing => Err(refusal()),
            WhenFull::Refuse => self.try_place().ok_or_else(refusal),
            WhenFull::Drop => Ok(self.try_place().unwrap_or_else(|| {
                self.drop_one();
                Place(None)
            })),
            WhenFull::Block => {
                let queue = self.lock_queue().clone().ok_or_else(refusal)?;
                let permit = queue.reserve_owned().await.map_err(|_| refusal())?;
                Ok(Place(Some(permit)))
            }
        }
    }

    /// Every place there is, so that none is left.
    #[cfg(test)]
    pub(super) fn take_every_place(&self) -> Vec<Place> {
        std::iter::from_fn(|| self.try_place()).collect()
    }

    /// Waits until an attempt to write has failed.
    #[cfg(test)]
    pub(super) fn wait_until_failing(&self) {
        while !self.0.health.failing.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }

    fn try_place(&self) -> Option<Place> {
        let queue = self.lock_queue().clone()?;
        match queue.try_reserve_owned() {
            Ok(permit) => Some(Place(Some(permit))),
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => None,
        }
    }

    fn drop_one(&self) {
        let dropped = self.0.health.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "lines of the audit log are missing");
        }
    }

    fn lock_queue(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<String>>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Hands the line in. Never waits.
    pub(crate) fn write(self, line: String) {
        if let Self(Some(permit)) = self {
            permit.send(line);
        }
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("when_full", &self.0.when_full)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

fn refusal() -> Error {
    let kind = ErrorKind::Overloaded {
        retry_after: Duration::from_secs(1),
    };
    Error::new(kind, "the request cannot be written down now; try again")
}

/// Lines, and places for lines, that there are at most: more than calls may run at a time.
const WAITING: usize = 16_384;
