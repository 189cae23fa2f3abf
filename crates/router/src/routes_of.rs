//! The routes that show a backend: who has to hear what it says.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::live_route::LiveRoute;

/// The routes that show one backend. Changed by a reload only.
#[derive(Debug, Default)]
pub(crate) struct RoutesOf(Mutex<Vec<Weak<LiveRoute>>>);

impl RoutesOf {
    /// Replaces the routes.
    pub(crate) fn set(&self, routes: Vec<Weak<LiveRoute>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    /// The routes that still exist.
    pub(crate) fn get(&self) -> Vec<Arc<LiveRoute>> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter().filter_map(Weak::upgrade).collect()
    }
}
