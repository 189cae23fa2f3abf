//! Under which text a session knows a task.
//!
//! Bounded: of a session that has very many tasks the oldest get a new text when they are named again, which still leads
//! to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isthmus_exchange::{BackendName, Scope, ScopeId};
use tokio::sync::broadcast;

use super::ids::{MadeBy, TaskId};

/// The tasks that sessions on one route know.
#[derive(Debug)]
pub(crate) struct KnownTasks {
    sessions: Mutex<HashMap<ScopeId, OfSession>>,
    said: broadcast::Sender<(BackendName, String)>,
}

#[derive(Debug, Default)]
struct OfSession {
    texts: HashMap<Arc<Task>, Known>,
    oldest_first: VecDeque<Arc<Task>>,
}

/// What a session knows of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// What the session calls it.
    pub(crate) text: String,
    /// The tool whose call it is, if that is known.
    pub(crate) made_by: Option<MadeBy>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Task {
    backend: BackendName,
    native: String,
}

impl Default for KnownTasks {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            said: broadcast::Sender::new(SAID),
        }
    }
}

impl KnownTasks {
    /// The text that `scope` knows a task by: the one it was given, or that of `make`, which it is given now. Only that of
    /// a session is remembered: nobody else is told of a task that it does not name itself.
    pub(crate) fn text(
        &self,
        scope: &Scope,
        task: &TaskId,
        make: impl FnOnce() -> String,
    ) -> String {
        let TaskId {
            backend,
            native,
            made_by,
        } = task;
        if !scope.is_session() || scope.ended().is_cancelled() {
            return make();
        }
        let task = Task {
            backend: backend.clone(),
            native: native.clone(),
        };
        let mut all = self.lock();
        let session = all.entry(scope.id()).or_default();
        if let Some(known) = session.texts.get(&task) {
            return known.text.clone();
        }
        if session.oldest_first.len() == MOST
            && let Some(oldest) = session.oldest_first.pop_front()
        {
            session.texts.remove(&oldest);
        }
        let (task, text) = (Arc::new(task), make());
        session.oldest_first.push_back(task.clone());
        let known = Known {
            text: text.clone(),
            made_by: made_by.clone(),
        };
        session.texts.insert(task, known);
        text
    }

    /// What a session knows of a task; `None` if it does not know it.
    pub(crate) fn known(
        &self,
        scope: ScopeId,
        backend: &BackendName,
        native: &str,
    ) -> Option<Known> {
        let task = Task {
            backend: backend.clone(),
            native: native.to_owned(),
        };
        self.lock().get(&scope)?.texts.get(&task).cloned()
    }

    /// Lets followers know that a backend said something of a task. Whoever falls behind looks a little later.
    pub(crate) fn said_of(&self, backend: &BackendName, native: &str) {
        // Nobody following is fine.
        let _ = self.said.send((backend.clone(), native.to_owned()));
    }

    /// Follows of which tasks backends say something.
    pub(crate) fn follow(&self) -> broadcast::Receiver<(BackendName, String)> {
        self.said.subscribe()
    }

    /// Forgets what a session knew.
    pub(crate) fn forget(&self, scope: ScopeId) {
        self.lock().remove(&scope);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ScopeId, OfSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What backends said of tasks that a follower has not heard yet.
const SAID: usize = 64;
/// Tasks that one session knows at a time.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;

    use super::*;

    fn text(known: &KnownTasks, scope: &Scope, native: &str, made: &str) -> String {
        let task = TaskId {
            backend: BackendName::parse("b").unwrap(),
            native: native.to_owned(),
            made_by: None,
        };
        known.text(scope, &task, || made.to_owned())
    }

    #[test]
    fn a_session_knows_a_task_by_the_text_it_was_given_first() {
        let known = KnownTasks::default();
        let backend = BackendName::parse("b").unwrap();
        let scope = Scope::session(ScopeId(1), Principal::anonymous().id().clone());
        assert_eq!(text(&known, &scope, "1", "x"), "x");
        assert_eq!(text(&known, &scope, "1", "y"), "x");
        let found = known.known(ScopeId(1), &backend, "1");
        assert_eq!(found.map(|found| found.text).as_deref(), Some("x"));
        assert_eq!(known.known(ScopeId(2), &backend, "1"), None);
        for number in 0..MOST {
            text(&known, &scope, &format!("n{number}"), "z");
        }
        assert_eq!(known.known(ScopeId(1), &backend, "1"), None);
        known.forget(ScopeId(1));
        assert!(known.lock().is_empty());
        let stateless = Scope::principal(ScopeId(3), Principal::anonymous().id().clone());
        assert_eq!(text(&known, &stateless, "1", "x"), "x");
        assert!(known.lock().is_empty());
    }
}
