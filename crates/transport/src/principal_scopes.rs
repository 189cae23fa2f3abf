//! The scopes that stateless requests of a principal share.
//!
//! Their number is bounded though principals come and go: when there are too many, those go that nobody holds and nobody
//! has asked for in a while. What pools keep for a scope that went is freed when it has been idle, as ever.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use isthmus_exchange::{Principal, PrincipalId, Scope, ScopeId};
use tokio::time::Instant;

/// The scope of every principal that has called lately.
#[derive(Debug)]
pub(crate) struct PrincipalScopes {
    scopes: papaya::HashMap<PrincipalId, Known>,
    opened: Instant,
    most: usize,
    /// When was tidied last: looking at all of them for each new principal would be slow.
    tidied: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Known {
    scope: Arc<Scope>,
    /// Milliseconds after `opened`.
    used: AtomicU64,
}

impl PrincipalScopes {
    /// At most `most` that nobody uses are kept for longer than a while.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            scopes: papaya::HashMap::new(),
            opened: Instant::now(),
            most,
            tidied: Mutex::new(None),
        }
    }

    /// The scope of `principal`.
    pub(crate) fn of(&self, principal: &Principal) -> Arc<Scope> {
        let scopes = self.scopes.pin();
        let now = self.now();
        if let Some(known) = scopes.get(principal.id()) {
            known.used.store(now, Ordering::Relaxed);
            return Arc::clone(&known.scope);
        }
        if scopes.len() >= self.most {
            self.tidy();
        }
        let id = ScopeId(isthmus_seal::random_id());
        let known = Known {
            scope: Arc::new(Scope::principal(id, principal.id().clone())),
            used: AtomicU64::new(now),
        };
        Arc::clone(&scopes.get_or_insert(principal.id().clone(), known).scope)
    }

    /// Forgets scopes that nobody holds: the idle ones, and as many others as there are too many.
    fn tidy(&self) {
        let Ok(mut tidied) = self.tidied.try_lock() else {
            return;
        };
        if tidied.is_some_and(|last| last.elapsed() < BETWEEN) {
            return;
        }
        *tidied = Some(Instant::now());
        let scopes = self.scopes.pin();
        let mut unused: Vec<(u64, PrincipalId)> = scopes
            .iter()
            .filter(|(_, known)| Arc::strong_count(&known.scope) == 1)
            .map(|(id, known)| (known.used.load(Ordering::Relaxed), id.clone()))
            .collect();
        unused.sort_unstable();
        let idle_since = self.now().saturating_sub(millis(IDLE));
        // Some room, so that the next principal does not find all places taken again.
        let surplus = scopes.len().saturating_sub(self.most - self.most / 10);
        let going = unused
            .into_iter()
            .enumerate()
            .take_while(|(index, (used, _))| *index < surplus || *used < idle_since);
        for (_, (_, id)) in going {
            scopes.remove(&id);
        }
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.scopes.pin().len()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long a scope is kept that nobody uses, when there are many.
const IDLE: Duration = Duration::from_secs(3600);
/// How often is tidied at most.
const BETWEEN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(number: usize) -> Principal {
        Principal::authenticated("test", "", &number.to_string(), "")
    }

    #[tokio::test(start_paused = true)]
    async fn a_principal_keeps_its_scope_while_it_calls() {
        let scopes = PrincipalScopes::new(100);
        let mine = scopes.of(&principal(0)).id();
        for number in 1..1_000 {
            scopes.of(&principal(number));
            tokio::time::advance(Duration::from_millis(100)).await;
            assert_eq!(scopes.of(&principal(0)).id(), mine);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn principals_that_came_and_went_are_forgotten() {
        let scopes = PrincipalScopes::new(100);
        for number in 0..10_000 {
            scopes.of(&principal(number));
            tokio::time::advance(Duration::from_millis(100)).await;
            assert!(scopes.len() <= 111, "{}", scopes.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_that_somebody_holds_stays() {
        let scopes = PrincipalScopes::new(10);
        let held: Vec<_> = (0..5).map(|number| scopes.of(&principal(number))).collect();
        for number in 5..100 {
            scopes.of(&principal(number));
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        for (number, scope) in held.iter().enumerate() {
            assert_eq!(scopes.of(&principal(number)).id(), scope.id());
        }
    }
}
