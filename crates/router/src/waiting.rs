//! When a request waits for the catalog: for backends that are starting, and for listings that may be outdated.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::live_route::LiveRoute;

impl LiveRoute {
    /// Waits until every backend that is still starting has been heard of, but no longer than `patience` from when the
    /// first request waited for it (design §6: an `npx` server must not look like "no tools").
    pub(crate) async fn warmed_up(&self, patience: Duration) {
        let mut builds = self.builds();
        loop {
            builds.mark_unchanged();
            let Some(until) = self.cold_until(patience) else {
                return;
            };
            if timeout_at(until, builds.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the catalog shows what every backend offers, or that it is not there.
    pub(crate) async fn complete(&self) {
        let mut builds = self.builds();
        loop {
            builds.mark_unchanged();
            if self.state().catalog.cold().next().is_none() || builds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes sure that what is listed is what backends offer, where that takes a short request to them: only where nobody
    /// tells us of changes and the listing's time is up.
    pub(crate) async fn freshened(&self) {
        let state = self.state();
        join_all(state.members.iter().map(|member| member.freshen())).await;
        self.caught_up().await;
    }

    /// Until when it is worth waiting for backends that are starting; `None` if it is not.
    fn cold_until(&self, patience: Duration) -> Option<Instant> {
        let state = self.state();
        let cold = state.catalog.cold();
        let members = cold.filter_map(|name| state.member(name));
        let until = members
            .map(|member| member.waited_for_until(patience))
            .max()?;
        (until > Instant::now()).then_some(until)
    }
}
