//! One route: its catalog as it is now, and everybody who wants to hear of changes.
//!
//! A rebuilder task builds the catalog anew when a backend's standing changed; many changes at a time cost one build. The
//! route outlives reloads, so sessions and listens on it do too.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use isthmus_catalog::{Catalog, Member, Remark, View};
use isthmus_config::Route;
use isthmus_exchange::{Authorization, BackendName, Caller, ItemKind};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::links::Links;
use crate::listener::Listeners;
use crate::live_backend::LiveBackend;
use crate::scope_end::ScopeEnds;
use crate::subscriptions::Subscriptions;
use crate::tasks::KnownTasks;

/// One route, live.
#[derive(Debug)]
pub(crate) struct LiveRoute {
    state: ArcSwap<RouteState>,
    pub(crate) listeners: Listeners,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) links: Links,
    pub(crate) tasks: KnownTasks,
    pub(crate) ends: ScopeEnds,
    /// Where subscriptions are ended and renewed.
    background: Handle,
    /// Ends what runs there.
    ended: CancellationToken,
    changes: Changes,
    rebuilder: OnceLock<AbortHandle>,
}

/// What requests on a route are answered from. Immutable.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// That of the settings, for what keeps it.
    pub(crate) path: Arc<str>,
    pub(crate) settings: Route,
    /// In config order.
    pub(crate) members: Vec<Arc<LiveBackend>>,
    pub(crate) catalog: Arc<Catalog>,
    /// Who may see and use what.
    pub(crate) authorization: Arc<dyn Authorization>,
    /// No longer served.
    pub(crate) retired: bool,
}

/// What a route is to be: its settings, who stands behind it, and who may see and use what.
type Plan = (Route, Vec<Arc<LiveBackend>>, Arc<dyn Authorization>);

/// What is to be built and told.
#[derive(Debug, Default)]
struct Changes {
    wake: Arc<Notify>,
    pending: Mutex<Pending>,
    /// Up to which change the catalog has been built.
    built: watch::Sender<u64>,
    /// Held while building; remembers which remarks have been logged.
    building: Mutex<HashSet<Remark>>,
}

#[derive(Debug, Default)]
struct Pending {
    /// How many changes there ever were.
    marked: u64,
    /// Lists that backends themselves said had changed.
    announced: BTreeSet<ItemKind>,
}

impl LiveRoute {
    /// A route, and the task that keeps its catalog current.
    pub(crate) fn start(
        settings: Route,
        members: Vec<Arc<LiveBackend>>,
        authorization: Arc<dyn Authorization>,
        background: &Handle,
    ) -> Arc<Self> {
        let state = RouteState::build(settings, members, authorization);
        let route = Arc::new(Self {
            state: ArcSwap::from_pointee(state),
            listeners: Listeners::default(),
            subscriptions: Subscriptions::default(),
            links: Links::default(),
            tasks: KnownTasks::default(),
            ends: ScopeEnds::default(),
            background: background.clone(),
            ended: CancellationToken::new(),
            changes: Changes::default(),
            rebuilder: OnceLock::new(),
        });
        let wake = route.changes.wake.clone();
        let weak = Arc::downgrade(&route);
        let rebuild = async move {
            loop {
                wake.notified().await;
                let Some(route) = weak.upgrade() else { return };
                route.rebuild(None);
            }
        };
        let task = background.spawn(rebuild).abort_handle();
        route.rebuilder.get_or_init(|| task);
        route
    }

    /// What requests are answered from right now.
    pub(crate) fn state(&self) -> Arc<RouteState> {
        self.state.load_full()
    }

    /// Something happened at a backend: its standing `changed`, so the catalog is built anew; it `announced` that lists
    /// changed, so listeners are told, even if we see no difference.
    pub(crate) fn note(&self, changed: bool, announced: &BTreeSet<ItemKind>) {
        if !changed && announced.is_empty() {
            return;
        }
        let mut pending = self.pending();
        pending.marked += u64::from(changed);
        pending.announced.extend(announced);
        drop(pending);
        self.changes.wake.notify_one();
    }

    /// Waits until every change marked so far is in the catalog.
    pub(crate) async fn caught_up(&self) {
        let marked = self.pending().marked;
        let mut built = self.changes.built.subscribe();
        // The sender lives as long as we do.
        let _ = built.wait_for(|built| *built >= marked).await;
    }

    /// Follows the builds of the catalog.
    pub(crate) fn builds(&self) -> watch::Receiver<u64> {
        self.changes.built.subscribe()
    }

