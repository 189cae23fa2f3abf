//! One backend as the router sees it.
//!
//! Sends each call through the conversation that its caller may use, once there is room for it, and ends it at its
//! deadline. What opens conversations, keeps one to list by and decides who shares them stands in files of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use isthmus_config::{SessionPolicy, Wire};
use isthmus_exchange::{BackendName, Caller, Error, ErrorKind, Listing};
use isthmus_protocol::RawJson;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::admission::Admission;
use crate::listing::{self, ListBounds};
use crate::listing_session::ListingSession;
use crate::opening;
use crate::parking::{Parking, ParksOfOne};
use crate::pool::{Open, Pool, PoolSettings, Sharing};
use crate::state::{BackendNotice, BackendState};
use crate::tasks::{TaskNews, Tasks};

/// What all backends of a gateway share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Where children, streams and everything else that outlives a request run.
    pub background: Handle,
    /// The outbound HTTP client.
    pub egress: isthmus_egress::Client,
    /// What the credentials for backends share.
    pub credentials: isthmus_credentials::Shared,
    /// The gateway's own `Implementation` object: `clientInfo` towards backends.
    pub client_info: RawJson,
    /// What limits everything that comes from the network.
    pub bounds: isthmus_config::Bounds,
    /// Where calls of stateless clients wait for answers.
    pub parking: Parking,
    /// The executable that is started as the guard of each child; it must hand `__guard` to [`crate::guard_main`].
    pub guard: PathBuf,
    /// Whether callers that nobody authenticated may come from other machines: then a stateful backend's session is not
    /// shared between calls unless the operator says so (design §5).
    pub strangers: bool,
}

/// One MCP server behind us, running.
#[derive(Debug)]
pub struct Backend {
    name: BackendName,
    settings: isthmus_config::Backend,
    pool: Arc<Pool>,
    opener: Arc<dyn Open>,
    listing_session: Arc<ListingSession>,
    admission: Arc<Admission>,
    parking: Parking,
    parks: ParksOfOne,
    asking: AskingBounds,
    tasks: Tasks,
    /// How long parks may take when the backend is removed.
    drain: Duration,
}

/// What limits questions to a caller that is asked in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskingBounds {
    /// How long one answer may take.
    pub(crate) answer: Duration,
    /// How often a stateless backend may ask in the course of one call.
    pub(crate) rounds: u32,
}

impl Backend {
    /// Starts a backend: it connects, or starts its child, at once and in the background.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used: a name that is none, a header that cannot be sent. A resolved config has neither.
    pub fn start(settings: isthmus_config::Backend, shared: &Shared) -> Result<Arc<Self>, Error> {
        let name = BackendName::parse(&settings.name).map_err(Error::internal)?;
        let opener = opening::opener(&name, &settings, shared)?;
        Ok(Self::opened_by(opener, name, settings, shared))
    }

