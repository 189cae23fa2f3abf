//! All sessions of the gateway.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isthmus_config::Bounds;
use isthmus_exchange::{ClientCapabilities, Principal, PrincipalId, RouteName};
use isthmus_seal::{SealKeys, random_id};
use tokio::time::Instant;

use crate::replay_budget::ReplayBudget;
use crate::session::{NewSession, Session};
use crate::session_id::SessionReference;
use crate::streams::Streams;

/// How many sessions there may be, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions in all.
    pub total: usize,
    /// Sessions of one principal that was authenticated.
    pub per_principal: usize,
    /// Idle time after which a session ends.
    pub idle: Duration,
    /// Standing streams that one session has open at a time.
    pub streams: usize,
    /// Bytes that one session keeps for resumption.
    pub replay_per_session: usize,
    /// Bytes that all sessions together keep for resumption.
    pub replay_total: usize,
}

/// All sessions of the gateway. Shared by every listener and kept across reloads.
pub struct SessionTable {
    limits: SessionLimits,
    keys: Arc<SealKeys>,
    sessions: papaya::HashMap<Arc<str>, Arc<Session>>,
    replay_total: Arc<AtomicUsize>,
    books: Mutex<Books>,
}

/// Why a session could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The client's `capabilities` are longer than a session may keep.
    #[error("the declared capabilities are too long")]
    CapabilitiesTooLong,
    /// Every session that counts is in use.
    #[error("too many sessions are in use")]
    TooMany,
}

#[derive(Debug, Default)]
struct Books {
    per_principal: HashMap<PrincipalId, usize>,
    /// Sessions that have ended and must not be rebuilt from their id, oldest first.
    ended: VecDeque<Arc<str>>,
}

impl SessionTable {
    /// An empty table whose session ids are sealed with `keys`.
    #[must_use]
    pub fn new(limits: SessionLimits, keys: Arc<SealKeys>) -> Self {
        Self {
            limits,
            keys,
            sessions: papaya::HashMap::new(),
            replay_total: Arc::default(),
            books: Mutex::default(),
        }
    }

