//! The place of one conversation in the pool, from the wish to have it to its end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_exchange::{CapabilityFingerprint, Error, PrincipalId, Scope, ScopeId};
use isthmus_protocol::LogLevel;
use tokio::sync::watch;

use crate::conversation::{Conversation, Watch};
use crate::state::Audience;

/// Under which a slot is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) owner: Owner,
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
    /// The client session that it belongs to, if it belongs to one.
    pub(super) scope: Mutex<Option<Arc<Scope>>>,
    pub(super) stage: watch::Sender<Stage>,
    /// Native URIs and the scopes that subscribed to them.
    pub(super) subscriptions: Mutex<BTreeMap<String, HashSet<ScopeId>>>,
    /// Serialises changes of what the conversation watches.
    pub(super) watching: tokio::sync::Mutex<()>,
    pub(super) log_level: Mutex<Option<LogLevel>>,
    /// Set once the conversation turns out to need no session.
    pub(super) stateless: AtomicBool,
    /// Set when we end the conversation because its client has gone.
    pub(super) released: AtomicBool,
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
    pub(super) fn new(owner: Owner, scope: Option<Arc<Scope>>, now: u64) -> Self {
        Self {
            owner: Mutex::new(owner),
            scope: Mutex::new(scope),
            stage: watch::Sender::new(Stage::Opening),
            subscriptions: Mutex::default(),
            watching: tokio::sync::Mutex::default(),
            log_level: Mutex::default(),
            stateless: AtomicBool::new(false),
            released: AtomicBool::new(false),
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

    /// Whether the slot, kept under `own`, also serves who wants to list by `listing`.
    pub(super) fn can_list(&self, own: &Key, listing: &Key) -> bool {
        let is_dead = self
            .conversation()
            .is_some_and(|conversation| conversation.closed().is_cancelled());
        own.owner.lasts() && !is_dead && own.capabilities == listing.capabilities
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

/// A poisoned lock only means that another thread panicked between two plain assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
