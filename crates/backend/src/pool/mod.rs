//! Which conversation serves which caller.
//!
//! State lives in a stateful backend's session, so who may share one is a policy (design §5); the principal is part of
//! every key but that of `shared`, and so is what was declared (LC-2). A conversation opens once however many callers wait
//! for it, on the background runtime, so that a caller who leaves does not undo it. One conversation is the *listing* one
//! (`to_list.rs`). There are never more than the bounds allow (`room.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isthmus_credentials::{Credentials, Holder, Pass};
use isthmus_exchange::{
    BackendName, BoxFuture, Caller, CapabilityFingerprint, Error, ErrorKind, ItemKind, Notice,
    PrincipalId, Scope,
};
use isthmus_protocol::{Era, RawJson};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::completions::Completions;
pub(crate) use self::lease::Lease;
use self::slot::{Hold, Key, Owner, Slot, Stage, lock};
use crate::capabilities::declared_for;
use crate::conversation::{Conversation, PeerNotice};
use crate::state::{Audience, BackendNotice};

mod completions;
mod lease;
mod room;
mod slot;
#[cfg(test)]
mod tests;
mod to_list;

/// Opens conversations with one backend: finds out its era where that is not settled.
pub(crate) trait Open: Send + Sync + std::fmt::Debug {
    /// Opens one, declaring `capabilities` for as long as it lasts if the era wants that.
    fn open(
        &self,
        capabilities: RawJson,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>>;

    /// The same for a backend to which something is shown: `pass`, with every request of the conversation.
    fn open_showing(
        &self,
        capabilities: RawJson,
        pass: Option<Pass>,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        debug_assert!(pass.is_none(), "whoever has credentials shows them");
        self.open(capabilities)
    }

    /// What is shown to the backend.
    fn credentials(&self) -> Option<&Arc<Credentials>> {
        None
    }

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

/// How conversations are opened, shared and bounded.
#[derive(Debug, Clone)]
pub(crate) struct PoolSettings {
    pub(crate) sharing: Sharing,
    /// How long an unused conversation is kept.
    pub(crate) idle: Duration,
    /// How many there may be.
    pub(crate) conversations: usize,
    /// How many one principal may have.
    pub(crate) per_principal: usize,
    /// Each is a process: one that only lists ends when another one can do that.
    pub(crate) processes: bool,
    pub(crate) background: Handle,
}

/// The conversations with one backend.
#[derive(Debug)]
pub(crate) struct Pool {
    opener: Arc<dyn Open>,
    settings: PoolSettings,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// What is not in use: conversations that are still being closed count.
    room: Arc<Semaphore>,
    notices: broadcast::Sender<BackendNotice>,
    completions: Completions,
    /// Whether the listing has items that only those see who show apps.
    lists_apps: Mutex<Option<bool>>,
    /// Changes when a caller's conversation could be listed by instead of the one that is.
    movable: watch::Sender<u64>,
    tasks: TaskTracker,
    /// Numbers the conversations of single calls.
    calls: AtomicU64,
    started: Instant,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(opener: Arc<dyn Open>, settings: PoolSettings) -> Arc<Self> {
        let pool = Arc::new(Self {
            opener,
            room: Arc::new(Semaphore::new(settings.conversations)),
            settings,
            slots: Mutex::default(),
            notices: broadcast::Sender::new(256),
            completions: Completions::default(),
            lists_apps: Mutex::default(),
            movable: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            calls: AtomicU64::new(0),
            started: Instant::now(),
        });
        pool.spawn(Self::reap_idle(Arc::downgrade(&pool)));
        pool
    }

    /// Whether anybody can be asked: in a session that all share nobody would know who is meant.
    pub(crate) fn may_ask(&self) -> bool {
        self.settings.sharing != Sharing::Shared
    }

    /// Waits a little until the user has been at the pages that these elicitations led to, if the backend says so at all.
    pub(crate) async fn elicited(&self, backend: &BackendName, ids: &[String]) {
        self.completions.wait_for(backend, ids).await;
    }

    /// Follows what the backend says unasked.
    pub(crate) fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.notices.subscribe()
    }

    /// The slot with an open conversation for `caller`, opening one if need be.
    ///
    /// # Errors
    ///
    /// Why none can be opened; `Overloaded` if there are too many, all of them in use.
    pub(crate) async fn acquire(self: &Arc<Self>, caller: &Caller) -> Result<Lease, Error> {
        let wish = self.wish_of(caller)?;
        self.opened_to_list(&wish.key).await;
        self.fulfil(&wish).await
    }

    /// The conversation of `caller` if it is open.
    pub(crate) fn existing(self: &Arc<Self>, caller: &Caller) -> Option<Lease> {
        let key = self.wish_of(caller).ok()?.key;
        let slots = lock(&self.slots);
        let serves_all = || slots.values().find(|slot| slot.serves_all_of(&key.holder));
        let slot = slots.get(&key).or_else(serves_all)?.clone();
        let open = slot.conversation();
        let conversation = open.filter(|open| !open.closed().is_cancelled())?;
        let hold = Hold::new(slot, self.clone());
        Some(Lease { hold, conversation })
    }

    /// # Errors
    ///
    /// There is nothing to show for this caller.
    fn wish_of(&self, caller: &Caller) -> Result<Wish, Error> {
        let (holder, pass) = match self.opener.credentials() {
            Some(credentials) => credentials.of_caller(&caller.principal)?,
            None => (Holder::Operator, None),
        };
        let capabilities = if self.may_ask() {
            declared_for(caller)
        } else {
            RawJson::empty_object()
        };
        let key = Key {
            owner: self.owner_for(caller, &holder),
            holder,
            capabilities: CapabilityFingerprint::of(&capabilities),
        };
        let scope = matches!(key.owner, Owner::Scope(_)).then(|| caller.scope.clone());
        let principal = match key.owner {
            Owner::Everyone | Owner::Listing => None,
            _ => Some(caller.principal.id().clone()),
        };
        Ok(Wish {
            key,
            capabilities,
            scope,
            principal,
            pass,
        })
    }

    async fn fulfil(self: &Arc<Self>, wish: &Wish) -> Result<Lease, Error> {
        // A conversation found dead is replaced once; dying again at once is the backend's failure, not a race.
        for _ in 0..2 {
            let hold = self.hold(wish)?;
            let mut stage = hold.slot().stage.subscribe();
            let stage = stage
                .wait_for(|stage| !matches!(stage, Stage::Opening))
                .await;
            let stage = stage.map_err(Error::internal)?.clone();
            match stage {
                Stage::Open(conversation) if !conversation.closed().is_cancelled() => {
                    return Ok(Lease { hold, conversation });
                }
                Stage::Failed(error) => return Err(error),
                Stage::Open(_) | Stage::Opening => self.forget(hold.slot()),
            }
        }
        Err(Error::new(
            ErrorKind::Internal,
            "the backend closed each conversation as soon as it was opened",
        ))
    }

    fn owner_for(&self, caller: &Caller, holder: &Holder) -> Owner {
        match self.settings.sharing {
            // What acts for one caller is nobody else's, whatever is said elsewhere.
            Sharing::Shared if *holder != Holder::Operator => {
                Owner::Principal(caller.principal.id().clone())
            }
            Sharing::PerClient if caller.scope.is_session() => Owner::Scope(caller.scope.id()),
            Sharing::PerClient | Sharing::PerPrincipal => {
                Owner::Principal(caller.principal.id().clone())
            }
            Sharing::PerCall => Owner::Call(self.calls.fetch_add(1, Ordering::Relaxed)),
            Sharing::Shared => Owner::Everyone,
        }
    }

    /// The slot for a wish: the one there is, the one that lists if nobody has it yet, for listing any that is kept, or a new
    /// one that starts to open.
    fn hold(self: &Arc<Self>, wish: &Wish) -> Result<Hold, Error> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&wish.key) {
            return Ok(Hold::new(slot.clone(), self.clone()));
        }
        // Without sessions there is nothing to keep apart: one conversation serves everybody.
        if let Some(slot) = slots
            .values()
            .find(|slot| slot.serves_all_of(&wish.key.holder))
        {
            return Ok(Hold::new(slot.clone(), self.clone()));
        }
        if wish.key.owner == Owner::Listing
            && let Some(slot) = self.lister_among(&slots)
        {
            return Ok(Hold::new(slot, self.clone()));
        }
        if let Some(slot) = self.adopt(&mut slots, &wish.key, wish.principal.as_ref()) {
            return Ok(Hold::new(slot, self.clone()));
        }
        self.make_room(&mut slots, wish.principal.as_ref())?;
        let slot = Arc::new(Slot::new(wish.clone(), self.now()));
        slots.insert(wish.key.clone(), slot.clone());
        let hold = Hold::new(slot.clone(), self.clone());
        drop(slots);
        self.spawn(self.clone().run_slot(slot));
        Ok(hold)
    }

    /// Opens the slot's conversation, passes on what it says, and tidies up after its end.
    async fn run_slot(self: Arc<Self>, slot: Arc<Slot>) {
        let conversation = match self.open(&slot).await {
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
            match slot.holder.principal_id() {
                None => *lock(&slot.owner) = Owner::Everyone,
                Some(principal) => {
                    *lock(&slot.owner) = Owner::Principal(principal.clone());
                    lock(&slot.scope).take();
                    slot.retired.store(false, Ordering::Relaxed);
                }
            }
        }
        slot.stage.send_replace(Stage::Open(conversation));
        // Whoever wanted it may have gone while it was being opened.
        self.retire_if_unused(&slot);
        self.consider_moving();
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
                    self.announce_gap(&slot);
                }
                Err(broadcast::error::RecvError::Closed) => {
                    closed.cancelled().await;
                    break;
                }
            }
        }
        self.forget(&slot);
        self.announce_gap(&slot);
        self.renew(&slot).await;
    }

    async fn open(&self, slot: &Slot) -> Result<Arc<dyn Conversation>, Error> {
        let room = self.enter().await?;
        *lock(&slot.room) = Some(room);
        let (capabilities, pass) = (slot.capabilities.clone(), slot.pass.clone());
        self.opener.open_showing(capabilities, pass).await
    }

    /// Gives what was subscribed through an ended conversation a new one that knows what the old one knew, unless its client
    /// has gone (LC-3).
    async fn renew(self: &Arc<Self>, slot: &Slot) {
        let subscriptions = std::mem::take(&mut *lock(&slot.subscriptions));
        if subscriptions.is_empty() || slot.released.load(Ordering::Relaxed) {
            return;
        }
        let owner = lock(&slot.owner).clone();
        let wish = Wish {
            key: Key {
                owner,
                holder: slot.holder.clone(),
                capabilities: CapabilityFingerprint::of(&slot.capabilities),
            },
            capabilities: slot.capabilities.clone(),
            scope: lock(&slot.scope).clone(),
            principal: lock(&slot.principal).clone(),
            pass: slot.pass.clone(),
        };
        let Ok(lease) = self.fulfil(&wish).await else {
            // The backend is gone; the router subscribes again when it is back.
            return;
        };
        let log_level = *lock(&slot.log_level);
        if let Some(level) = log_level {
            lease.raise_log_level(level).await;
        }
        for (uri, scopes) in subscriptions {
            for scope in scopes {
                if let Err(error) = lease.subscribe(scope, &uri).await {
                    tracing::debug!(uri, %error, "a subscription could not be renewed");
                }
            }
        }
        // Whoever looked when the old one ended may have done so before the new one watched.
        self.announce_gap(lease.slot());
    }

    fn pass_on(&self, slot: &Slot, notice: PeerNotice) {
        let (audience, notice) = match notice {
            // Lists are the same for everyone (MS-15): whoever heard of a change, the catalog has to look.
            PeerNotice::ListChanged(kind) => (Audience::Everyone, Notice::ListChanged(kind)),
            // Some servers tell all of their sessions; ours that subscribed to nothing would repeat it (LS-17).
            PeerNotice::ResourceUpdated { .. } if lock(&slot.subscriptions).is_empty() => return,
            PeerNotice::ResourceUpdated { uri, params } => {
                (slot.audience(), Notice::ResourceUpdated { uri, params })
            }
            PeerNotice::Log(record) => (slot.audience(), Notice::Log(record)),
            PeerNotice::Task { id, task } => (slot.audience(), Notice::Task { id, params: task }),
            PeerNotice::ElicitationComplete { id } => {
                self.completions.note(&id);
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
        self.tasks.spawn_on(task, &self.settings.background);
    }
}

/// Which conversation somebody wants.
#[derive(Debug, Clone)]
struct Wish {
    key: Key,
    /// What it declares.
    capabilities: RawJson,
    /// The client session with which it ends.
    scope: Option<Arc<Scope>>,
    /// Whose it is; counted.
    principal: Option<PrincipalId>,
    /// What it shows.
    pass: Option<Pass>,
}
