//! Whose a URI is that stands in no listing, because we handed it out in a result.
//!
//! A tool may return a link to a resource that no list and no template mentions. Its URI is kept as it is, so somebody has
//! to remember where it leads: per scope, since it was handed out to nobody else. Bounded; the oldest links of a scope, and
//! the scope whose last link is oldest, are forgotten first, and everything of a session when that ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_exchange::{BackendName, Scope, ScopeId};

/// The links handed out on one route.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    scopes: HashMap<ScopeId, ScopeLinks>,
    /// Counts up with every use.
    now: u64,
}

#[derive(Debug)]
struct ScopeLinks {
    owners: HashMap<Arc<str>, BackendName>,
    oldest_first: VecDeque<Arc<str>>,
    /// [`Memory::now`] when a link was last added or asked for again.
    last_use: u64,
}

impl Links {
    /// Remembers that `backend` handed `uri` out to `scope`. `false`: it is not remembered, because another backend did so
    /// before or because it is too long.
    pub(crate) fn claim(&self, scope: &Scope, uri: &str, backend: &BackendName) -> bool {
        if uri.len() > LONGEST || scope.ended().is_cancelled() {
            return false;
        }
        let mut memory = self.lock();
        let Memory { scopes, now } = &mut *memory;
        if !scopes.contains_key(&scope.id()) {
            make_room(scopes);
        }
        *now += 1;
        let links = scopes.entry(scope.id()).or_insert_with(|| ScopeLinks {
            owners: HashMap::new(),
            oldest_first: VecDeque::new(),
            last_use: *now,
        });
        links.last_use = *now;
        if let Some(owner) = links.owners.get(uri) {
            return owner == backend;
        }
        if links.oldest_first.len() == LINKS_PER_SCOPE
            && let Some(oldest) = links.oldest_first.pop_front()
        {
            links.owners.remove(&oldest);
        }
        let uri: Arc<str> = uri.into();
        links.owners.insert(uri.clone(), backend.clone());
        links.oldest_first.push_back(uri);
        true
    }

    /// Forgets everything that was handed out to a scope.
    pub(crate) fn forget(&self, scope: ScopeId) {
        self.lock().scopes.remove(&scope);
    }

    /// How many scopes were handed something.
    #[cfg(test)]
    pub(crate) fn scopes(&self) -> usize {
        self.lock().scopes.len()
    }

    /// Who handed `uri` out to `scope`.
    pub(crate) fn owner(&self, scope: ScopeId, uri: &str) -> Option<BackendName> {
        self.lock().scopes.get(&scope)?.owners.get(uri).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(scopes: &mut HashMap<ScopeId, ScopeLinks>) {
    if scopes.len() < SCOPES {
        return;
    }
    if let Some(oldest) = scopes.iter().min_by_key(|(_, links)| links.last_use) {
        let oldest = *oldest.0;
        scopes.remove(&oldest);
    }
}

const LINKS_PER_SCOPE: usize = 1_000;
const SCOPES: usize = 1_000;
/// Bytes of a URI that is worth remembering; a longer one gets its prefixed form.
const LONGEST: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;

    use super::*;

    fn scope(id: u128) -> Scope {
        Scope::session(ScopeId(id), Principal::anonymous().id().clone())
    }

    fn backend(name: &str) -> BackendName {
        BackendName::parse(name).unwrap()
    }

    #[test]
    fn the_first_backend_that_hands_a_link_out_to_a_scope_keeps_it() {
        let links = Links::default();
        assert!(links.claim(&scope(1), "x:1", &backend("a")));
        assert!(links.claim(&scope(1), "x:1", &backend("a")));
        assert!(!links.claim(&scope(1), "x:1", &backend("b")));
        assert!(links.claim(&scope(2), "x:1", &backend("b")));
        assert_eq!(links.owner(ScopeId(1), "x:1"), Some(backend("a")));
        assert_eq!(links.owner(ScopeId(2), "x:1"), Some(backend("b")));
        assert_eq!(links.owner(ScopeId(3), "x:1"), None);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest_first() {
        let links = Links::default();
        for number in 0..=LINKS_PER_SCOPE {
            links.claim(&scope(1), &format!("x:{number}"), &backend("a"));
        }
        assert_eq!(links.owner(ScopeId(1), "x:0"), None);
        assert!(links.owner(ScopeId(1), "x:1").is_some());
        for number in 2..2 + SCOPES as u128 {
            links.claim(&scope(number), "y:", &backend("a"));
        }
        assert_eq!(links.owner(ScopeId(1), "x:1"), None);
        assert!(links.owner(ScopeId(2), "y:").is_some());
        assert_eq!(links.scopes(), SCOPES);
        let long = format!("z:{}", "x".repeat(LONGEST));
        assert!(!links.claim(&scope(2), &long, &backend("a")));
        assert_eq!(links.owner(ScopeId(2), &long), None);
    }

    #[test]
    fn nothing_is_remembered_for_a_scope_that_has_ended() {
        let links = Links::default();
        let anna = scope(1);
        assert!(links.claim(&anna, "x:1", &backend("a")));
        anna.end();
        links.forget(anna.id());
        assert!(!links.claim(&anna, "x:2", &backend("a")));
        assert_eq!(links.scopes(), 0);
    }
}
