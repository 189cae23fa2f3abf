//! The conversation that listings are fetched through.
//!
//! It is opened before anybody calls, and declares that apps can be shown, so that everything is listed. The first caller
//! whose conversation outlives any client and can do the same adopts it, so that listing costs no second session. Where a
//! conversation is a process and callers can do more, their conversation is listed by in its place, unless that would hide
//! apps. A client's own session is never listed by: its end would end that, and what is in it is nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_exchange::{CapabilityFingerprint, Error, PrincipalId};
use isthmus_protocol::RawJson;
use tokio::sync::watch;

use super::slot::{Hold, Key, Owner, Slot, Stage, lock};
use super::{Lease, Pool, Wish};
use crate::capabilities;

impl Pool {
    /// The slot with the conversation that listings are fetched through.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn acquire_listing(self: &Arc<Self>) -> Result<Lease, Error> {
        let capabilities = capabilities::for_listing();
        let wish = Wish {
            key: listing_key(),
            capabilities,
            scope: None,
            principal: None,
        };
        self.fulfil(&wish).await
    }

    /// Changes when [`Pool::move_listing`] may lead to another conversation.
    pub(crate) fn movable(&self) -> watch::Receiver<u64> {
        self.movable.subscribe()
    }

    /// The conversation of a caller that can be listed by instead of one that only lists, if there is one. That one is to
    /// end with its last use.
    pub(crate) fn move_listing(self: &Arc<Self>) -> Option<Lease> {
        let mut slots = lock(&self.slots);
        let key = listing_key();
        if !self.settings.processes || !slots.contains_key(&key) {
            return None;
        }
        let slot = self.lister_among(&slots)?;
        let conversation = slot.conversation()?;
        let hold = Hold::new(slot, self.clone());
        let old = slots.remove(&key);
        drop(slots);
        if let Some(old) = old {
            old.retired.store(true, Ordering::Relaxed);
            self.retire_if_unused(&old);
        }
        Some(Lease { hold, conversation })
    }

    /// Notes whether the listing has items that only those see who show apps.
    pub(crate) fn note_apps(&self, listed: bool) {
        *lock(&self.lists_apps) = Some(listed);
        self.consider_moving();
    }

    /// Says that the conversation to list by may be another one now.
    pub(super) fn consider_moving(&self) {
        if self.settings.processes && lock(&self.lists_apps).is_some() {
            self.movable.send_modify(|count| *count += 1);
        }
    }

    /// Waits while the conversation to list by is being opened, unless there is one for `key`, or `key` would adopt it
    /// anyway: it may turn out that one serves everybody.
    pub(super) async fn opened_to_list(&self, key: &Key) {
        let opening = {
            let slots = lock(&self.slots);
            let listing = slots.get(&listing_key());
            listing
                .filter(|_| !slots.contains_key(key) && !self.adoptable(key))
                .map(|slot| slot.stage.subscribe())
        };
        if let Some(mut stage) = opening {
            // Whether it opened or failed, whoever waits goes on by itself.
            let _ = stage
                .wait_for(|stage| !matches!(stage, Stage::Opening))
                .await;
        }
    }

    /// The listing slot, which is that of `key` from now on, if it may be.
    pub(super) fn adopt(
        &self,
        slots: &mut HashMap<Key, Arc<Slot>>,
        key: &Key,
        principal: Option<&PrincipalId>,
    ) -> Option<Arc<Slot>> {
        if !self.adoptable(key) {
            return None;
        }
        let slot = slots.remove(&listing_key())?;
        *lock(&slot.owner) = key.owner.clone();
        *lock(&slot.principal) = principal.cloned();
        slots.insert(key.clone(), slot.clone());
        Some(slot)
    }

    /// Whether the listing slot would do for `key`: that it is told of apps harms nobody if there are none.
    fn adoptable(&self, key: &Key) -> bool {
        let nothing = CapabilityFingerprint::of(&RawJson::empty_object());
        let no_apps = *lock(&self.lists_apps) != Some(true);
        key.owner.lasts()
            && (key.capabilities == listing_key().capabilities
                || (key.capabilities == nothing && no_apps))
    }

    /// A caller's slot that may be listed by: it outlives any client, lives, and sees everything there is.
    pub(super) fn lister_among(&self, slots: &HashMap<Key, Arc<Slot>>) -> Option<Arc<Slot>> {
        let no_apps = *lock(&self.lists_apps) != Some(true);
        let suits = |(key, slot): &(&Key, &Arc<Slot>)| {
            let conversation = slot.conversation();
            let lives = conversation.is_none_or(|open| !open.closed().is_cancelled());
            let sees_all = no_apps || capabilities::include_apps(&slot.capabilities);
            key.owner != Owner::Listing && key.owner.lasts() && lives && sees_all
        };
        let (_, slot) = slots.iter().find(suits)?;
        Some(slot.clone())
    }
}

fn listing_key() -> Key {
    Key {
        owner: Owner::Listing,
        capabilities: CapabilityFingerprint::of(&capabilities::for_listing()),
    }
}
