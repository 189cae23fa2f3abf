//! What is known of one backend right now.
//!
//! A keeper (`keeper.rs`) fetches the listing whenever there is reason to; everybody else reads what it found.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use isthmus_catalog::{CachePart, Standing};
use isthmus_exchange::{BackendName, Freshness, Listing};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::any_backend::AnyBackend;
use crate::keeper::Keeper;
use crate::routes_of::RoutesOf;

/// One backend and what is known of it. Dropping it stops its keeper, not the backend.
#[derive(Debug)]
pub(crate) struct LiveBackend {
    backend: Arc<dyn AnyBackend>,
    known: watch::Sender<Known>,
    wake: Arc<Notify>,
    routes: Arc<RoutesOf>,
    first_waited: OnceLock<Instant>,
    keeper: OnceLock<AbortHandle>,
}

/// What is known of a backend.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// What the catalog is built from.
    pub(crate) standing: Standing,
    /// When the listing was fetched.
    pub(crate) fetched: Option<Instant>,
    /// Whether the backend answers.
    pub(crate) ready: bool,
    /// Since when a listing has been on its way.
    pub(crate) fetching_since: Option<Instant>,
    /// How many listings have come or failed.
    pub(crate) fetches: u64,
    /// Why the last one failed, if it did.
    pub(crate) failure: Option<Arc<str>>,
}

impl LiveBackend {
    /// Starts to follow `backend`.
    pub(crate) fn start(backend: Arc<dyn AnyBackend>, background: &Handle) -> Arc<Self> {
        let live = Arc::new(Self {
            known: watch::Sender::new(Known::nothing()),
            backend,
            wake: Arc::default(),
            routes: Arc::default(),
            first_waited: OnceLock::new(),
            keeper: OnceLock::new(),
        });
        let keeper = Keeper::new(
            live.backend.clone(),
            live.known.clone(),
            live.wake.clone(),
            live.routes.clone(),
        );
        let task = background.spawn(keeper.run()).abort_handle();
        live.keeper.get_or_init(|| task);
        live
    }

    pub(crate) fn name(&self) -> &BackendName {
        self.backend.name()
    }

    pub(crate) const fn backend(&self) -> &Arc<dyn AnyBackend> {
        &self.backend
    }

    /// The routes that show it.
    pub(crate) fn routes(&self) -> &RoutesOf {
        &self.routes
    }

    pub(crate) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Completes when it is known what the backend offers, or that it is not there.
    pub(crate) async fn heard_of(&self) {
        let mut known = self.known.subscribe();
        // The sender lives as long as we do.
        let _ = known
            .wait_for(|known| !matches!(known.standing, Standing::Cold))
            .await;
    }

    /// Until when a first list waits for it, if lists wait for `patience`: one window for all who wait, so that a backend
    /// that hangs is waited for once.
    pub(crate) fn waited_for_until(&self, patience: Duration) -> Instant {
        *self.first_waited.get_or_init(Instant::now) + patience
    }

    /// If the listing may have changed without anybody telling, fetches it again and waits a little for that.
    pub(crate) async fn freshen(&self) {
        let mut known = self.known.subscribe();
        let before = {
            let known = known.borrow_and_update();
            if !known.is_outdated() || known.is_fetched_slowly() {
                return;
            }
            known.fetches
        };
        self.wake.notify_one();
        // Whether it came in time or not: what is there is served.
        let _ = timeout(
            LIST_PATIENCE,
            known.wait_for(|known| known.fetches > before),
        )
        .await;
    }
}

impl Drop for LiveBackend {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Known {
    const fn nothing() -> Self {
        Self {
            standing: Standing::Cold,
            fetched: None,
            ready: false,
            fetching_since: None,
            fetches: 0,
            failure: None,
        }
    }

    /// The listing that is shown.
    pub(crate) const fn shown(&self) -> Option<&Arc<Listing>> {
        match &self.standing {
            Standing::Listed(listing) => Some(listing),
            Standing::Cold | Standing::Absent(_) => None,
        }
    }

    /// The listing that was last fetched, shown or not.
    pub(crate) const fn last(&self) -> Option<&Arc<Listing>> {
        match &self.standing {
            Standing::Listed(listing) | Standing::Absent(Some(listing)) => Some(listing),
            Standing::Cold | Standing::Absent(None) => None,
        }
    }

    /// Its part in the cache hint of a merged list.
    pub(crate) fn cache_part(&self) -> CachePart {
        let Some(listing) = self.shown().filter(|_| self.ready) else {
            return CachePart {
                remaining: Duration::ZERO,
                public: self.last().is_none_or(|listing| listing.freshness.public),
            };
        };
        let Freshness { ttl, public, .. } = listing.freshness;
        let age = self.age();
        let remaining = ttl.unwrap_or_default().saturating_sub(age);
        CachePart { remaining, public }
    }

    fn age(&self) -> Duration {
        self.fetched
            .map_or(Duration::MAX, |fetched| fetched.elapsed())
    }

    fn is_outdated(&self) -> bool {
        let Some(listing) = self.shown().filter(|_| self.ready) else {
            return false;
        };
        // Whoever says nothing of time is asked on the schedule of the backend's settings.
        match listing.freshness {
            Freshness { watched: true, .. } | Freshness { ttl: None, .. } => false,
            Freshness { ttl: Some(ttl), .. } => self.age() > ttl.max(SHORTEST_FRESHNESS),
        }
    }

    fn is_fetched_slowly(&self) -> bool {
        self.fetching_since
            .is_some_and(|since| since.elapsed() > LIST_PATIENCE)
    }
}

/// How long a list request waits for the listing of a backend that tells nobody when it changes.
const LIST_PATIENCE: Duration = Duration::from_secs(1);
/// How long any listing counts as fresh, so that a burst of list requests does not become one of backend requests.
const SHORTEST_FRESHNESS: Duration = Duration::from_secs(2);
