//! The conversation that listings are fetched through.
//!
//! It is opened before anybody calls, and declares that apps can be shown, so that they are listed. The first caller
//! whose conversation outlives any client and can do the same adopts it, so that listing costs no second session. Some
//! servers have tools only for clients that can be asked something (trap 3): as soon as a caller who can do more looks at
//! what there is, a conversation that says so is opened ([`Pool::expect`]) and listed by, unless that would hide apps.
//! Where a conversation is a process, one that only lists ends when any caller's can take its place. A client's own
//! session is never listed by: its end would end that, and what is in it is nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_credentials::Holder;
use isthmus_exchange::{Caller, CapabilityFingerprint, Error, PrincipalId};
use isthmus_protocol::RawJson;
use tokio::sync::watch;

use super::slot::{Hold, Key, Owner, Slot, Stage, lock};
use super::{Lease, Pool, Sharing, Wish};
use crate::capabilities;

impl Pool {
    /// The slot with the conversation that listings are fetched through.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn acquire_listing(self: &Arc<Self>) -> Result<Lease, Error> {
        let capabilities = capabilities::for_listing();
        // What one caller has access to is nobody else's listing.
        let own = self
            .opener
            .credentials()
            .map(|credentials| credentials.own());
        let wish = Wish {
            key: listing_key(),
            capabilities,
            scope: None,
            principal: None,
            pass: own.and_then(|(_, pass)| pass),
        };
        self.fulfil(&wish).await
    }

    /// Changes when [`Pool::move_listing`] may lead to another conversation.
    pub(crate) fn movable(&self) -> watch::Receiver<u64> {
        self.movable.subscribe()
    }

    /// The conversation of a caller that can be listed by instead of `current`, if there is one. If `current` only lists,
    /// it is to end with its last use.
    pub(crate) fn move_listing(self: &Arc<Self>, current: &Lease) -> Option<Lease> {
        let mut slots = lock(&self.slots);
        let key = listing_key();
        let current = current.slot();
        let only_lists = slots
            .get(&key)
            .is_some_and(|slot| Arc::ptr_eq(slot, current));
        let slot = self.lister_among(&slots)?;
        let sees_more = capabilities::exceed(&slot.capabilities, &current.capabilities);
        if !(sees_more || only_lists && self.settings.processes) {
            return None;
        }
        let conversation = slot.conversation()?;
        let hold = Hold::new(slot, self.clone());
        let old = only_lists.then(|| slots.remove(&key)).flatten();
        drop(slots);
        if let Some(old) = old {
            old.retired.store(true, Ordering::Relaxed);
            self.retire_if_unused(&old);
        }
        Some(Lease { hold, conversation })
    }

    /// A caller looks at what there is. If more may be there for one who can do what it can, its conversation is opened
    /// now, as it would be with its first call, and listed by once it is open.
    pub(crate) fn expect(self: &Arc<Self>, caller: &Caller) {
        let shared = matches!(
            self.settings.sharing,
            Sharing::PerClient | Sharing::PerPrincipal
        );
        // Before the first listing it shows in itself what there is, and nobody is kept waiting.
        if !shared || lock(&self.lists_apps).is_none() {
            return;
        }
        let Ok(mut wish) = self.wish_of(caller) else {
            return;
        };
        // What one caller is shown with its own credentials is not for others to see.
        if wish.key.holder != Holder::Operator {
            return;
        }
        if !wish.key.owner.lasts() {
            if self.settings.processes {
                return;
            }
            // Its own session is not listed by; another one that costs no process may be.
            wish.key.owner = Owner::Principal(caller.principal.id().clone());
            wish.scope = None;
        }
        let known = {
            let slots = lock(&self.slots);
            let sees_it = |slot: &Arc<Slot>| {
                slot.is_stateless() || !capabilities::exceed(&wish.capabilities, &slot.capabilities)
            };
            let mut lasting = slots.iter().filter(|(key, _)| key.owner.lasts());
            lasting.any(|(_, slot)| sees_it(slot))
        };
        if known {
            return;
        }
        let pool = self.clone();
        self.spawn(async move {
            if let Err(error) = pool.fulfil(&wish).await {
                tracing::debug!(%error, "what there is for this caller cannot be looked at");
            }
        });
    }

    /// Notes whether the listing has items that only those see who show apps.
    pub(crate) fn note_apps(&self, listed: bool) {
        *lock(&self.lists_apps) = Some(listed);
        self.consider_moving();
    }

    /// Says that the conversation to list by may be another one now.
    pub(super) fn consider_moving(&self) {
        if lock(&self.lists_apps).is_some() {
            self.movable.send_modify(|count| *count += 1);
        }
    }

    /// Waits while the conversation to list by is being opened, unless there is one for `key`, or `key` would adopt it
    /// anyway: it may turn out that one serves everybody.
    pub(super) async fn opened_to_list(&self, key: &Key) {
        let opening = {
            let slots = lock(&self.slots);
            if key.holder != Holder::Operator
                || slots.contains_key(key)
                || slots.values().any(|slot| slot.serves_all_of(&key.holder))
            {
                return;
            }
            let listing = slots.get(&listing_key());
            listing
                .filter(|_| !self.adoptable(key))
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
        key.holder == Holder::Operator
            && key.owner.lasts()
            && (key.capabilities == listing_key().capabilities
                || (key.capabilities == nothing && no_apps))
    }

    /// A caller's slot that may be listed by: it outlives any client, lives, and sees everything there is. Of several, one
    /// that declares most.
    pub(super) fn lister_among(&self, slots: &HashMap<Key, Arc<Slot>>) -> Option<Arc<Slot>> {
        let no_apps = *lock(&self.lists_apps) != Some(true);
        let suits = |(key, slot): &(&Key, &Arc<Slot>)| {
            let conversation = slot.conversation();
            let lives = conversation.is_none_or(|open| !open.closed().is_cancelled());
            let sees_all = no_apps || capabilities::include_apps(&slot.capabilities);
            let own = key.holder == Holder::Operator && key.owner != Owner::Listing;
            own && key.owner.lasts() && lives && sees_all
        };
        let suitable = slots.iter().filter(suits);
        let (_, slot) = suitable.max_by_key(|(_, slot)| capabilities::count(&slot.capabilities))?;
        Some(slot.clone())
    }
}

fn listing_key() -> Key {
    Key {
        owner: Owner::Listing,
        holder: Holder::Operator,
        capabilities: CapabilityFingerprint::of(&capabilities::for_listing()),
    }
}
