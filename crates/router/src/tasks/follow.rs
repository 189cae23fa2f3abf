//! Tells a listen how its tasks get on.
//!
//! A task is looked at as often as its backend wishes, and when the backend says something of it, until it ends. That works
//! whatever kind the backend is of: pushes are optional in both. What is told is what `tasks/get` would have answered at that
//! moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use isthmus_backend::{Parking, TaskNews};
use isthmus_exchange::{BackendName, Caller, Error, Outcome, Request, Subject};
use isthmus_protocol::object::assemble;
use isthmus_protocol::tasks::Snapshot;
use isthmus_protocol::{Method, RawJson};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::ids;
use super::target::target;
use crate::calls;
use crate::listener::Listener;
use crate::live_route::LiveRoute;
use crate::request_state::RequestStates;

/// What it takes to look at a task.
#[derive(Clone)]
pub(crate) struct Looking {
    pub(crate) states: RequestStates,
    pub(crate) parking: Parking,
}

/// A task that a listen follows.
pub(crate) struct Followed {
    /// Its id as the listener wrote it.
    pub(crate) id: String,
    /// What was last seen of it.
    seen: RawJson,
}

impl Looking {
    /// Those of `ids` that are tasks of the caller and can be looked at now.
    pub(crate) async fn find(
        &self,
        route: &Arc<LiveRoute>,
        caller: &Arc<Caller>,
        ids: BTreeSet<String>,
    ) -> Vec<Followed> {
        let looks = ids.into_iter().map(|id| async {
            let look = timeout(PATIENCE, self.look(route.clone(), caller.clone(), &id));
            let seen = look.await.ok()?.ok()?;
            Some(Followed { id, seen })
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Tells `listener` of every change, until the task has ended or the listener is gone.
    pub(crate) async fn follow(
        self,
        route: Weak<LiveRoute>,
        listener: Weak<Listener>,
        followed: Followed,
    ) {
        let Followed { id, mut seen } = followed;
        let mut failures = 0;
        // It may have changed between the client's last look and this listen, so the first state is told too.
        let Some(caller) = listener.upgrade().map(|listener| {
            listener.task(id.clone(), seen.clone());
            listener.caller.clone()
        }) else {
            return;
        };
        let Some(mut said) = route.upgrade().map(|route| route.tasks.follow()) else {
            return;
        };
        let task = ids::unseal(self.states.keys(), caller.principal.id(), &id);
        let task = task.map(|task| (task.backend, task.native));
        loop {
            let snapshot = Snapshot::of(&seen);
            if snapshot
                .as_ref()
                .is_none_or(|seen| seen.status.is_terminal())
            {
                return;
            }
            let wish = snapshot.and_then(|seen| seen.poll_interval);
            let pause = wish
                .unwrap_or(USUAL_PAUSE)
                .clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            tokio::time::sleep(SHORTEST_PAUSE).await;
            let waiting = tokio::time::sleep(pause.saturating_sub(SHORTEST_PAUSE));
            tokio::select! {
                () = waiting => {}
                () = said_of(&mut said, task.as_ref()) => {}
            }
            let Some(live) = route.upgrade() else { return };
            let looked = self.look(live, caller.clone(), &id).await;
            let Some(listener) = listener.upgrade() else {
                return;
            };
            match looked {
                Ok(now) if now == seen => failures = 0,
                Ok(now) => {
                    failures = 0;
                    seen = now;
                    listener.task(id.clone(), seen.clone());
                }
                Err(error) if failures < FAILURES => {
                    tracing::debug!(%error, "a followed task cannot be looked at");
                    failures += 1;
                }
                Err(_) => return,
            }
        }
    }

    /// Asks the backends of tasks to say when these come further, for as long as the returned values live.
    pub(crate) fn news(
        &self,
        route: &LiveRoute,
        caller: &Caller,
        tasks: &[Followed],
    ) -> Vec<TaskNews> {
        let mut by_backend: BTreeMap<BackendName, Vec<String>> = BTreeMap::new();
        for followed in tasks {
            let task = ids::unseal(self.states.keys(), caller.principal.id(), &followed.id);
            if let Some(task) = task {
                by_backend
                    .entry(task.backend)
                    .or_default()
                    .push(task.native);
            }
        }
        let state = route.state();
        by_backend
            .into_iter()
            .filter_map(|(backend, natives)| {
                let member = state.member(&backend)?;
                member.backend().hear_of_tasks(caller, &natives)
            })
            .collect()
    }

    async fn look(
        &self,
        route: Arc<LiveRoute>,
        caller: Arc<Caller>,
        id: &str,
    ) -> Result<RawJson, Error> {
        let params = assemble([("taskId", RawJson::string(id))]);
        let mut request = Request {
            subject: Subject::Task(id.to_owned()),
            ..Request::new(Method::TasksGet, params, caller)
        };
        request.target = target(&route, self.states.keys(), &request).await?;
        let (states, parking) = (self.states.clone(), self.parking.clone());
        let reply = calls::forward(route, states, parking, request).await?;
        match reply.outcome().await? {
            Outcome::Complete(complete) => Ok(complete.result),
            _ => Err(Error::internal("a look at a task was no result")),
        }
    }
}

/// Waits until a backend says something of this task; for ever if it never does.
async fn said_of(
    said: &mut broadcast::Receiver<(BackendName, String)>,
    task: Option<&(BackendName, String)>,
) {
    loop {
        match said.recv().await {
            Ok(of) if Some(&of) == task => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// How long an acknowledgement waits to see a task.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait between two looks if the backend does not say.
const USUAL_PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often in a row a look may fail.
const FAILURES: u32 = 10;
