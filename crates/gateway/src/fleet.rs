//! Everything that a config describes and that runs: backends, the router over them, and what clients see of each route.
//!
//! A reload builds the new parts beside the old ones, keeps backends whose settings are equal, swaps, and drains what
//! left. Whatever may fail is done before the swap, so that a failure changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use isthmus_backend::{Backend, Parking, Shared};
use isthmus_config::Config;
use isthmus_credentials::client_document;
use isthmus_egress::{FetchLimits, Fetcher};
use isthmus_exchange::{AllAllowed, Caller, RouteName};
use isthmus_policy::{Authenticators, Door, Doors, compile_authorization};
use isthmus_protocol::RawJson;
use isthmus_router::{AnyBackend, Reloaded, Router};
use isthmus_seal::SealKeys;
use isthmus_telemetry::audit::AuditLog;
use isthmus_transport::{RouteFace, ToolDefinitions};
use tokio::runtime::Handle;

use crate::settings::{self, is_logged_in_to};
use crate::stack::front_stack;

/// The running fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    shared: Shared,
    router: Router,
    /// `None`: nobody is asked who he is.
    authenticators: Option<Authenticators>,
    doors: ArcSwap<Doors>,
    /// Where requests are written down, if they are.
    audit: Option<AuditLog>,
}

/// Who uses a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// Whoever comes to its listeners, and is asked there who he is.
    Callers,
    /// The one who has started it. No listener is served, and nobody's keys are fetched.
    Own,
}

/// The gateway's own `Implementation` object.
pub(crate) fn own_info() -> RawJson {
    RawJson::from_serialize(&serde_json::json!({
        "name": "isthmus", "title": "isthmus", "version": env!("CARGO_PKG_VERSION"),
    }))
}

impl Fleet {
    /// Starts every backend of `config`. They connect in the background; nothing waits for them.
    ///
    /// # Errors
    ///
    /// If a backend's settings cannot be used; a resolved config has none of that kind.
    pub(crate) fn start(
        config: &Config,
        background: Handle,
        egress_slots: usize,
        keys: Arc<SealKeys>,
        users: Users,
        audit: Option<AuditLog>,
    ) -> anyhow::Result<Self> {
        let egress = isthmus_egress::Client::new(isthmus_egress::ClientSettings {
            slots: egress_slots,
            ..isthmus_egress::ClientSettings::default()
        });
        let fetcher = Fetcher::new(Vec::new(), FetchLimits::default());
        let shared = Shared {
            credentials: isthmus_credentials::Shared {
                fetcher: fetcher.clone(),
                background: background.clone(),
                logins: settings::logins(config, &keys),
            },
            background: background.clone(),
            egress,
            client_info: own_info(),
            bounds: config.bounds.clone(),
            parking: Parking::new(&config.bounds, background.clone()),
            guard: PathBuf::from("/proc/self/exe"),
            strangers: strangers(config),
        };
        let parking = shared.parking.clone();
        let authenticators =
            (users == Users::Callers).then(|| Authenticators::new(fetcher, background.clone()));
        let fleet = Self {
            shared,
            authenticators,
            doors: ArcSwap::default(),
            audit,
            router: Router::new(keys, parking, background),
        };
        fleet.apply(config)?;
        Ok(fleet)
    }

    /// Makes the fleet what `config` says. What the answer calls removed is to be closed by the caller.
    ///
    /// # Errors
    ///
    /// If a rule cannot be compiled, or a new backend or an authenticator cannot be made; then nothing has changed.
    pub(crate) fn apply(&self, config: &Config) -> anyhow::Result<Reloaded> {
        let doors = match &self.authenticators {
            Some(authenticators) => authenticators.assemble(config)?,
            None => Doors::default(),
        };
        let authorizations = compile_authorization(config)?;
        let reloaded = self.router.reload(
            &config.routes,
            &config.backends,
            |route| authorizations.of(route),
            |settings| {
                Backend::start(settings.clone(), &self.shared)
                    .map(|backend| backend as Arc<dyn AnyBackend>)
            },
        )?;
        self.doors.store(Arc::new(doors));
        Ok(reloaded)
    }

    /// The router.
    pub(crate) const fn router(&self) -> &Router {
        &self.router
    }

    /// What clients see of each route of `config` at `listener`. What nobody guards and nobody has opened is not there.
    pub(crate) fn faces(
        &self,
        config: &Config,
        listener: &isthmus_config::Listener,
    ) -> Vec<RouteFace> {
        let doors = self.doors.load();
        let guarded = |route| {
            let authenticator = match doors.door(listener, route)? {
                Door::Open => None,
                Door::Guarded(authenticator) => Some(authenticator),
            };
            Some(RouteFace {
                authenticator,
                ..self.face(route)?
            })
        };
        let mut faces: Vec<RouteFace> = config.routes.iter().filter_map(guarded).collect();
        if let (Some(face), Some(public_url)) = (faces.first_mut(), &listener.public_url)
            && config.backends.iter().any(is_logged_in_to)
        {
            face.documents.extend(client_document(public_url));
        }
        faces
    }

    /// What the user of this machine sees of one route, without being asked; `None` if the fleet has no such route.
    pub(crate) fn face(&self, route: &isthmus_config::Route) -> Option<RouteFace> {
        let name = RouteName::new(route.path.as_str());
        let dispatch = self.router.dispatch(&name)?;
        let stage = front_stack(
            &name,
            self.audit.as_ref(),
            self.router.resolving(&name, dispatch)?,
        );
        let tools = Arc::new(CatalogTools {
            router: self.router.clone(),
            route: name.clone(),
        });
        Some(RouteFace {
            legacy_sse: route.legacy_sse,
            audit: self.audit.clone(),
            tools,
            ..RouteFace::new(name, stage)
        })
    }

    /// Ends calls that wait for their clients, who cannot come back any more, and then every backend in an orderly way.
    pub(crate) async fn close(&self) {
        self.shared.parking.close().await;
        let never = |_: &_| -> Result<Arc<dyn AnyBackend>, std::convert::Infallible> {
            unreachable!("no backend is wanted any more")
        };
        match self
            .router
            .reload(&[], &[], |_| Arc::new(AllAllowed), never)
        {
            Ok(reloaded) => close_all(reloaded.removed).await,
            Err(impossible) => match impossible {},
        }
        if let Some(logins) = &self.shared.credentials.logins {
            logins.settled().await;
        }
        if let Some(audit) = self.audit.clone() {
            // Nothing is asked any more; what was, is written down before the process ends.
            let closing = tokio::task::spawn_blocking(move || audit.close(LAST_LINES));
            let _ = closing.await;
        }
    }
}

/// How long the audit log may take to write what is waiting at the end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Ends backends that nobody is led to any more.
pub(crate) async fn close_all(backends: Vec<Arc<dyn AnyBackend>>) {
    futures_util::future::join_all(backends.into_iter().map(AnyBackend::close)).await;
}

/// Whether callers that nobody authenticated may come from other machines.
fn strangers(config: &Config) -> bool {
    config.listeners.iter().any(|listener| {
        let mut routes = config.routes.iter();
        routes.any(|route| listener.lets_others_reach(route))
    })
}

/// Looks a tool's definition up in the catalog.
#[derive(Debug)]
struct CatalogTools {
    router: Router,
    route: RouteName,
}

impl ToolDefinitions for CatalogTools {
    fn definition(&self, name: &str, caller: &Caller) -> Option<RawJson> {
        let tool = self.router.tool(&self.route, name, caller)?;
        Some(tool.definition.clone())
    }
}
