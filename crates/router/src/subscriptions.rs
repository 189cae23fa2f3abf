//! Which scope watches which resource.
//!
//! A scope may watch a resource for several reasons: it asked with `resources/subscribe` (once, however often it asks),
//! and any of its listens may name it. The backend hears of the first reason and of the end of the last. What is here
//! stays true only if [`Subscriptions::hold`] and [`Subscriptions::release`] run to their end: whoever calls them does so
//! in a task of the route.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_backend::BackendState;
use isthmus_exchange::{BackendName, Caller, Error, ScopeId};

use crate::any_backend::AnyBackend;

/// The watched resources of one route.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// What sessions asked for with `resources/subscribe`.
    asked: Mutex<HashMap<ScopeId, Vec<Watched>>>,
    held: Mutex<HashMap<ScopeId, HashMap<Place, Arc<Hold>>>>,
    /// How often each backend was subscribed to anew: only the last time goes on trying.
    renewals: Mutex<HashMap<BackendName, u64>>,
}

/// A resource somebody watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The URI as the client wrote it.
    pub(crate) exposed: String,
    /// Whose it is.
    pub(crate) backend: BackendName,
    /// Its URI there.
    pub(crate) native: String,
}

/// A resource at its backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    backend: BackendName,
    native: String,
}

/// One place that one scope watches.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    scope: ScopeId,
    place: Place,
    hold: Arc<Hold>,
}

#[derive(Debug)]
struct Hold {
    caller: Arc<Caller>,
    /// Held over the request to the backend, so that requests come in order.
    state: tokio::sync::Mutex<HoldState>,
}

#[derive(Debug, Default)]
struct HoldState {
    /// How many reasons there are.
    reasons: usize,
    /// Who was told last.
    told: Option<Arc<dyn AnyBackend>>,
    /// It may have forgotten since.
    doubtful: bool,
}

/// What asking once more came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The scope asks for this for the first time.
    New,
    /// It did so before.
    Again,
    /// It watches as much as it may.
    TooMuch,
}

impl Subscriptions {
    /// Notes that a session asks for `watched`.
    pub(crate) fn ask(&self, scope: ScopeId, watched: &Watched) -> Asked {
        let mut asked = lock(&self.asked);
        let of_scope = asked.entry(scope).or_default();
        if of_scope.contains(watched) {
            Asked::Again
        } else if of_scope.len() >= WATCHED_PER_SCOPE {
            Asked::TooMuch
        } else {
            of_scope.push(watched.clone());
            Asked::New
        }
    }

    /// Notes that a session no longer asks for `watched`; `false` if it did not.
    pub(crate) fn forget(&self, scope: ScopeId, watched: &Watched) -> bool {
        let mut asked = lock(&self.asked);
        let Some(of_scope) = asked.get_mut(&scope) else {
            return false;
        };
        let before = of_scope.len();
        of_scope.retain(|other| other != watched);
        let forgotten = of_scope.len() < before;
        if of_scope.is_empty() {
            asked.remove(&scope);
        }
        forgotten
    }

    /// Forgets everything a session asked for, and says what it was.
    pub(crate) fn forget_all(&self, scope: ScopeId) -> Vec<Watched> {
        lock(&self.asked).remove(&scope).unwrap_or_default()
    }

    /// What a session asked for that an update of `uri` at `backend` concerns.
    pub(crate) fn asked_about(
        &self,
        scope: ScopeId,
        backend: &BackendName,
        uri: &str,
    ) -> Vec<Watched> {
        let asked = lock(&self.asked);
        let of_scope = asked.get(&scope).into_iter().flatten();
        of_scope
            .filter(|watched| watched.concerns(backend, uri))
            .cloned()
            .collect()
    }

    /// What a session asks for.
    pub(crate) fn asked_by(&self, scope: ScopeId) -> Vec<Watched> {
        lock(&self.asked).get(&scope).cloned().unwrap_or_default()
    }

