//! Which scope watches which resource.
//!
//! A scope may watch a resource for several reasons: it asked with `resources/subscribe` (once, however often it asks),
//! and any of its listens may name it. The backend hears of the first reason and of the end of the last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_exchange::{BackendName, Caller, Error, ScopeId};

use crate::any_backend::AnyBackend;

/// The watched resources of one route.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// What sessions asked for with `resources/subscribe`.
    asked: Mutex<HashMap<ScopeId, Vec<Watched>>>,
    held: Mutex<HashMap<Key, Arc<Hold>>>,
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

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    scope: ScopeId,
    backend: BackendName,
    native: String,
}

#[derive(Debug)]
struct Hold {
    caller: Arc<Caller>,
    /// How many reasons there are. Held over the request to the backend, so that requests come in order.
    reasons: tokio::sync::Mutex<usize>,
}

/// What asking once more came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The scope asks for this for the first time.
    New {
        /// It has asked for nothing before.
        first: bool,
    },
    /// It did so before.
    Again,
    /// It watches as much as it may.
    TooMuch,
}

impl Subscriptions {
    /// Notes that a session asks for `watched`.
    pub(crate) fn ask(&self, scope: ScopeId, watched: &Watched) -> Asked {
        let mut asked = lock(&self.asked);
        let first = !asked.contains_key(&scope);
        let of_scope = asked.entry(scope).or_default();
        if of_scope.contains(watched) {
            Asked::Again
        } else if of_scope.len() >= WATCHED_PER_SCOPE {
            Asked::TooMuch
        } else {
            of_scope.push(watched.clone());
            Asked::New { first }
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
        of_scope.len() < before
    }

    /// Forgets everything a session asked for, and says what it was.
    pub(crate) fn forget_all(&self, scope: ScopeId) -> Vec<Watched> {
        lock(&self.asked).remove(&scope).unwrap_or_default()
    }

    /// How an update of `uri` at `backend` is announced to a session, for each resource it asked for that it concerns.
    pub(crate) fn announced_to(
        &self,
        scope: ScopeId,
        backend: &BackendName,
        uri: &str,
    ) -> Vec<String> {
        let asked = lock(&self.asked);
        let of_scope = asked.get(&scope).into_iter().flatten();
        of_scope
            .filter_map(|watched| watched.announced_as(backend, uri))
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
    /// The backend's, and then the reason does not count.
    pub(crate) async fn hold(
        &self,
        backend: &Arc<dyn AnyBackend>,
        caller: &Arc<Caller>,
        native: &str,
    ) -> Result<(), Error> {
        let key = Key::new(caller, backend.name(), native);
        loop {
            let hold = self.entry(&key, caller);
            let mut reasons = hold.reasons.lock().await;
            if !self.is_current(&key, &hold) {
                continue;
            }
            if *reasons == 0
                && let Err(error) = backend
                    .clone()
                    .subscribe(caller.clone(), native.to_owned())
                    .await
            {
                lock(&self.held).remove(&key);
                return Err(error);
            }
            *reasons += 1;
            return Ok(());
        }
    }

    /// Takes a reason away, and tells the backend if it was the last. `None`: the backend is gone.
    pub(crate) async fn release(
        &self,
        backend: Option<&Arc<dyn AnyBackend>>,
        caller: &Arc<Caller>,
        watched: &Watched,
    ) {
        let key = Key::new(caller, &watched.backend, &watched.native);
        let Some(hold) = lock(&self.held).get(&key).cloned() else {
            return;
        };
        let mut reasons = hold.reasons.lock().await;
        *reasons = reasons.saturating_sub(1);
        if *reasons > 0 {
            return;
        }
        if let Some(backend) = backend
            && let Err(error) = backend
                .clone()
                .unsubscribe(caller.clone(), watched.native.clone())
                .await
        {
            tracing::debug!(backend = %watched.backend, %error, "cannot unsubscribe");
        }
        if self.is_current(&key, &hold) {
            lock(&self.held).remove(&key);
        }
    }

    /// Tells a backend again what is watched: it is a new one, or may have forgotten.
    pub(crate) async fn resubscribe(&self, backend: &Arc<dyn AnyBackend>) {
        let holds: Vec<_> = lock(&self.held)
            .iter()
            .filter(|(key, _)| key.backend == *backend.name())
            .map(|(key, hold)| (key.native.clone(), hold.clone()))
            .collect();
        for (native, hold) in holds {
            let reasons = hold.reasons.lock().await;
            if *reasons > 0
                && let Err(error) = backend.clone().subscribe(hold.caller.clone(), native).await
            {
                tracing::debug!(backend = %backend.name(), %error, "cannot subscribe again");
            }
        }
    }

    fn entry(&self, key: &Key, caller: &Arc<Caller>) -> Arc<Hold> {
        let mut held = lock(&self.held);
        let hold = held.entry(key.clone()).or_insert_with(|| {
            Arc::new(Hold {
                caller: caller.clone(),
                reasons: tokio::sync::Mutex::new(0),
            })
        });
        hold.clone()
    }

    fn is_current(&self, key: &Key, hold: &Arc<Hold>) -> bool {
        lock(&self.held)
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, hold))
    }
}

impl Key {
    fn new(caller: &Caller, backend: &BackendName, native: &str) -> Self {
        Self {
            scope: caller.scope.id(),
            backend: backend.clone(),
            native: native.to_owned(),
        }
    }
}

impl Watched {
    /// How an update of `uri` at `backend` is announced to whoever watches this; `None` if it does not concern it. An
    /// update may be about a sub-resource of what is watched.
    pub(crate) fn announced_as(&self, backend: &BackendName, uri: &str) -> Option<String> {
        if self.backend != *backend {
            return None;
        }
        let below = uri.strip_prefix(self.native.as_str())?;
        if below.is_empty() {
            return Some(self.exposed.clone());
        }
        let begins_anew =
            self.native.ends_with(['/', '#', '?']) || below.starts_with(['/', '#', '?']);
        begins_anew.then(|| {
            if self.exposed == self.native {
                uri.to_owned()
            } else {
                isthmus_catalog::prefixed_uri(backend, uri)
            }
        })
    }
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many resources a scope may watch with `resources/subscribe`, and a listen may name.
pub(crate) const WATCHED_PER_SCOPE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_announced_in_the_form_the_watcher_used() {
        let files = BackendName::parse("files").unwrap();
        let check = |exposed: &str, native: &str, updated: &str, expected: Option<&str>| {
            let watched = Watched {
                exposed: exposed.to_owned(),
                backend: files.clone(),
                native: native.to_owned(),
            };
            assert_eq!(watched.announced_as(&files, updated).as_deref(), expected);
        };
        check("x:/a", "x:/a", "x:/a", Some("x:/a"));
        check("x:/a", "x:/a", "x:/a/b", Some("x:/a/b"));
        check("x:/a/", "x:/a/", "x:/a/b", Some("x:/a/b"));
        check("x:/a", "x:/a", "x:/ab", None);
        check("x:/a", "x:/a", "x:/", None);
        check("files+x:/a", "x:/a", "x:/a", Some("files+x:/a"));
        check("files+x:/a", "x:/a", "x:/a#b", Some("files+x:/a#b"));
        let other = BackendName::parse("other").unwrap();
        let watched = Watched {
            exposed: "x:/a".to_owned(),
            backend: other,
            native: "x:/a".to_owned(),
        };
        assert_eq!(watched.announced_as(&files, "x:/a"), None);
    }
}
