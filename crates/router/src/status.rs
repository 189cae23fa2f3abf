//! How the fleet stands: for readiness, the log and people.

use std::time::Duration;

use isthmus_backend::BackendState;
use isthmus_exchange::{BackendName, ItemKind};

use crate::live_backend::LiveBackend;
use crate::live_route::RouteState;

/// How the fleet stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// Every backend, in config order.
    pub backends: Vec<BackendStatus>,
    /// Every route, by path.
    pub routes: Vec<RouteStatus>,
}

/// How one backend stands.
#[derive(Debug, Clone)]
pub struct BackendStatus {
    /// Its name.
    pub name: BackendName,
    /// Its state, with the verdict on its era if it answers.
    pub state: BackendState,
    /// Whether its items are in the lists.
    pub listed: bool,
    /// How many tools, prompts, resources and templates it listed, in the order of [`ItemKind::ALL`].
    pub items: [usize; 4],
    /// How old its listing is.
    pub age: Option<Duration>,
    /// What went wrong last, if it has not gone right since.
    pub failure: Option<String>,
}

/// How one route stands.
#[derive(Debug, Clone)]
pub struct RouteStatus {
    /// Its path.
    pub path: String,
    /// How many tools, prompts, resources and templates it shows, in the order of [`ItemKind::ALL`].
    pub items: [usize; 4],
    /// What an operator should know about its catalog.
    pub remarks: Vec<String>,
}

impl BackendStatus {
    pub(crate) fn of(backend: &LiveBackend) -> Self {
        let known = backend.known();
        let items = known.last().map(|listing| &listing.items);
        let count = |kind| {
            let items = items.into_iter().flatten();
            items.filter(|item| item.kind == kind).count()
        };
        Self {
            name: backend.name().clone(),
            state: backend.backend().state().borrow().clone(),
            listed: known.shown().is_some(),
            items: ItemKind::ALL.map(count),
            age: known.fetched.map(|fetched| fetched.elapsed()),
            failure: known.failure.map(|failure| failure.as_ref().to_owned()),
        }
    }
}

impl RouteStatus {
    pub(crate) fn of(state: &RouteState) -> Self {
        Self {
            path: state.settings.path.clone(),
            items: ItemKind::ALL.map(|kind| state.catalog.items(kind).len()),
            remarks: state
                .catalog
                .remarks()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}