    /// Adds a reason for the caller's scope to watch a resource, and tells the backend if it is the first.
    ///
    /// # Errors
    ///
    /// The backend's, or invalid parameters if the scope watches too much; then the reason does not count.
    pub(crate) async fn hold(
        &self,
        backend: &Arc<dyn AnyBackend>,
        caller: &Arc<Caller>,
        native: &str,
    ) -> Result<(), Error> {
        let place = Place {
            backend: backend.name().clone(),
            native: native.to_owned(),
        };
        loop {
            let watch = self.entry(&place, caller)?;
            let mut state = watch.hold.state.lock().await;
            if !self.is_current(&watch) {
                continue;
            }
            if !state.is_known_to(backend) {
                let caller = watch.hold.caller.clone();
                let subscribed = backend.clone().subscribe(caller, native.to_owned()).await;
                subscribed.inspect_err(|_| {
                    if state.reasons == 0 {
                        self.remove(&watch);
                    }
                })?;
                state.know(backend);
            }
            state.reasons += 1;
            return Ok(());
        }
    }

    /// Takes a reason of a scope away, and tells the backend if it was the last.
    pub(crate) async fn release(&self, scope: ScopeId, watched: &Watched) {
        let place = Place {
            backend: watched.backend.clone(),
            native: watched.native.clone(),
        };
        let hold = {
            let held = lock(&self.held);
            held.get(&scope)
                .and_then(|places| places.get(&place))
                .cloned()
        };
        let Some(hold) = hold else { return };
        let watch = Watch { scope, place, hold };
        let mut state = watch.hold.state.lock().await;
        if !self.is_current(&watch) {
            return;
        }
        state.reasons = state.reasons.saturating_sub(1);
        if state.reasons == 0 {
            self.end(&watch, &mut state).await;
        }
    }

    /// Takes every reason away: nobody watches here any more.
    pub(crate) async fn release_everything(&self) {
        lock(&self.asked).clear();
        let all = watches(&lock(&self.held), |_| true);
        for watch in all {
            let mut state = watch.hold.state.lock().await;
            if self.is_current(&watch) {
                self.end(&watch, &mut state).await;
            }
        }
    }

    async fn end(&self, watch: &Watch, state: &mut HoldState) {
        let told = state.told.take();
        // One that is away has nothing to forget, and one that goes must not be woken.
        let told = told.filter(is_ready);
        if let Some(told) = told {
            let (caller, native) = (watch.hold.caller.clone(), watch.place.native.clone());
            if let Err(error) = told.unsubscribe(caller, native).await {
                tracing::debug!(backend = %watch.place.backend, %error, "cannot unsubscribe");
            }
        }
        self.remove(watch);
    }

    /// Begins to tell a backend again what is watched there: it is a new one, or may have forgotten. Ends what an earlier
    /// renewal has not finished.
    pub(crate) fn begin_renewal(&self, backend: &BackendName) -> Renewal {
        let mut renewals = lock(&self.renewals);
        let number = renewals.entry(backend.clone()).or_default();
        *number += 1;
        let number = *number;
        drop(renewals);
        let missing = watches(&lock(&self.held), |place| place.backend == *backend);
        Renewal { number, missing }
    }

    /// Tells `backend` once what it is still missing. Returns whose scope watches which native URI again since now; what
    /// failed stays missing.
    pub(crate) async fn renew(
        &self,
        backend: &Arc<dyn AnyBackend>,
        renewal: &mut Renewal,
    ) -> Vec<(ScopeId, String)> {
        let mut renewed = Vec::new();
        for watch in std::mem::take(&mut renewal.missing) {
            let mut state = watch.hold.state.lock().await;
            if !self.is_current(&watch) || !self.is_newest(backend, renewal) {
                continue;
            }
            let (caller, native) = (watch.hold.caller.clone(), watch.place.native.clone());
            match backend.clone().subscribe(caller, native).await {
                Ok(()) => {
                    state.know(backend);
                    renewed.push((watch.scope, watch.place.native.clone()));
                }
                Err(error) => {
                    tracing::debug!(backend = %backend.name(), %error, "cannot subscribe again");
                    state.doubtful = true;
                    drop(state);
                    renewal.missing.push(watch);
                }
            }
        }
        renewed
    }

    fn entry(&self, place: &Place, caller: &Arc<Caller>) -> Result<Watch, Error> {
        let scope = caller.scope.id();
        let mut held = lock(&self.held);
        let places = held.entry(scope).or_default();
        if places.len() >= HELD_PER_SCOPE && !places.contains_key(place) {
            let message = format!("more than {HELD_PER_SCOPE} resources are watched already");
            return Err(Error::invalid_params(message));
        }
        let hold = places.entry(place.clone()).or_insert_with(|| {
            Arc::new(Hold {
                caller: caller.clone(),
                state: tokio::sync::Mutex::default(),
            })
        });
        Ok(Watch {
            scope,
            place: place.clone(),
            hold: hold.clone(),
        })
    }

