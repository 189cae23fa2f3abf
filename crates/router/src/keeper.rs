//! Keeps what is known of one backend current.
//!
//! The only one who fetches the backend's listing, so never twice at a time. It does so when the backend becomes ready,
//! says that a list changed, when a list request finds the listing outdated, when the listing's time is up, and on a
//! jittered schedule. A failure leaves what was known; a backend that stays away loses its place in the lists after a
//! while (design §6: a dead backend removes only its own items, visibly).

use std::collections::BTreeSet;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use isthmus_backend::{BackendNotice, BackendState};
use isthmus_catalog::Standing;
use isthmus_exchange::{BoxFuture, Error, ItemKind, Listing, Notice};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep_until};

use crate::any_backend::AnyBackend;
use crate::live_backend::Known;
use crate::routes_of::RoutesOf;

/// The task that keeps one backend's listing current. Ends when the backend does, or is aborted by its owner.
#[derive(Debug)]
pub(crate) struct Keeper {
    backend: Arc<dyn AnyBackend>,
    known: watch::Sender<Known>,
    wake: Arc<Notify>,
    routes: Arc<RoutesOf>,
    notices: broadcast::Receiver<BackendNotice>,
    state: watch::Receiver<BackendState>,
    plan: Plan,
}

/// What is to be done when.
#[derive(Debug, Default)]
struct Plan {
    /// When the next listing is fetched.
    fetch_at: Option<Instant>,
    /// When the backend is taken to be gone.
    give_up_at: Option<Instant>,
    /// When the last fetch began.
    last_begun: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// What the backend said had changed since the last fetch began.
    announced: BTreeSet<ItemKind>,
    /// What it had said before that.
    covered: BTreeSet<ItemKind>,
    /// The backend was ready before and may have forgotten our subscriptions.
    was_ready: bool,
}

type Fetch = BoxFuture<'static, Result<Arc<Listing>, Error>>;

impl Keeper {
    pub(crate) fn new(
        backend: Arc<dyn AnyBackend>,
        known: watch::Sender<Known>,
        wake: Arc<Notify>,
        routes: Arc<RoutesOf>,
    ) -> Self {
        Self {
            notices: backend.notices(),
            state: backend.state(),
            backend,
            known,
            wake,
            routes,
            plan: Plan::default(),
        }
    }

    /// Runs until the backend ends.
    pub(crate) async fn run(mut self) {
        let mut fetch: Option<Fetch> = None;
        self.follow_state();
        loop {
            tokio::select! {
                outcome = finished(&mut fetch) => {
                    fetch = None;
                    self.fetched(outcome);
                }
                notice = self.notices.recv() => match notice {
                    Ok(notice) => self.heard(&notice),
                    Err(RecvError::Lagged(_)) => self.missed_some(),
                    Err(RecvError::Closed) => break,
                },
                changed = self.state.changed() => match changed {
                    Ok(()) => self.follow_state(),
                    Err(_) => break,
                },
                () = self.wake.notified() => if fetch.is_none() { self.plan.fetch_soon() },
                () = reached(self.plan.fetch_at), if fetch.is_none() => fetch = self.begin(),
                () = reached(self.plan.give_up_at) => self.give_up(),
            }
        }
        self.give_up();
    }

    fn follow_state(&mut self) {
        let state = self.state.borrow_and_update().clone();
        let ready = matches!(state, BackendState::Ready(_));
        self.known.send_modify(|known| known.ready = ready);
        match state {
            BackendState::Ready(_) => {
                self.plan.give_up_at = None;
                self.plan.failures = 0;
                self.plan.fetch_at = Some(Instant::now());
                if std::mem::replace(&mut self.plan.was_ready, true) {
                    for route in self.routes.get() {
                        route.resubscribe(&self.backend);
                    }
                }
            }
            BackendState::Starting => self.plan.fetch_at = None,
            BackendState::Down { reason } => {
                self.plan.fetch_at = None;
                let listed = self.known.borrow().shown().is_some();
                self.known
                    .send_modify(|known| known.failure = Some(reason.into()));
                if !listed {
                    self.give_up();
                } else if self.plan.give_up_at.is_none() {
                    self.plan.give_up_at = Some(Instant::now() + GRACE);
                }
            }
            BackendState::Parked { reason } => {
                self.plan.fetch_at = None;
                self.known
                    .send_modify(|known| known.failure = Some(reason.into()));
                self.give_up();
            }
            BackendState::Draining => {
                self.plan.fetch_at = None;
                self.give_up();
            }
        }
    }

    fn begin(&mut self) -> Option<Fetch> {
        self.plan.fetch_at = None;
        if !matches!(*self.state.borrow(), BackendState::Ready(_)) {
            return None;
        }
        let now = Instant::now();
        self.plan.last_begun = Some(now);
        self.plan.covered.append(&mut self.plan.announced);
        self.known
            .send_modify(|known| known.fetching_since = Some(now));
        Some(self.backend.clone().listing())
    }