    /// Changes settings, members and rules, and tells listeners what that changed.
    pub(crate) fn reconfigure(
        &self,
        settings: Route,
        members: Vec<Arc<LiveBackend>>,
        authorization: Arc<dyn Authorization>,
    ) {
        self.rebuild(Some((settings, members, authorization)));
    }

    /// Builds the catalog and tells listeners which lists changed.
    fn rebuild(&self, new: Option<Plan>) {
        let mut logged = self
            .changes
            .building
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.state();
        if before.retired {
            return;
        }
        let Pending { marked, announced } = self.pending().take();
        let mut told = announced;
        if new.is_some() || marked > *self.changes.built.borrow() {
            let (settings, members, authorization) = new.unwrap_or_else(|| {
                let before = &*before;
                let (settings, members) = (before.settings.clone(), before.members.clone());
                (settings, members, before.authorization.clone())
            });
            let state = RouteState::build(settings, members, authorization);
            log_new_remarks(&state, &mut logged);
            let changed =
                |kind: &ItemKind| before.catalog.digest(*kind) != state.catalog.digest(*kind);
            // What other rules mean to whom is not found out: whoever listens may ask again.
            let other_rules = before.settings.authorization != state.settings.authorization;
            told.extend(
                ItemKind::ALL
                    .iter()
                    .filter(|kind| other_rules || changed(kind)),
            );
            self.state.store(Arc::new(state));
        }
        self.changes.built.send_replace(marked);
        for kind in told {
            self.listeners.each(|listener| listener.list_changed(kind));
        }
        let after = self.state();
        let left = before.members.iter().map(|member| member.name());
        for gone in left.filter(|name| after.member(name).is_none()) {
            self.deliver_all_updates(gone);
        }
    }

    /// Runs something that outlives the request that caused it, but not the route.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        // Detached, so that nothing of it is kept once it is done.
        drop(self.background.spawn(async move {
            ended.run_until_cancelled(task).await;
        }));
    }

    /// Ends every listen and subscription; requests are refused from now on.
    pub(crate) fn retire(self: &Arc<Self>) {
        let _building = self
            .changes
            .building
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.state();
        self.state.store(Arc::new(RouteState {
            retired: true,
            ..RouteState::build(
                before.settings.clone(),
                Vec::new(),
                before.authorization.clone(),
            )
        }));
        self.listeners.each(|listener| listener.end());
        let route = self.clone();
        self.run(async move { route.subscriptions.release_everything().await });
        if let Some(rebuilder) = self.rebuilder.get() {
            rebuilder.abort();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        let pending = &self.changes.pending;
        pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn take(&mut self) -> Self {
        Self {
            marked: self.marked,
            announced: std::mem::take(&mut self.announced),
        }
    }
}

impl Drop for LiveRoute {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(rebuilder) = self.rebuilder.get() {
            rebuilder.abort();
        }
    }
}

impl RouteState {
    fn build(
        settings: Route,
        members: Vec<Arc<LiveBackend>>,
        authorization: Arc<dyn Authorization>,
    ) -> Self {
        let known: Vec<_> = members
            .iter()
            .map(|member| Member {
                name: member.name().clone(),
                settings: member.backend().settings(),
                standing: member.known().standing,
            })
            .collect();
        let catalog = Arc::new(Catalog::build(&settings, &known));
        drop(known);
        Self {
            path: settings.path.as_str().into(),
            settings,
            members,
            catalog,
            authorization,
            retired: false,
        }
    }

    /// The eyes of a caller.
    pub(crate) fn view<'a>(&'a self, caller: &'a Caller) -> View<'a> {
        View {
            caller,
            authorization: &*self.authorization,
        }
    }

    /// Whether every caller sees the same.
    pub(crate) fn same_for_everyone(&self) -> bool {
        self.authorization.same_for_everyone()
    }

    /// The backend called `name`.
    pub(crate) fn member(&self, name: &BackendName) -> Option<&Arc<LiveBackend>> {
        self.members.iter().find(|member| member.name() == name)
    }
}

fn log_new_remarks(state: &RouteState, logged: &mut HashSet<Remark>) {
    let current: HashSet<Remark> = state.catalog.remarks().iter().cloned().collect();
    for remark in state.catalog.remarks() {
        if !logged.contains(remark) {
            tracing::warn!(route = %state.settings.path, backend = %remark.backend, "{remark}");
        }
    }
    *logged = current;
}
