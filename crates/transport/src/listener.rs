//! One place where clients are accepted, and what all such places share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use isthmus_config::Bounds;
use isthmus_exchange::{Principal, Scope};
use isthmus_protocol::RawJson;
use isthmus_session::SessionTable;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::documents::Documents;
use crate::face::RouteFace;
use crate::http_sse::SseConnections;
use crate::principal_scopes::PrincipalScopes;

/// What every listener, and the stdio face, share. One per gateway; kept across reloads.
#[derive(Debug)]
pub struct Clients {
    settings: ClientsSettings,
    /// Calls that outlive the connection that brought them (LS-8).
    calls: TaskTracker,
    closing: CancellationToken,
    scopes: PrincipalScopes,
    sse: SseConnections,
}

/// What [`Clients`] is made of.
pub struct ClientsSettings {
    /// The sessions of stateful clients.
    pub sessions: Arc<SessionTable>,
    /// What limits everything that comes from the network.
    pub bounds: Bounds,
    /// The gateway's own `serverInfo`: an object with `name` and `version`.
    pub server_info: RawJson,
    /// Where streams and other long work runs.
    pub background: Handle,
    /// Asked by `/readyz`.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
}

/// Whether the gateway is ready, and one line on why (not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// 200 or 503.
    pub ready: bool,
    /// What `/readyz` says.
    pub message: String,
}

/// One place where HTTP clients are accepted.
#[derive(Debug)]
pub struct Listener {
    pub(crate) clients: Arc<Clients>,
    view: ArcSwap<View>,
}

/// What one request sees of its listener: taken once, at the door.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) settings: isthmus_config::Listener,
    pub(crate) documents: Documents,
    endpoints: HashMap<String, Endpoint>,
}

/// What is served at one path.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// Streamable HTTP of every revision.
    Streamable(Arc<RouteFace>),
    /// The event stream of HTTP+SSE.
    SseStream(Arc<RouteFace>),
    /// The message endpoint of HTTP+SSE.
    SseMessages(Arc<RouteFace>),
}

impl Clients {
    /// No client yet.
    #[must_use]
    pub fn new(settings: ClientsSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            calls: TaskTracker::new(),
            closing: CancellationToken::new(),
            scopes: PrincipalScopes::new(MOST_PRINCIPALS),
            sse: SseConnections::default(),
        })
    }

    /// The sessions of stateful clients.
    #[must_use]
    pub fn sessions(&self) -> &Arc<SessionTable> {
        &self.settings.sessions
    }

    /// Begins to shut down: connections finish what is in flight, streams that would never end are closed.
    ///
    /// Then wait for the connections and for [`Clients::drained`], as long as `Bounds::drain` says.
    pub fn drain(&self) {
        self.closing.cancel();
        self.calls.close();
    }

    /// Completes when no call of a stateful session runs any more. Call [`Clients::drain`] first.
    pub async fn drained(&self) {
        self.calls.wait().await;
    }

    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.settings.bounds
    }

    pub(crate) const fn server_info(&self) -> &RawJson {
        &self.settings.server_info
    }

    pub(crate) const fn background(&self) -> &Handle {
        &self.settings.background
    }

    pub(crate) fn readiness(&self) -> Readiness {
        if self.closing.is_cancelled() {
            return Readiness {
                ready: false,
                message: "shutting down".to_owned(),
            };
        }
        (self.settings.readiness)()
    }

    pub(crate) const fn calls(&self) -> &TaskTracker {
        &self.calls
    }

    pub(crate) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    pub(crate) const fn sse(&self) -> &SseConnections {
        &self.sse
    }

    /// The scope that all stateless requests of a principal share.
    pub(crate) fn principal_scope(&self, principal: &Principal) -> Arc<Scope> {
        self.scopes.of(principal)
    }
}

impl fmt::Debug for ClientsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientsSettings")
            .field("sessions", &self.sessions)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// A listener that serves `faces`, each at its route's path.
    #[must_use]
    pub fn new(
        clients: Arc<Clients>,
        settings: isthmus_config::Listener,
        faces: Vec<RouteFace>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clients,
            view: ArcSwap::from_pointee(View::new(settings, faces)),
        })
    }

    /// Serves other routes from now on. Requests in flight go on as they began; sessions stay.
    pub fn replace(&self, settings: isthmus_config::Listener, faces: Vec<RouteFace>) {
        self.view.store(Arc::new(View::new(settings, faces)));
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }
}

impl View {
    fn new(settings: isthmus_config::Listener, faces: Vec<RouteFace>) -> Self {
        let documents = Documents::of(&faces);
        let mut endpoints = HashMap::new();
        for face in faces {
            let face = Arc::new(face);
            let path = face.route.as_str().to_owned();
            if face.legacy_sse {
                let base = path.trim_end_matches('/');
                let stream = Endpoint::SseStream(Arc::clone(&face));
                endpoints.insert(format!("{base}/sse"), stream);
                let messages = Endpoint::SseMessages(Arc::clone(&face));
                endpoints.insert(format!("{base}/messages"), messages);
            }
            endpoints.insert(path, Endpoint::Streamable(face));
        }
        Self {
            settings,
            documents,
            endpoints,
        }
    }

    /// What is served at `path`; a slash at its end makes no difference.
    pub(crate) fn endpoint(&self, path: &str) -> Option<&Endpoint> {
        self.endpoints.get(path).or_else(|| {
            self.endpoints
                .get(path.strip_suffix('/').filter(|path| !path.is_empty())?)
        })
    }

    /// The route of this name, as it is now.
    pub(crate) fn face(&self, route: &isthmus_exchange::RouteName) -> Option<Arc<RouteFace>> {
        match self.endpoints.get(route.as_str())? {
            Endpoint::Streamable(face) => Some(Arc::clone(face)),
            _ => None,
        }
    }

    /// The paths of the routes that ask nobody who he is, for whoever asked for another one.
    pub(crate) fn routes(&self) -> Vec<&str> {
        let mut routes: Vec<&str> = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| {
                matches!(endpoint, Endpoint::Streamable(face) if face.authenticator.is_none())
            })
            .map(|(path, _)| path.as_str())
            .collect();
        routes.sort_unstable();
        routes
    }
}

/// Principals whose scopes are kept although nobody uses them.
const MOST_PRINCIPALS: usize = 10_000;