    fn fetched(&mut self, outcome: Result<Arc<Listing>, Error>) {
        match outcome {
            Ok(listing) => self.succeeded(listing),
            Err(error) => self.failed(&error),
        }
        if !self.plan.announced.is_empty() {
            self.plan.fetch_soon();
        }
    }

    fn succeeded(&mut self, listing: Arc<Listing>) {
        self.plan.failures = 0;
        self.plan.give_up_at = None;
        let due = due_after(&listing, self.backend.settings().refresh);
        self.plan.fetch_at = Some(Instant::now() + due);
        let before = self.known.borrow().standing.clone();
        let changed = !matches!(&before, Standing::Listed(old) if offers_the_same(old, &listing));
        let covered = std::mem::take(&mut self.plan.covered);
        let update = |known: &mut Known| {
            known.standing = Standing::Listed(listing);
            known.fetched = Some(Instant::now());
            known.failure = None;
        };
        self.publish(changed, &covered, update);
    }

    fn failed(&mut self, error: &Error) {
        self.plan.failures += 1;
        self.plan.announced.append(&mut self.plan.covered);
        let wait = FIRST_RETRY * 2_u32.saturating_pow(self.plan.failures.min(6));
        self.plan.fetch_at = Some(Instant::now() + jittered(wait));
        if self.plan.failures == 1 {
            tracing::warn!(backend = %self.backend.name(), %error, "cannot list what the backend offers");
        }
        let unheard = self.known.borrow().last().is_none();
        let message: Arc<str> = error.message().into();
        self.publish(unheard, &BTreeSet::new(), |known| {
            if unheard {
                known.standing = Standing::Absent(None);
            }
            known.failure = Some(message);
        });
    }

    /// Takes the backend's items out of the lists.
    fn give_up(&mut self) {
        self.plan.give_up_at = None;
        let before = self.known.borrow().clone();
        if matches!(before.standing, Standing::Absent(_)) {
            return;
        }
        let last = before.last().cloned();
        self.known
            .send_modify(|known| known.standing = Standing::Absent(last));
        for route in self.routes.get() {
            route.note(true, &BTreeSet::new());
        }
    }

    /// Lets everybody know how a fetch ended: routes first, so that whoever waits for the fetch can see what it changed.
    fn publish(
        &self,
        changed: bool,
        announced: &BTreeSet<ItemKind>,
        update: impl FnOnce(&mut Known),
    ) {
        self.known.send_modify(|known| {
            update(known);
            known.fetching_since = None;
        });
        for route in self.routes.get() {
            route.note(changed, announced);
        }
        self.known.send_modify(|known| known.fetches += 1);
    }

    fn heard(&mut self, notice: &BackendNotice) {
        if let Notice::ListChanged(kind) = notice.notice {
            self.plan.announced.insert(kind);
            self.plan.fetch_soon();
            return;
        }
        for route in self.routes.get() {
            route.deliver(self.backend.name(), notice);
        }
    }

    /// The backend said more than we could hear: everything may have changed.
    fn missed_some(&mut self) {
        self.plan.announced.extend(ItemKind::ALL);
        self.plan.fetch_soon();
        for route in self.routes.get() {
            route.deliver_all_updates(self.backend.name());
        }
    }
}

impl Plan {
    /// Fetches at once, or a little after the last time: a backend that announces without end costs little.
    fn fetch_soon(&mut self) {
        let now = Instant::now();
        let soon = self
            .last_begun
            .map_or(now, |begun| now.max(begun + SPACING));
        self.fetch_at = Some(self.fetch_at.map_or(soon, |planned| planned.min(soon)));
    }
}

async fn finished(fetch: &mut Option<Fetch>) -> Result<Arc<Listing>, Error> {
    match fetch {
        Some(fetch) => fetch.await,
        None => pending().await,
    }
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

/// When a listing is fetched again if nothing happens.
fn due_after(listing: &Listing, refresh: Duration) -> Duration {
    let ttl = listing.freshness.ttl.filter(|ttl| !ttl.is_zero());
    jittered(ttl.map_or(refresh, |ttl| ttl.max(SHORTEST_SCHEDULE)))
}

fn offers_the_same(old: &Listing, new: &Listing) -> bool {
    let (one, other) = (&old.facts, &new.facts);
    old.items == new.items
        && one.revision == other.revision
        && one.capabilities == other.capabilities
        && one.instructions == other.instructions
}

/// Between nine tenths of `duration` and all of it, so that a fleet is not asked in step.
fn jittered(duration: Duration) -> Duration {
    let draw = RandomState::new().hash_one(duration) % 1000;
    duration - (duration / 10).mul_f64(draw as f64 / 1000.0)
}

/// How long the items of a backend that went away stay in the lists: longer than a restart takes.
const GRACE: Duration = Duration::from_secs(10);
/// Between two fetches that somebody's announcement or question caused.
const SPACING: Duration = Duration::from_millis(250);
/// Half of what is waited after the first failure; doubles up to about a minute.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// A backend that gives its lists less time than this is asked when somebody wants to know.
const SHORTEST_SCHEDULE: Duration = Duration::from_secs(30);
