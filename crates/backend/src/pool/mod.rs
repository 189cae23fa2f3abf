//! Which conversation serves which caller.
//!
//! State lives in a stateful backend's session, so who may share one is a policy (design §5), and the principal is part
//! of every key but that of `shared`. A conversation opens once however many callers wait for it, on the background
//! runtime, so that a caller who leaves does not undo it. One conversation is the *listing* one: the catalog is fetched
//! through it, and the first caller whose conversation outlives any client adopts it, so that listing costs no second
//! child. A client's own session is never listed by: its end would end that, and what is in it is nobody else's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isthmus_exchange::{
    BoxFuture, Caller, CapabilityFingerprint, Error, ErrorKind, ItemKind, Notice, Scope,
};
use isthmus_protocol::{Era, RawJson};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub(crate) use self::lease::Lease;
use self::slot::{Key, Owner, Slot, Stage, lock};
use crate::conversation::{Conversation, PeerNotice};
use crate::state::{Audience, BackendNotice};

mod lease;
mod slot;
#[cfg(test)]
mod tests;

/// How often idle conversations are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(15);

/// Opens conversations with one backend: finds out its era where that is not settled.
pub(crate) trait Open: Send + Sync + std::fmt::Debug {
    /// Opens one, declaring `capabilities` for as long as it lasts if the era wants that.
    fn open(
        &self,
        capabilities: RawJson,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>>;

    /// How the era was found out, for people.
    fn evidence(&self) -> &'static str;

    /// Why nothing is opened any more, if the backend crashed too often.
    fn parked(&self) -> Option<String> {
        None
    }

    /// How long to wait before opening again makes sense, if the opener knows better than its caller.
    fn pause(&self) -> Option<Duration> {
        None
    }

    /// Ends what stands behind the conversations, such as a process that serves HTTP.
    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Who shares a conversation with a stateful backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each client session has its own; stateless callers share one per principal.
    PerClient,
    /// One per principal.
    PerPrincipal,
    /// One for each call.
    PerCall,
    /// One for all.
    Shared,
}

/// The conversations with one backend.
#[derive(Debug)]
pub(crate) struct Pool {
    opener: Arc<dyn Open>,
    sharing: Sharing,
    idle: Duration,
    background: Handle,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    notices: broadcast::Sender<BackendNotice>,
    tasks: TaskTracker,
    /// Numbers the conversations of single calls.
    calls: AtomicU64,
    started: Instant,
}

impl Pool {
    /// An empty pool. `idle` is how long an unused conversation is kept.
    pub(crate) fn new(
        opener: Arc<dyn Open>,
        sharing: Sharing,
        idle: Duration,
        background: Handle,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            opener,
            sharing,
            idle,
            background,
            slots: Mutex::default(),
            notices: broadcast::Sender::new(256),
            tasks: TaskTracker::new(),
            calls: AtomicU64::new(0),
            started: Instant::now(),
        });
        pool.spawn(Self::reap_idle(Arc::downgrade(&pool)));
        pool
    }

    /// Follows what the backend says unasked.
    pub(crate) fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.notices.subscribe()
    }

    /// The slot with an open conversation for `caller`, opening one if need be.
    pub(crate) async fn acquire(self: &Arc<Self>, caller: &Caller) -> Result<Lease, Error> {
        let capabilities = declared_for(caller);
        let fingerprint = CapabilityFingerprint::of(&capabilities);
        let key = Key {
            owner: self.owner_for(caller),
            capabilities: fingerprint,
        };
        let scope = matches!(key.owner, Owner::Scope(_)).then(|| caller.scope.clone());
        if !key.owner.lasts() {
            self.opened_to_list().await;
        }
        self.acquire_key(key, capabilities, scope).await
    }

    /// Waits while the conversation to list by is being opened: it may turn out that one serves everybody.
    async fn opened_to_list(&self) {
        let opening = lock(&self.slots)
            .values()
            .find(|slot| *lock(&slot.owner) == Owner::Listing)
            .map(|slot| slot.stage.subscribe());
        if let Some(mut stage) = opening {
            // Whether it opened or failed, whoever waits goes on by itself.
            let _ = stage
                .wait_for(|stage| !matches!(stage, Stage::Opening))
                .await;
        }
    }

    /// The slot with the conversation that listings are fetched through.
    pub(crate) async fn acquire_listing(self: &Arc<Self>) -> Result<Lease, Error> {
        let capabilities = RawJson::empty_object();
        let key = Key {
            owner: Owner::Listing,
            capabilities: CapabilityFingerprint::of(&capabilities),
        };
        self.acquire_key(key, capabilities, None).await
    }

    async fn acquire_key(
        self: &Arc<Self>,
        key: Key,
        capabilities: RawJson,
        scope: Option<Arc<Scope>>,
    ) -> Result<Lease, Error> {
        // A conversation found dead is replaced once; dying again at once is the backend's failure, not a race.
        for _ in 0..2 {
            let slot = self.slot(&key, &capabilities, scope.as_ref());
            let mut stage = slot.stage.subscribe();
            let stage = stage
                .wait_for(|stage| !matches!(stage, Stage::Opening))
                .await;
            let stage = stage.map_err(Error::internal)?.clone();
            match stage {
                Stage::Open(conversation) if !conversation.closed().is_cancelled() => {
                    slot.last_used.store(self.now(), Ordering::Relaxed);
                    slot.leases.fetch_add(1, Ordering::Relaxed);
                    return Ok(Lease {
                        slot,
                        conversation,
                        pool: self.clone(),
                    });
                }
                Stage::Failed(error) => return Err(error),
                Stage::Open(_) | Stage::Opening => self.forget(&slot),
            }
        }
        Err(Error::new(
            ErrorKind::Internal,
            "the backend closed each conversation as soon as it was opened",
        ))
    }

    fn owner_for(&self, caller: &Caller) -> Owner {
        match self.sharing {
            Sharing::PerClient if caller.scope.is_session() => Owner::Scope(caller.scope.id()),
            Sharing::PerClient | Sharing::PerPrincipal => {
                Owner::Principal(caller.principal.id().clone())
            }
            Sharing::PerCall => Owner::Call(self.calls.fetch_add(1, Ordering::Relaxed)),
            Sharing::Shared => Owner::Everyone,
        }
    }

    /// The slot for `key`: the one there is, the unowned listing one, for listing any that is kept, or a new one that starts
    /// to open.
    fn slot(
        self: &Arc<Self>,
        key: &Key,
        capabilities: &RawJson,
        scope: Option<&Arc<Scope>>,
    ) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            return slot.clone();
        }
        let listing = Key {
            owner: Owner::Listing,
            capabilities: key.capabilities.clone(),
        };
        // Without sessions there is nothing to keep apart: one conversation serves everybody.
        if let Some(slot) = slots.values().find(|slot| slot.is_stateless()) {
            return slot.clone();
        }
        // Nor does listing cost a second child when the first one was opened for a caller, as after a crash.
        if key.owner == Owner::Listing
            && let Some((_, slot)) = slots.iter().find(|(other, slot)| slot.can_list(other, key))
        {
            return slot.clone();
        }
        if key.owner.lasts()
            && let Some(slot) = slots.remove(&listing)
        {
            *lock(&slot.owner) = key.owner.clone();
            slots.insert(key.clone(), slot.clone());
            return slot;
        }
        let slot = Slot::new(key.owner.clone(), scope.cloned(), self.now());
        let slot = Arc::new(slot);
        slots.insert(key.clone(), slot.clone());
        drop(slots);
        self.spawn(self.clone().run_slot(slot.clone(), capabilities.clone()));
        slot
    }

    /// Opens the slot's conversation, passes on what it says, and tidies up after its end.
    async fn run_slot(self: Arc<Self>, slot: Arc<Slot>, capabilities: RawJson) {
        let conversation = match self.opener.open(capabilities).await {
            Ok(conversation) => conversation,
            Err(error) => {
                self.forget(&slot);
                slot.stage.send_replace(Stage::Failed(error));
                return;
            }
        };
        let closed = conversation.closed();
        let mut unasked = conversation.notices();
        if conversation.facts().revision.era() == Era::Stateless {
            slot.stateless.store(true, Ordering::Relaxed);
            *lock(&slot.owner) = Owner::Everyone;
        }
        slot.stage.send_replace(Stage::Open(conversation));
        let scope = lock(&slot.scope).clone();
        if let Some(scope) = scope {
            self.spawn(self.clone().close_with_scope(slot.clone(), scope));
        }
        loop {
            let notice = tokio::select! {
                () = closed.cancelled() => break,
                notice = unasked.recv() => notice,
            };
            match notice {
                Ok(notice) => self.pass_on(&slot, notice),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    for kind in ItemKind::ALL {
                        self.pass_on(&slot, PeerNotice::ListChanged(kind));
                    }
                }
                Err(broadcast::error::RecvError::Closed) => {
                    closed.cancelled().await;
                    break;
                }
            }
        }
        self.forget(&slot);
        self.announce_gap(&slot);
        self.renew_subscriptions(&slot).await;
    }

    /// Gives what was subscribed through an ended conversation a new one, unless its client has gone.
    async fn renew_subscriptions(self: &Arc<Self>, slot: &Slot) {
        let subscriptions = std::mem::take(&mut *lock(&slot.subscriptions));
        if subscriptions.is_empty() || slot.released.load(Ordering::Relaxed) {
            return;
        }
        let capabilities = RawJson::empty_object();
        let owner = lock(&slot.owner).clone();
        let scope = lock(&slot.scope).clone();
        let key = Key {
            owner,
            capabilities: CapabilityFingerprint::of(&capabilities),
        };
        let Ok(lease) = self.acquire_key(key, capabilities, scope).await else {
            // The backend is gone; the router subscribes again when it is back.
            return;
        };
        for (uri, scopes) in subscriptions {
            for scope in scopes {
                if let Err(error) = lease.subscribe(scope, &uri).await {
                    tracing::debug!(uri, %error, "a subscription could not be renewed");
                }
            }
        }
    }

    fn pass_on(&self, slot: &Slot, notice: PeerNotice) {
        let (audience, notice) = match notice {
            // Lists are the same for everyone (MS-15): whoever heard of a change, the catalog has to look.
            PeerNotice::ListChanged(kind) => (Audience::Everyone, Notice::ListChanged(kind)),
            PeerNotice::ResourceUpdated { uri, params } => {
                (slot.audience(), Notice::ResourceUpdated { uri, params })
            }
            PeerNotice::Log(record) => (slot.audience(), Notice::Log(record)),
            PeerNotice::ElicitationComplete { id } => {
                (slot.audience(), Notice::ElicitationComplete { id })
            }
        };
        // Nobody listening is fine.
        let _ = self.notices.send(BackendNotice { audience, notice });
    }

    /// Tells subscribers to look again: what happened while the conversation was gone is not known (digest trap 16).
    fn announce_gap(&self, slot: &Slot) {
        for uri in slot.uris() {
            let params = RawJson::from_serialize(&serde_json::json!({ "uri": uri }));
            self.pass_on(slot, PeerNotice::ResourceUpdated { uri, params });
        }
    }

    async fn close_with_scope(self: Arc<Self>, slot: Arc<Slot>, scope: Arc<Scope>) {
        let mut stage = slot.stage.subscribe();
        let Ok(Stage::Open(conversation)) = stage
            .wait_for(|stage| !matches!(stage, Stage::Opening))
            .await
            .map(|stage| stage.clone())
        else {
            return;
        };
        let closed = conversation.closed();
        tokio::select! {
            () = closed.cancelled() => {}
            () = scope.ended().cancelled() => {
                self.forget(&slot);
                slot.released.store(true, Ordering::Relaxed);
                conversation.close().await;
            }
        }
    }

    /// Removes `slot` from the map, if it is still there.
    fn forget(&self, slot: &Arc<Slot>) {
        lock(&self.slots).retain(|_, other| !Arc::ptr_eq(other, slot));
    }

    async fn reap_idle(pool: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            let Some(pool) = pool.upgrade() else { return };
            let now = pool.now();
            let idle = u64::try_from(pool.idle.as_millis()).unwrap_or(u64::MAX);
            let mut slots = lock(&pool.slots);
            let unused: Vec<Key> = slots
                .iter()
                .filter(|(key, slot)| {
                    key.owner != Owner::Listing
                        && !slot.is_stateless()
                        && slot.leases.load(Ordering::Relaxed) == 0
                        && slot.uris().is_empty()
                        && now.saturating_sub(slot.last_used.load(Ordering::Relaxed)) > idle
                })
                .map(|(key, _)| key.clone())
                .collect();
            for key in unused {
                if let Entry::Occupied(entry) = slots.entry(key)
                    && let Some(conversation) = entry.remove().conversation()
                {
                    pool.spawn(async move { conversation.close().await });
                }
            }
        }
    }

    /// Closes every conversation in an orderly way.
    pub(crate) async fn close(&self) {
        let slots: Vec<_> = lock(&self.slots).drain().map(|(_, slot)| slot).collect();
        let closing =
            slots
                .iter()
                .filter_map(|slot| slot.conversation())
                .map(|conversation| async move {
                    conversation.close().await;
                });
        futures_util::future::join_all(closing).await;
    }

    /// How many conversations there are, being opened ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.background);
    }
}

/// The capabilities declared to a backend on behalf of `caller`.
///
/// No question is relayed yet, so none of the capabilities that would invite one is declared (digest §3.1).
pub(crate) fn declared_for(_caller: &Caller) -> RawJson {
    RawJson::empty_object()
}