    /// Opens a session.
    ///
    /// If there are too many, the one that has been unused for the longest time makes room: of the same principal if
    /// that one has too many. It can be rebuilt from its id if its client comes back after all.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&self, new: NewSession) -> Result<Arc<Session>, OpenError> {
        if new.capabilities.declared().len() > LONGEST_CAPABILITIES {
            return Err(OpenError::CapabilitiesTooLong);
        }
        let reference = SessionReference {
            id: random_id(),
            route: new.route.clone(),
            revision: new.revision,
            opened: unix_time(),
            capabilities: owned(&new.capabilities),
        };
        let id: Arc<str> = reference.seal(&self.keys, new.principal.id()).into();
        self.enter(id, reference, new.principal, new.client_info, new.address)
    }

    /// The session called `id`, if it belongs to this principal and route. A session that this table does not remember
    /// is rebuilt from its id: the gateway was restarted, a neighbour opened it, or it had to make room. The session goes
    /// on with the claims that came now.
    #[must_use]
    pub fn find(&self, id: &str, principal: &Principal, route: &RouteName) -> Option<Arc<Session>> {
        if let Some(session) = self.sessions.pin().get(id) {
            let theirs = session.scope().principal_id() == principal.id()
                && session.route() == route
                && !session.is_closed();
            if !theirs {
                return None;
            }
            session.touch();
            session.shown(principal);
            return Some(Arc::clone(session));
        }
        self.rebuild(id, principal, route)
    }

    /// Ends a session for good: its id is worth nothing from now on.
    pub fn end(&self, session: &Session) {
        let mut books = self.books();
        if books.ended.len() >= REMEMBERED_ENDS {
            books.ended.pop_front();
        }
        books.ended.push_back(Arc::clone(session.id()));
        self.remove(&mut books, session);
    }

    /// Ends what has been idle for too long. Call it every now and then, or let [`SessionTable::keep_tidy`] do it.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut idle = Vec::new();
        for session in self.sessions.pin().values() {
            session.streams().sweep(now);
            let unused = now.saturating_duration_since(session.last_used());
            if session.is_busy() {
                session.touch();
            } else if unused >= self.limits.idle {
                idle.push(Arc::clone(session));
            }
        }
        for session in idle {
            tracing::debug!(session = %short(session.id()), "session ended: idle");
            self.end(&session);
        }
    }

    /// Sweeps from time to time, for ever.
    pub async fn keep_tidy(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep();
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session, for status pages and for telling them of a change.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.pin().values().cloned().collect()
    }

    /// Frees every session without ending it: a later gateway with the same keys rebuilds those whose clients come back.
    pub fn close_all(&self) {
        let mut books = self.books();
        for session in self.all() {
            self.remove(&mut books, &session);
        }
    }

    fn rebuild(&self, id: &str, principal: &Principal, route: &RouteName) -> Option<Arc<Session>> {
        let reference = SessionReference::unseal(&self.keys, principal.id(), id)?;
        let age = Duration::from_secs(unix_time().saturating_sub(reference.opened));
        if reference.route != *route || age > REBUILDABLE {
            return None;
        }
        let session = self
            .enter(id.into(), reference, principal.clone(), None, None)
            .ok()?;
        session.rebuilt();
        tracing::debug!(session = %short(id), "session rebuilt from its id");
        Some(session)
    }

    fn enter(
        &self,
        id: Arc<str>,
        reference: SessionReference,
        principal: Principal,
        client_info: Option<isthmus_protocol::RawJson>,
        address: Option<std::net::SocketAddr>,
    ) -> Result<Arc<Session>, OpenError> {
        let mut books = self.books();
        let sessions = self.sessions.pin();
        // Two requests may rebuild the same session at once; the books are locked, so the second one sees the first.
        if let Some(session) = sessions.get(&id) {
            return Ok(Arc::clone(session));
        }
        if books.ended.contains(&id) {
            return Err(OpenError::TooMany);
        }
        self.make_room(&mut books, principal.id())?;
        let streams = Streams::new(
            // Numbers of another life of this session must not be met again.
            u64::from(random_id() as u32) << 16,
            self.limits.streams,
            ReplayBudget::new(
                self.limits.replay_per_session,
                Arc::clone(&self.replay_total),
                self.limits.replay_total,
            ),
        );
        *books
            .per_principal
            .entry(principal.id().clone())
            .or_default() += 1;
        let new = NewSession {
            principal,
            route: reference.route,
            revision: reference.revision,
            capabilities: reference.capabilities,
            client_info,
            address,
        };
        // Within 31 bits: some clients read ids as such numbers.
        let first_question = u64::from(random_id() as u32 >> 2);
        let session = Session::new(Arc::clone(&id), reference.id, new, streams, first_question);
        let session = Arc::new(session);
        sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }

    fn make_room(&self, books: &mut Books, principal: &PrincipalId) -> Result<(), OpenError> {
        // Those whom nobody knows are many, and have no share that could be fair.
        let anonymous = principal == Principal::anonymous().id();
        let own = books.per_principal.get(principal).copied().unwrap_or(0);
        let fair = anonymous || own < self.limits.per_principal;
        if fair && self.sessions.len() < self.limits.total {
            return Ok(());
        }
        let victim = self
            .sessions
            .pin()
            .values()
            .filter(|session| fair || session.scope().principal_id() == principal)
            .filter(|session| !session.is_busy())
            .min_by_key(|session| session.last_used())
            .cloned()
            .ok_or(OpenError::TooMany)?;
        tracing::debug!(session = %short(victim.id()), "session made room for a newer one");
        self.remove(books, &victim);
        Ok(())
    }

    fn remove(&self, books: &mut Books, session: &Session) {
        if self.sessions.pin().remove(session.id()).is_some() {
            let principal = session.scope().principal_id();
            if let Some(count) = books.per_principal.get_mut(principal) {
                *count -= 1;
                if *count == 0 {
                    books.per_principal.remove(principal);
                }
            }
        }
        session.close();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Bounds> for SessionLimits {
    fn from(bounds: &Bounds) -> Self {
        Self {
            total: bounds.sessions,
            per_principal: bounds.sessions_per_principal,
            idle: bounds.session_idle,
            streams: bounds.streams_per_session,
            replay_per_session: bounds.replay_per_session,
            replay_total: bounds.replay_total,
        }
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable")
            .field("sessions", &self.len())
            .finish_non_exhaustive()
    }
}

/// The capabilities without the memory of the message that they came in.
fn owned(capabilities: &ClientCapabilities) -> ClientCapabilities {
    let declared =
        isthmus_protocol::RawJson::assembled(capabilities.declared().as_bytes().to_vec());
    ClientCapabilities::parse(declared).unwrap_or_else(|_| ClientCapabilities::none())
}

/// Enough of a session id to tell sessions apart in a log, too little to use one.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or_default()
}

fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Longest `capabilities` that a session keeps, in bytes.
const LONGEST_CAPABILITIES: usize = 16 << 10;
/// How long after its opening a session can be rebuilt from its id.
const REBUILDABLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Ends of sessions that are remembered.
const REMEMBERED_ENDS: usize = 10_000;
/// How often idle sessions are looked for.
const SWEEP: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
