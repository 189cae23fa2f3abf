//! Which parks there are, whose they are, and how many more there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isthmus_exchange::{Error, ErrorKind, ParkId, PrincipalId};
use tokio::sync::mpsc;

use super::budget::Budget;
use super::kept::Keeping;
use super::new_id;
use super::park::Resume;

/// How many calls may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) parks: usize,
    pub(super) per_principal: usize,
}

/// All parks by name. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Table(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    parks: Mutex<Parks>,
    /// For what is open: questions, and answers that are not given to the backend yet.
    open: Budget,
    /// For outcomes that may still be asked for.
    keeping: Keeping,
}

#[derive(Debug, Default)]
struct Parks {
    /// Those whose call has ended and whose outcome is kept included.
    by_id: HashMap<ParkId, Entry>,
    /// Those whose call has not ended.
    unfinished: usize,
    unfinished_by_principal: HashMap<PrincipalId, usize>,
}

#[derive(Debug)]
struct Entry {
    principal: PrincipalId,
    retries: mpsc::Sender<Resume>,
}

/// A park's place in the table; dropped, the park is no more.
#[derive(Debug)]
pub(super) struct Place {
    table: Table,
    pub(super) id: ParkId,
    principal: PrincipalId,
    unfinished: bool,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            parks: Mutex::default(),
            open: Budget::new(OPEN_BYTES),
            keeping: Keeping::new(MOST_KEPT, KEPT_BYTES),
        }))
    }

    /// A place for one more park of `principal`.
    ///
    /// # Errors
    ///
    /// `Overloaded` if it or all together have too many.
    pub(super) fn admit(
        &self,
        principal: &PrincipalId,
        retries: mpsc::Sender<Resume>,
    ) -> Result<Place, Error> {
        let limits = self.0.limits;
        let mut parks = self.parks();
        let of_principal = parks.unfinished_by_principal.get(principal).copied();
        let of_principal = of_principal.unwrap_or_default();
        if parks.unfinished >= limits.parks {
            return Err(overloaded("too many calls are waiting for answers"));
        }
        if of_principal >= limits.per_principal {
            return Err(overloaded("too many of your calls are waiting for answers"));
        }
        parks.unfinished += 1;
        let counts = &mut parks.unfinished_by_principal;
        counts.insert(principal.clone(), of_principal + 1);
        let id = new_id();
        let entry = Entry {
            principal: principal.clone(),
            retries,
        };
        parks.by_id.insert(id, entry);
        Ok(Place {
            table: self.clone(),
            id,
            principal: principal.clone(),
            unfinished: true,
        })
    }

    /// Where to send a retry of `principal` for the park `id`; another's park is as good as none.
    pub(super) fn find(&self, id: ParkId, principal: &PrincipalId) -> Option<mpsc::Sender<Resume>> {
        let parks = self.parks();
        let entry = parks.by_id.get(&id);
        let entry = entry.filter(|entry| entry.principal == *principal)?;
        Some(entry.retries.clone())
    }

    pub(super) fn open(&self) -> &Budget {
        &self.0.open
    }

    pub(super) fn keeping(&self) -> &Keeping {
        &self.0.keeping
    }

    /// How many parks there are, and how many of them are unfinished.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let parks = self.parks();
        let by_principal: usize = parks.unfinished_by_principal.values().sum();
        assert_eq!(by_principal, parks.unfinished);
        (parks.by_id.len(), parks.unfinished)
    }

    fn parks(&self) -> MutexGuard<'_, Parks> {
        self.0.parks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The call has ended: another one may wait. The park can still be found.
    pub(super) fn finished(&mut self) {
        if !std::mem::take(&mut self.unfinished) {
            return;
        }
        let mut parks = self.table.parks();
        parks.unfinished -= 1;
        let counts = &mut parks.unfinished_by_principal;
        if let Some(count) = counts.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.principal);
            }
        }
    }

    /// Nobody finds the park any more. Its call may take a moment to end.
    pub(super) fn hide(&self) {
        self.table.parks().by_id.remove(&self.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hide();
        self.finished();
    }
}

pub(super) fn overloaded(text: &str) -> Error {
    let retry_after = RETRY_AFTER;
    Error::new(ErrorKind::Overloaded { retry_after }, text)
}

/// What a refused caller is told to wait: users take their time.
const RETRY_AFTER: Duration = Duration::from_secs(10);
pub(super) const OPEN_BYTES: usize = 256 << 20;
pub(super) const KEPT_BYTES: usize = 64 << 20;
const MOST_KEPT: usize = 10_000;
