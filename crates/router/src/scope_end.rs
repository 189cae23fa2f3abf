//! What a route keeps for a session goes with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_exchange::{Caller, ScopeId};

use crate::live_route::LiveRoute;

/// The sessions whose end a route waits for.
#[derive(Debug, Default)]
pub(crate) struct ScopeEnds(Mutex<HashSet<ScopeId>>);

impl ScopeEnds {
    fn lock(&self) -> MutexGuard<'_, HashSet<ScopeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveRoute {
    /// Sees to it that nothing is kept for the caller's session after its end: links, tasks, subscriptions. What is kept for a
    /// principal is bounded and has no end.
    pub(crate) fn forget_with_scope(self: &Arc<Self>, caller: &Arc<Caller>) {
        let scope = &caller.scope;
        if !scope.is_session() || !self.ends.lock().insert(scope.id()) {
            return;
        }
        let (weak, caller) = (Arc::downgrade(self), caller.clone());
        self.run(async move {
            caller.scope.ended().cancelled().await;
            let Some(route) = weak.upgrade() else { return };
            let scope = caller.scope.id();
            route.ends.lock().remove(&scope);
            route.links.forget(scope);
            route.tasks.forget(scope);
            for watched in route.subscriptions.forget_all(scope) {
                route.subscriptions.release(scope, &watched).await;
            }
        });
    }
}