    fn is_current(&self, watch: &Watch) -> bool {
        let held = lock(&self.held);
        let current = held
            .get(&watch.scope)
            .and_then(|places| places.get(&watch.place));
        current.is_some_and(|current| Arc::ptr_eq(current, &watch.hold))
    }

    fn is_newest(&self, backend: &Arc<dyn AnyBackend>, renewal: &Renewal) -> bool {
        lock(&self.renewals).get(backend.name()) == Some(&renewal.number)
    }

    fn remove(&self, watch: &Watch) {
        let mut held = lock(&self.held);
        if let Some(places) = held.get_mut(&watch.scope) {
            places.remove(&watch.place);
            if places.is_empty() {
                held.remove(&watch.scope);
            }
        }
    }
}

/// What a backend still has to be told again.
#[derive(Debug)]
pub(crate) struct Renewal {
    number: u64,
    missing: Vec<Watch>,
}

impl Renewal {
    /// Whether nothing is missing any more.
    pub(crate) const fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

impl HoldState {
    /// Whether the backend knows that this is watched, as far as we know: one that is away has forgotten.
    fn is_known_to(&self, backend: &Arc<dyn AnyBackend>) -> bool {
        let told = self.told.as_ref();
        let told = told.is_some_and(|told| Arc::ptr_eq(told, backend));
        told && !self.doubtful && is_ready(backend)
    }

    fn know(&mut self, backend: &Arc<dyn AnyBackend>) {
        self.told = Some(backend.clone());
        self.doubtful = false;
    }
}

fn is_ready(backend: &Arc<dyn AnyBackend>) -> bool {
    matches!(*backend.state().borrow(), BackendState::Ready(_))
}

impl Watched {
    /// Whether an update of `uri` at `backend` concerns whoever watches this: it may be about a sub-resource.
    pub(crate) fn concerns(&self, backend: &BackendName, uri: &str) -> bool {
        if self.backend != *backend {
            return false;
        }
        let Some(below) = uri.strip_prefix(self.native.as_str()) else {
            return false;
        };
        below.is_empty()
            || self.native.ends_with(['/', '#', '?'])
            || below.starts_with(['/', '#', '?'])
    }

    /// Whether the watcher wrote the URI with the backend in front.
    pub(crate) fn is_prefixed(&self) -> bool {
        self.exposed != self.native
    }
}

fn watches(
    held: &HashMap<ScopeId, HashMap<Place, Arc<Hold>>>,
    wanted: impl Fn(&Place) -> bool,
) -> Vec<Watch> {
    let mut found = Vec::new();
    for (scope, places) in held {
        for (place, hold) in places.iter().filter(|(place, _)| wanted(place)) {
            found.push(Watch {
                scope: *scope,
                place: place.clone(),
                hold: hold.clone(),
            });
        }
    }
    found
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many resources a scope may watch with `resources/subscribe`, and a listen may name.
pub(crate) const WATCHED_PER_SCOPE: usize = 1_000;
/// How many resources all listens and subscriptions of a scope may watch together.
const HELD_PER_SCOPE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_concerns_who_watches_the_resource_or_what_it_is_part_of() {
        let files = BackendName::parse("files").unwrap();
        let check = |native: &str, updated: &str, expected: bool| {
            let watched = Watched {
                exposed: native.to_owned(),
                backend: files.clone(),
                native: native.to_owned(),
            };
            assert_eq!(
                watched.concerns(&files, updated),
                expected,
                "{native} {updated}"
            );
            let other = BackendName::parse("other").unwrap();
            assert!(!watched.concerns(&other, updated));
        };
        check("x:/a", "x:/a", true);
        check("x:/a", "x:/a/b", true);
        check("x:/a/", "x:/a/b", true);
        check("x:/a", "x:/a#b", true);
        check("x:/a", "x:/a?b", true);
        check("x:/a", "x:/ab", false);
        check("x:/a", "x:/", false);
    }
}
