//! How many conversations there may be, and which go when there is no room for another one.
//!
//! Clients come and go without saying so, and each may bring a conversation into being: only a bound keeps a backend from
//! having sessions, or a machine children, without end.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use isthmus_credentials::Holder;
use isthmus_exchange::{Error, ErrorKind, PrincipalId};
use tokio::sync::OwnedSemaphorePermit;

use super::Pool;
use super::slot::{Key, Owner, Slot, lock};

impl Pool {
    /// Makes room for one more conversation of `principal`: one that nobody uses ends, the longest unused first.
    ///
    /// # Errors
    ///
    /// `Overloaded` if all are in use.
    pub(super) fn make_room(
        self: &Arc<Self>,
        slots: &mut HashMap<Key, Arc<Slot>>,
        principal: Option<&PrincipalId>,
    ) -> Result<(), Error> {
        let belongs =
            |slot: &Slot| principal.is_some() && lock(&slot.principal).as_ref() == principal;
        if principal.is_some() {
            let own = slots.values().filter(|slot| belongs(slot)).count();
            let most = self.settings.per_principal;
            if own >= most && !self.end_idle(slots, belongs) {
                let text = format!("you use {own} sessions with this backend at a time already");
                return Err(overloaded(text));
            }
        }
        let all = slots.len();
        if all >= self.settings.conversations && !self.end_idle(slots, |_| true) {
            let text = format!("all {all} sessions with this backend are in use");
            return Err(overloaded(text));
        }
        Ok(())
    }

    /// A place for a conversation that is about to be opened. Those that are being closed still have theirs.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let room = self.room.clone().acquire_owned();
        match tokio::time::timeout(PATIENCE, room).await {
            Ok(room) => room.map_err(Error::internal),
            Err(_) => {
                let text = "no session with this backend ended in time to open another one";
                Err(overloaded(text.to_owned()))
            }
        }
    }

    /// Ends the conversation that has not been used for longest, among the idle ones of which `may` is true.
    fn end_idle(
        self: &Arc<Self>,
        slots: &mut HashMap<Key, Arc<Slot>>,
        may: impl Fn(&Slot) -> bool,
    ) -> bool {
        let idle = slots
            .iter()
            .filter(|(key, slot)| key.owner != Owner::Listing && slot.is_idle() && may(slot))
            .min_by_key(|(_, slot)| slot.last_used.load(Ordering::Relaxed))
            .map(|(key, _)| key.clone());
        let ended = idle.and_then(|key| slots.remove(&key));
        if let Some(slot) = &ended {
            self.end(slot.clone());
        }
        ended.is_some()
    }

    /// Ends conversations that have not been used for a while, as long as there is the pool.
    pub(super) async fn reap_idle(pool: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            let Some(pool) = pool.upgrade() else { return };
            let now = pool.now();
            let idle = u64::try_from(pool.settings.idle.as_millis()).unwrap_or(u64::MAX);
            let unused = |slot: &Slot| {
                let unused = now.saturating_sub(slot.last_used.load(Ordering::Relaxed));
                slot.is_idle() && unused > idle
            };
            let mut slots = lock(&pool.slots);
            let ended: Vec<_> = slots
                .extract_if(|key, slot| key.owner != Owner::Listing && unused(slot))
                .collect();
            drop(slots);
            for (_, slot) in ended {
                pool.end(slot);
            }
        }
    }

    /// Ends a conversation that was to end with its last use, if that was it.
    pub(super) fn retire_if_unused(self: &Arc<Self>, slot: &Arc<Slot>) {
        let used = || slot.leases.load(Ordering::Relaxed) > 0;
        if !slot.retired.load(Ordering::Relaxed) || slot.serves_all_of(&Holder::Operator) || used()
        {
            return;
        }
        let mut slots = lock(&self.slots);
        // Nobody takes hold of a slot while the map is locked.
        if used() || slot.conversation().is_none() {
            return;
        }
        slots.retain(|_, other| !Arc::ptr_eq(other, slot));
        drop(slots);
        self.end(slot.clone());
    }

    fn end(&self, slot: Arc<Slot>) {
        if let Some(conversation) = slot.conversation()
            && !slot.ending.swap(true, Ordering::Relaxed)
        {
            self.spawn(async move {
                conversation.close().await;
                drop(slot);
            });
        }
    }
}

fn overloaded(text: String) -> Error {
    let retry_after = RETRY_AFTER;
    Error::new(ErrorKind::Overloaded { retry_after }, text)
}

/// How often idle conversations are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(15);
/// How long a new conversation waits for those that are being closed.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);
