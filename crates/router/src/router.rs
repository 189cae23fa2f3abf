//! The router: every route, every backend, and the stages that lead from one to the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use isthmus_backend::Parking;
use isthmus_catalog::Catalog;
use isthmus_config::Route;
use isthmus_exchange::{
    Authorization, BackendName, BoxStage, Caller, Error, ErrorKind, Item, ItemKind, Reply, Request,
    RouteName,
};
use isthmus_protocol::Method;
use isthmus_seal::SealKeys;
use tokio::runtime::Handle;

use crate::any_backend::AnyBackend;
use crate::live_backend::LiveBackend;
use crate::live_route::LiveRoute;
use crate::request_state::RequestStates;
use crate::resolve::resolve;
use crate::status::{BackendStatus, RouteStatus, Status};
use crate::tasks::Looking;
use crate::{calls, listen, lists, watching};

/// Leads requests on a route to the backends behind it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    states: RequestStates,
    parking: Parking,
    /// Where keepers and rebuilders run: not with the requests.
    background: Handle,
    fleet: ArcSwap<Fleet>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Fleet {
    /// By path.
    routes: BTreeMap<String, Arc<LiveRoute>>,
    /// In config order.
    backends: Vec<Arc<LiveBackend>>,
}

/// What a reload changed.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// Backends whose settings are the same; they run on.
    pub kept: Vec<BackendName>,
    /// Backends that are new, or new under an old name.
    pub started: Vec<BackendName>,
    /// Backends that nobody is led to any more. Whoever started them closes them, once what is in flight is done.
    pub removed: Vec<Arc<dyn AnyBackend>>,
}

impl Router {
    /// A router without routes. Everything it starts runs on `background`.
    ///
    /// `parking` has to be the one that its backends park calls in.
    #[must_use]
    pub fn new(keys: Arc<SealKeys>, parking: Parking, background: Handle) -> Self {
        Self(Arc::new(Shared {
            states: RequestStates::new(keys, parking.lifetime()),
            parking,
            background,
            fleet: ArcSwap::default(),
            reloading: Mutex::new(()),
        }))
    }

    /// Serves these routes and backends from now on. Backends with equal settings are kept, `start` makes the others.
    /// `authorize` says who may see and use what on a route. Listeners hear what changed; sessions on routes that stay go
    /// on.
    ///
    /// # Errors
    ///
    /// What `start` fails with; then nothing has changed, and whoever started backends before closes them.
    pub fn reload<E>(
        &self,
        routes: &[Route],
        backends: &[isthmus_config::Backend],
        authorize: impl Fn(&Route) -> Arc<dyn Authorization>,
        mut start: impl FnMut(&isthmus_config::Backend) -> Result<Arc<dyn AnyBackend>, E>,
    ) -> Result<Reloaded, E> {
        let reloading = &self.0.reloading;
        let _one_at_a_time = reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.0.fleet.load_full();
        let mut reloaded = Reloaded::default();
        let planned = backends.iter().map(|settings| {
            let same = |live: &&Arc<LiveBackend>| live.backend().settings() == settings;
            Ok(match old.backends.iter().find(same) {
                Some(live) => Planned::Kept(live.clone()),
                None => Planned::New(start(settings)?),
            })
        });
        let new: Vec<Planned> = planned.collect::<Result<_, E>>()?;
        let live: Vec<_> = new
            .into_iter()
            .map(|planned| match planned {
                Planned::Kept(live) => {
                    reloaded.kept.push(live.name().clone());
                    live
                }
                Planned::New(backend) => {
                    reloaded.started.push(backend.name().clone());
                    LiveBackend::start(backend, &self.0.background)
                }
            })
            .collect();
        let gone = old.backends.iter();
        let gone = gone.filter(|old| !live.iter().any(|live| Arc::ptr_eq(live, old)));
        reloaded.removed = gone.map(|live| live.backend().clone()).collect();
        let routes: Vec<_> = routes
            .iter()
            .map(|route| (route.clone(), authorize(route)))
            .collect();
        self.switch(&old, routes, live, &reloaded.started);
        Ok(reloaded)
    }

    fn switch(
        &self,
        old: &Fleet,
        planned: Vec<(Route, Arc<dyn Authorization>)>,
        backends: Vec<Arc<LiveBackend>>,
        started: &[BackendName],
    ) {
        let by_name: HashMap<&str, &Arc<LiveBackend>> = backends
            .iter()
            .map(|live| (live.name().as_str(), live))
            .collect();
        let mut routes = BTreeMap::new();
        for (settings, authorization) in planned {
            let path = settings.path.clone();
            let names = settings.backends.iter();
            let members: Vec<_> = names
                .filter_map(|name| by_name.get(name.as_str()).map(|live| Arc::clone(live)))
                .collect();
            let route = match old.routes.get(&path) {
                Some(route) => {
                    route.reconfigure(settings, members, authorization);
                    route.clone()
                }
                None => LiveRoute::start(settings, members, authorization, &self.0.background),
            };
            routes.insert(path, route);
        }
        for live in &backends {
            let showing = routes.values().filter(|route| {
                let members = &route.state().members;
                members.iter().any(|member| Arc::ptr_eq(member, live))
            });
            let showing: Vec<_> = showing.collect();
            live.routes()
                .set(showing.iter().map(|route| Arc::downgrade(route)).collect());
            for route in showing {
                // What the backend said between being built in and being told of the route.
                route.note(true, &BTreeSet::new());
                if started.contains(live.name())
                    && old.routes.contains_key(&route.state().settings.path)
                {
                    route.resubscribe(live.backend());
                }
            }
        }
        let retired = old
            .routes
            .iter()
            .filter(|(path, _)| !routes.contains_key(*path));
        retired.for_each(|(_, route)| route.retire());
        self.0.fleet.store(Arc::new(Fleet { routes, backends }));
    }