    /// A backend whose conversations `opener` opens.
    pub(crate) fn opened_by(
        opener: Arc<dyn Open>,
        name: BackendName,
        settings: isthmus_config::Backend,
        shared: &Shared,
    ) -> Arc<Self> {
        let pool = PoolSettings {
            sharing: sharing(&settings, shared.strangers),
            idle: settings.idle,
            conversations: settings.bounds.conversations,
            per_principal: settings.bounds.conversations_per_principal,
            processes: matches!(settings.wire, Wire::Stdio(_)),
            background: shared.background.clone(),
        };
        let pool = Pool::new(opener.clone(), pool);
        let listing_session = ListingSession::start(
            name.clone(),
            pool.clone(),
            opener.clone(),
            settings.restart,
            &shared.background,
        );
        let tasks = Tasks::new(name.clone(), shared.background.clone());
        let admission = Admission::new(settings.bounds.in_flight, settings.bounds.queue);
        let bounds = &shared.bounds;
        Arc::new(Self {
            name,
            settings,
            pool,
            opener,
            listing_session,
            admission: Arc::new(admission),
            parking: shared.parking.clone(),
            parks: ParksOfOne::default(),
            asking: AskingBounds {
                answer: bounds.answer,
                rounds: bounds.rounds,
            },
            tasks,
            drain: bounds.drain,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &BackendName {
        &self.name
    }

    /// The settings it was started with: a reload keeps it if they are still the same.
    #[must_use]
    pub const fn settings(&self) -> &isthmus_config::Backend {
        &self.settings
    }

    /// Follows where it stands.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BackendState> {
        self.listing_session.state()
    }

    /// Follows what it says unasked. A receiver that lags loses the oldest and is told so.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.pool.notices()
    }

    /// Says that `caller` looks at what there is: more may be listed soon, if there is more for one who can do what it can.
    pub fn expect(&self, caller: &Caller) {
        self.pool.expect(caller);
    }

    /// Fetches everything the backend lists, all pages of all kinds, now.
    ///
    /// # Errors
    ///
    /// The first failure of any page; `TimedOut` after the backend's list time.
    pub async fn listing(&self) -> Result<Arc<Listing>, Error> {
        let lease = self.listing_session.lease().await?;
        let fetched = listing::fetch(&self.name, lease.conversation(), self.list_bounds());
        let listing = tokio::time::timeout(self.settings.timeouts.list, fetched)
            .await
            .map_err(|_| {
                let seconds = self.settings.timeouts.list.as_secs_f32();
                let message = format!(
                    "`{}` did not finish its lists within {seconds} s",
                    self.name
                );
                Error::new(ErrorKind::TimedOut(Some(self.name.clone())), message)
            })??;
        self.pool.note_apps(listing::has_apps(&listing));
        Ok(Arc::new(listing))
    }

    /// Subscribes the caller's scope to a native URI. Idempotent.
    ///
    /// # Errors
    ///
    /// Invalid parameters if the backend does not honour it; else as [`Backend::call`].
    pub async fn subscribe(&self, caller: &Caller, uri: &str) -> Result<(), Error> {
        self.pool
            .acquire(caller)
            .await?
            .subscribe(caller.scope.id(), uri)
            .await
    }

    /// Ends a subscription. Idempotent. Opens nothing: where there is no conversation there is nothing to end.
    ///
    /// # Errors
    ///
    /// As [`Backend::call`].
    pub async fn unsubscribe(&self, caller: &Caller, uri: &str) -> Result<(), Error> {
        match self.pool.existing(caller) {
            Some(lease) => lease.unsubscribe(caller.scope.id(), uri).await,
            None => Ok(()),
        }
    }

    /// Whether updates of what the caller's scope subscribed to reach us: a backend may accept a subscription over HTTP and
    /// offer no stream to say anything on.
    pub async fn hears(&self, caller: &Caller) -> bool {
        match self.pool.existing(caller) {
            Some(lease) => lease.conversation().clone().hears_soon().await,
            None => false,
        }
    }

    /// Asks the backend to say when tasks of the caller come further, for as long as the returned value lives; `None` if it
    /// cannot be asked. What it says comes with everything else it says unasked, and nobody may rely on it.
    #[must_use]
    pub fn hear_of_tasks(&self, caller: &Caller, ids: &[String]) -> Option<TaskNews> {
        let lease = Arc::new(self.pool.existing(caller)?);
        self.tasks.hear_of(lease.conversation(), lease.clone(), ids)
    }

    /// Takes nothing new, lets parked calls come back for as long as a shutdown may take, gives calls in flight the backend's
    /// `timeouts.stop` to end, then ends every conversation in an orderly way.
    pub async fn close(&self) {
        self.listing_session.drain();
        self.parks.end(self.drain).await;
        self.admission.close(self.settings.timeouts.stop).await;
        self.tasks.close().await;
        self.listing_session.stop();
        self.pool.close().await;
        self.opener.close().await;
    }

    const fn list_bounds(&self) -> ListBounds {
        ListBounds {
            pages: self.settings.bounds.pages,
            items: self.settings.bounds.items,
        }
    }

    pub(crate) const fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) const fn parking(&self) -> &Parking {
        &self.parking
    }

    pub(crate) const fn parks(&self) -> &ParksOfOne {
        &self.parks
    }

    pub(crate) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What limits questions to a caller that is asked in place.
    pub(crate) const fn asking_bounds(&self) -> AskingBounds {
        self.asking
    }
}

/// Who shares a conversation, where the operator leaves it open (design §5).
const fn sharing(settings: &isthmus_config::Backend, strangers: bool) -> Sharing {
    match settings.sessions {
        Some(SessionPolicy::PerClient) => Sharing::PerClient,
        Some(SessionPolicy::PerPrincipal) => Sharing::PerPrincipal,
        Some(SessionPolicy::PerCall) => Sharing::PerCall,
        Some(SessionPolicy::Shared) => Sharing::Shared,
        None if strangers => Sharing::PerCall,
        None => match settings.wire {
            Wire::Stdio(_) => Sharing::PerPrincipal,
            Wire::Http(_) | Wire::Sse(_) => Sharing::PerClient,
        },
    }
}
