//! What lives as long as one client session.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use isthmus_protocol::LogLevel;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::PrincipalId;

/// An opaque id by which pools key and free what belongs to a client session or a principal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(pub u128);

impl fmt::Debug for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The life to which things made for a caller belong.
///
/// A stateful session is a scope that ends with it. A stateless caller's scope is its principal's: it never ends by
/// itself, and pools free what belongs to it when it has been idle.
#[derive(Debug)]
pub struct Scope {
    id: ScopeId,
    principal: PrincipalId,
    session: bool,
    ended: CancellationToken,
    log_level: watch::Sender<Option<LogLevel>>,
    roots_changes: AtomicU64,
}

impl Scope {
    /// The scope of one stateful session. End it with [`Scope::end`].
    #[must_use]
    pub fn session(id: ScopeId, principal: PrincipalId) -> Self {
        Self {
            id,
            principal,
            session: true,
            ended: CancellationToken::new(),
            log_level: watch::Sender::new(None),
            roots_changes: AtomicU64::new(0),
        }
    }

    /// The scope shared by all stateless requests of a principal.
    #[must_use]
    pub fn principal(id: ScopeId, principal: PrincipalId) -> Self {
        Self {
            id,
            principal,
            session: false,
            ended: CancellationToken::new(),
            log_level: watch::Sender::new(None),
            roots_changes: AtomicU64::new(0),
        }
    }

    /// The key.
    #[must_use]
    pub const fn id(&self) -> ScopeId {
        self.id
    }

    /// To whom everything in this scope belongs.
    #[must_use]
    pub const fn principal_id(&self) -> &PrincipalId {
        &self.principal
    }

    /// Whether this is the scope of one stateful session.
    #[must_use]
    pub const fn is_session(&self) -> bool {
        self.session
    }

    /// Ends the scope: everything keyed by it is freed.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Completes when the scope has ended.
    #[must_use]
    pub const fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// The least severe level the session asked for by `logging/setLevel`; `None` before it did.
    #[must_use]
    pub fn log_level(&self) -> Option<LogLevel> {
        *self.log_level.borrow()
    }

    /// Sets the session's level (LS-15).
    pub fn set_log_level(&self, level: LogLevel) {
        self.log_level.send_replace(Some(level));
    }

    /// Notes that the client's roots have changed (`notifications/roots/list_changed`).
    pub fn roots_changed(&self) {
        self.roots_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the client's roots have changed. A backend that was told of fewer changes is told again.
    #[must_use]
    pub fn roots_changes(&self) -> u64 {
        self.roots_changes.load(Ordering::Relaxed)
    }

    /// Follows the session's level.
    #[must_use]
    pub fn watch_log_level(&self) -> watch::Receiver<Option<LogLevel>> {
        self.log_level.subscribe()
    }
}