    /// The whole way of a request on a route: resolve, then dispatch. `None`: there is no such route.
    ///
    /// The stage follows reloads for as long as there is a route with that path.
    #[must_use]
    pub fn stage(&self, route: &RouteName) -> Option<BoxStage> {
        self.resolving(route, self.dispatch(route)?)
    }

    /// Attaches the target of each request before `next`. `None`: there is no such route.
    ///
    /// Refuses what leads nowhere: invalid parameters for names, `ResourceNotFound` for URIs.
    #[must_use]
    pub fn resolving(&self, route: &RouteName, next: BoxStage) -> Option<BoxStage> {
        let route = self.live(route)?;
        let states = self.0.states.clone();
        Some(BoxStage::from_fn(move |request| {
            let (route, states, next) = (route.clone(), states.clone(), next.clone());
            async move { next.run(resolve(&route, &states, request).await?).await }
        }))
    }

    /// Answers requests whose target is attached. `None`: there is no such route.
    #[must_use]
    pub fn dispatch(&self, route: &RouteName) -> Option<BoxStage> {
        let route = self.live(route)?;
        let shared = self.0.clone();
        Some(BoxStage::from_fn(move |request| {
            dispatch(route.clone(), shared.clone(), request)
        }))
    }

    /// The catalog of a route as it is now.
    #[must_use]
    pub fn catalog(&self, route: &RouteName) -> Option<Arc<Catalog>> {
        Some(self.live(route)?.state().catalog.clone())
    }

    /// The tool that `caller` means by `name` on a route; `None` if it sees none of that name.
    #[must_use]
    pub fn tool(&self, route: &RouteName, name: &str, caller: &Caller) -> Option<Arc<Item>> {
        let state = self.live(route)?.state();
        let target = state.catalog.find(ItemKind::Tool, name, state.view(caller));
        target.ok()?.item
    }

    /// Waits until every backend has been heard of: it listed what it offers, or turned out not to be there.
    pub async fn wait_ready(&self) {
        let fleet = self.0.fleet.load_full();
        join_all(fleet.backends.iter().map(|live| live.heard_of())).await;
        // A backend is heard of a moment before the catalogs show it.
        join_all(fleet.routes.values().map(|route| route.complete())).await;
    }

    /// How the fleet stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let fleet = self.0.fleet.load();
        let backends = fleet.backends.iter().map(|live| BackendStatus::of(live));
        let routes = fleet
            .routes
            .values()
            .map(|route| RouteStatus::of(&route.state()));
        Status {
            backends: backends.collect(),
            routes: routes.collect(),
        }
    }

    fn live(&self, route: &RouteName) -> Option<Arc<LiveRoute>> {
        self.0.fleet.load().routes.get(route.as_str()).cloned()
    }
}

/// A backend of the fleet to be.
enum Planned {
    Kept(Arc<LiveBackend>),
    New(Arc<dyn AnyBackend>),
}

/// Answers one request.
async fn dispatch(
    route: Arc<LiveRoute>,
    shared: Arc<Shared>,
    request: Request,
) -> Result<Reply, Error> {
    if let Some(kind) = ItemKind::of_list_method(&request.method) {
        return lists::page(&route, kind, request, shared.states.keys()).await;
    }
    match request.method {
        Method::ServerDiscover => Ok(lists::offer(&route).await),
        Method::ToolsCall
        | Method::PromptsGet
        | Method::ResourcesRead
        | Method::CompletionComplete
        | Method::TasksGet
        | Method::TasksResult
        | Method::TasksList
        | Method::TasksUpdate
        | Method::TasksCancel => {
            let (states, parking) = (shared.states.clone(), shared.parking.clone());
            calls::forward(route, states, parking, request).await
        }
        Method::ResourcesSubscribe => watching::subscribe(route, request).await,
        Method::ResourcesUnsubscribe => watching::unsubscribe(route, request).await,
        Method::SubscriptionsListen => {
            let (states, parking) = (shared.states.clone(), shared.parking.clone());
            listen::listen(route, Looking { states, parking }, request).await
        }
        unknown => {
            let message = format!("no method `{unknown}`");
            Err(Error::new(ErrorKind::MethodNotFound, message))
        }
    }
}
