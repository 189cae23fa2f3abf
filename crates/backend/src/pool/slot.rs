//! The place of one conversation in the pool, from the wish to have it to its end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_credentials::{Holder, Pass};
use isthmus_exchange::{CapabilityFingerprint, Error, PrincipalId, Scope, ScopeId};
use isthmus_protocol::{LogLevel, RawJson};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Pool, Wish};
use crate::conversation::{Conversation, Watch};
use crate::state::Audience;

/// Under which a slot is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) owner: Owner,
    /// Whose credentials it shows.
    pub(super) holder: Holder,
    pub(super) capabilities: CapabilityFingerprint,
}

/// Whose conversation it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Nobody yet: opened to list.
    Listing,
    Everyone,
    Scope(ScopeId),
    Principal(PrincipalId),
    Call(u64),
}

/// A place for one conversation, from the wish to have it to its end.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) owner: Mutex<Owner>,
    /// Whose credentials it shows, for as long as it lasts.
    pub(super) holder: Holder,
    pub(super) pass: Option<Pass>,
    /// What it declares.
    pub(super) capabilities: RawJson,
    /// In whose number it counts.
    pub(super) principal: Mutex<Option<PrincipalId>>,
    /// The client session that it belongs to, if it belongs to one.
    pub(super) scope: Mutex<Option<Arc<Scope>>>,
    pub(super) stage: watch::Sender<Stage>,
    /// Native URIs and the scopes that subscribed to them.
    pub(super) subscriptions: Mutex<BTreeMap<String, HashSet<ScopeId>>>,
    /// Of these, what the backend honoured when it was asked last.
    pub(super) honoured: Mutex<BTreeSet<String>>,
    /// Serialises changes of what the conversation watches.
    pub(super) watching: tokio::sync::Mutex<()>,
    pub(super) log_level: Mutex<Option<LogLevel>>,
    /// How many changes of its roots each client had when the backend was told last.
    pub(super) roots_told: Mutex<BTreeMap<ScopeId, u64>>,
    /// Its place among all conversations, from the moment when it begins to open until nobody holds the slot.
    pub(super) room: Mutex<Option<OwnedSemaphorePermit>>,
    /// Set once the conversation turns out to need no session.
    pub(super) stateless: AtomicBool,
    /// Set when we end the conversation because its client has gone.
    pub(super) released: AtomicBool,
    /// Set when it is to end with its last use.
    pub(super) retired: AtomicBool,
    /// Set when its conversation is being closed: that is done once.
    pub(super) ending: AtomicBool,
    pub(super) leases: AtomicUsize,
    /// Milliseconds since the pool started.
    pub(super) last_used: AtomicU64,
}

/// How far it has come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Opening,
    Open(Arc<dyn Conversation>),
    Failed(Error),
}

impl Owner {
    /// Whether it outlives any one client.
    pub(super) const fn lasts(&self) -> bool {
        match self {
            Self::Listing | Self::Everyone | Self::Principal(_) => true,
            Self::Scope(_) | Self::Call(_) => false,
        }
    }
}

impl Slot {
    pub(super) fn new(wish: Wish, now: u64) -> Self {
        let Wish {
            key,
            capabilities,
            scope,
            principal,
            pass,
        } = wish;
        Self {
            // What was opened for one call ends with it.
            retired: AtomicBool::new(matches!(key.owner, Owner::Call(_))),
            owner: Mutex::new(key.owner),
            holder: key.holder,
            pass,
            capabilities,
            principal: Mutex::new(principal),
            scope: Mutex::new(scope),
            stage: watch::Sender::new(Stage::Opening),
            subscriptions: Mutex::default(),
            honoured: Mutex::default(),
            watching: tokio::sync::Mutex::default(),
            log_level: Mutex::default(),
            roots_told: Mutex::default(),
            room: Mutex::default(),
            stateless: AtomicBool::new(false),
            released: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            leases: AtomicUsize::new(0),
            last_used: AtomicU64::new(now),
        }
    }

    pub(super) fn conversation(&self) -> Option<Arc<dyn Conversation>> {
        match &*self.stage.borrow() {
            Stage::Open(conversation) => Some(conversation.clone()),
            Stage::Opening | Stage::Failed(_) => None,
        }
    }

    pub(super) fn is_stateless(&self) -> bool {
        self.stateless.load(Ordering::Relaxed)
    }

    /// Whether it needs no session and shows what `holder` has: then one is enough.
    pub(super) fn serves_all_of(&self, holder: &Holder) -> bool {
        self.is_stateless() && self.holder == *holder
    }

    /// Whether it is open and nobody uses it or hears anything through it.
    pub(super) fn is_idle(&self) -> bool {
        self.leases.load(Ordering::Relaxed) == 0
            && !self.serves_all_of(&Holder::Operator)
            && lock(&self.subscriptions).is_empty()
            && self.conversation().is_some()
    }

    pub(super) fn audience(&self) -> Audience {
        match &*lock(&self.owner) {
            Owner::Listing | Owner::Everyone | Owner::Call(_) => Audience::Everyone,
            Owner::Scope(id) => Audience::Scope(*id),
            Owner::Principal(id) => Audience::Principal(id.clone()),
        }
    }

    pub(super) fn uris(&self) -> BTreeSet<String> {
        lock(&self.subscriptions).keys().cloned().collect()
    }

    pub(super) fn watch(&self) -> Watch {
        Watch {
            lists: true,
            uris: self.uris(),
        }
    }
}

/// Keeps a slot in use.
#[derive(Debug)]
pub(super) struct Hold {
    slot: Arc<Slot>,
    pool: Arc<Pool>,
}

impl Hold {
    /// To be made while the map is locked, so that nobody takes the slot for idle.
    pub(super) fn new(slot: Arc<Slot>, pool: Arc<Pool>) -> Self {
        slot.leases.fetch_add(1, Ordering::Relaxed);
        Self { slot, pool }
    }

    pub(super) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Self { slot, pool } = self;
        slot.last_used.store(pool.now(), Ordering::Relaxed);
        slot.leases.fetch_sub(1, Ordering::Relaxed);
        pool.retire_if_unused(slot);
    }
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
