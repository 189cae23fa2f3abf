//! `subscriptions/listen`: one endless reply that hears all backends of a route.
//!
//! First what is honoured is acknowledged, then come notices, until the scope ends, the route goes, or the reply is
//! dropped. The acknowledgement cannot be amended later (MS-21), so a resource whose backend does not answer the
//! subscription soon is left out.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use isthmus_backend::TaskNews;
use isthmus_exchange::{
    Acknowledged, Caller, Complete, Error, Event, ListenFilter, Outcome, Reply, Request, Step,
    Target,
};
use isthmus_protocol::RawJson;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::listener::Listener;
use crate::live_route::LiveRoute;
use crate::subscriptions::{WATCHED_PER_SCOPE, Watched};
use crate::tasks::{Followed, Looking};
use crate::watching;

/// Opens a listen.
///
/// # Errors
///
/// Invalid parameters without a filter.
pub(crate) async fn listen(
    route: Arc<LiveRoute>,
    looking: Looking,
    request: Request,
) -> Result<Reply, Error> {
    let Some(mut filter) = request.listen else {
        return Err(Error::invalid_params(
            "`notifications` is missing or not valid",
        ));
    };
    let wanted = std::mem::take(&mut filter.uris);
    let followed = std::mem::take(&mut filter.tasks);
    let (holds, followed) = tokio::join!(
        watch(&route, &request.caller, wanted),
        looking.find(&route, &request.caller, followed),
    );
    filter.tasks = followed.iter().map(|task| task.id.clone()).collect();
    let mut open = Open::new(route, request.caller, filter, holds);
    open.follow(&looking, followed);
    let acknowledged = Step::Event(Event::Acknowledged(open.acknowledged()));
    let steps = futures_util::stream::unfold(Some(open), |open| async move {
        let open = open?;
        Some(match open.next().await {
            Some(event) => (Step::Event(event), Some(open)),
            None => (Step::Done(Ok(finished())), None),
        })
    });
    let first = futures_util::stream::once(std::future::ready(acknowledged));
    Ok(Reply::running(futures_util::StreamExt::chain(first, steps)))
}

/// An open listen. Dropping it takes it down.
struct Open {
    /// Released when dropped, which needs the route: so they stand before it.
    _holds: Vec<Held>,
    route: Arc<LiveRoute>,
    listener: Arc<Listener>,
    key: u64,
    /// Ends what follows its tasks.
    following: CancellationToken,
    /// Lets the backends of its tasks say how these get on.
    news: Vec<TaskNews>,
}

/// A reason for the caller's scope to watch a resource; dropping it takes the reason away.
struct Held {
    route: Weak<LiveRoute>,
    caller: Arc<Caller>,
    watched: Watched,
}

impl Open {
    fn new(
        route: Arc<LiveRoute>,
        caller: Arc<Caller>,
        filter: ListenFilter,
        holds: Vec<Held>,
    ) -> Self {
        let watched = holds.iter().map(|held| held.watched.clone()).collect();
        let listener = Arc::new(Listener::new(caller, filter, watched));
        let key = route.listeners.add(listener.clone());
        // A route that was retired a moment ago has told its listeners so before this one was there.
        if route.state().retired {
            listener.end();
        }
        Self {
            _holds: holds,
            route,
            listener,
            key,
            following: CancellationToken::new(),
            news: Vec::new(),
        }
    }

    fn follow(&mut self, looking: &Looking, tasks: Vec<Followed>) {
        self.news = looking.news(&self.route, &self.listener.caller, &tasks);
        for task in tasks {
            let (route, listener) = (Arc::downgrade(&self.route), Arc::downgrade(&self.listener));
            let following = looking.clone().follow(route, listener, task);
            let ended = self.following.clone();
            self.route.run(async move {
                tokio::select! {
                    () = following => {}
                    () = ended.cancelled() => {}
                }
            });
        }
    }

    fn acknowledged(&self) -> Acknowledged {
        let honoured = self.listener.watched.iter();
        let uris: BTreeSet<String> = honoured.map(|watched| watched.exposed.clone()).collect();
        let filter = ListenFilter {
            uris,
            ..self.listener.filter.clone()
        };
        Acknowledged { filter }
    }

    async fn next(&self) -> Option<Event> {
        let ended = self.listener.caller.scope.ended();
        tokio::select! {
            notice = self.listener.next() => notice.map(Event::Notice),
            () = ended.cancelled() => None,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.following.cancel();
        self.route.listeners.remove(self.key);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(route) = self.route.upgrade() else {
            return;
        };
        let (weak, caller, watched) = (
            self.route.clone(),
            self.caller.clone(),
            self.watched.clone(),
        );
        route.run(async move {
            let Some(route) = weak.upgrade() else { return };
            let scope = caller.scope.id();
            route.subscriptions.release(scope, &watched).await;
        });
    }
}

/// Watches those of `uris` that lead to a backend which answers soon.
async fn watch(route: &Arc<LiveRoute>, caller: &Arc<Caller>, uris: BTreeSet<String>) -> Vec<Held> {
    if uris.is_empty() {
        return Vec::new();
    }
    route.warmed_up(route.state().settings.cold_start).await;
    let state = route.state();
    let view = state.view(caller);
    let known = uris
        .into_iter()
        .take(WATCHED_PER_SCOPE)
        .filter_map(|exposed| {
            let Target {
                backend, native, ..
            } = state.catalog.locate(&exposed, view)?;
            // What takes another credential is left out: a listen has no way to say so of one of many.
            if !state.may_hear_of(caller, &backend, &native) {
                return None;
            }
            let watched = Watched {
                exposed,
                backend,
                native,
            };
            watching::can_watch(route, &watched).then_some(watched)
        });
    let attempts = known.map(|watched| attempt(route, caller, watched));
    join_all(attempts).await.into_iter().flatten().collect()
}

/// Watches one resource, if its backend answers soon. One that answers too late is told to stop again.
async fn attempt(route: &Arc<LiveRoute>, caller: &Arc<Caller>, watched: Watched) -> Option<Held> {
    let backend = route.state().member(&watched.backend)?.backend().clone();
    let (answer, heard) = oneshot::channel();
    let (weak, caller) = (Arc::downgrade(route), caller.clone());
    route.run(async move {
        let Some(route) = weak.upgrade() else { return };
        let held = route.subscriptions.hold(&backend, &caller, &watched.native);
        if held.await.is_err() {
            return;
        }
        // Released if it is dropped here, or if nobody waits for it any more.
        let held = Held {
            route: weak,
            caller: caller.clone(),
            watched,
        };
        if backend.hears(caller).await {
            let _ = answer.send(held);
        }
    });
    timeout(ACKNOWLEDGEMENT_PATIENCE, heard).await.ok()?.ok()
}

fn finished() -> Outcome {
    Outcome::Complete(Complete {
        result: RawJson::empty_object(),
        cache: None,
    })
}

/// How long an acknowledgement waits for a backend's own.
const ACKNOWLEDGEMENT_PATIENCE: Duration = Duration::from_secs(2);
