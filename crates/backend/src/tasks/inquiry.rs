//! The questions of a task of 2025-11-25, caught for a client that finds them in `tasks/get`.
//!
//! They come on the open `tasks/result` of the task, which is held here until it ends or nobody wants it any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use isthmus_exchange::{ClientCapabilities, Event, Question, Step, Wants};
use isthmus_protocol::object::{assemble, members};
use isthmus_protocol::{JsonRpcError, RawJson, code};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::background::Background;
use super::line::Line;

/// An open `tasks/result`. Dropping it gives that up, but not the task.
#[derive(Debug)]
pub(super) struct Inquiry {
    shared: Arc<Shared>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    /// Whom to ask; each look at the task says so anew.
    capabilities: Mutex<Arc<ClientCapabilities>>,
    open: Mutex<Vec<(String, Question)>>,
    /// Numbers the questions of the task, also across several of these: a key is never used twice.
    keys: Arc<Keys>,
    changed: Notify,
    ended: CancellationToken,
}

/// Makes keys of questions, unique for the life of a task.
#[derive(Debug)]
pub(super) struct Keys {
    /// Tells the keys of one process from those of the one before.
    origin: u32,
    next: AtomicU64,
}

impl Keys {
    pub(super) fn new(origin: u32) -> Self {
        Self {
            origin,
            next: AtomicU64::new(1),
        }
    }

    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number}", self.origin)
    }
}

impl Inquiry {
    /// Opens `tasks/result` for a task that wants input.
    pub(super) fn begin(
        line: Line,
        id: String,
        keys: Arc<Keys>,
        capabilities: Arc<ClientCapabilities>,
        background: &Background,
    ) -> Self {
        let shared = Arc::new(Shared {
            capabilities: Mutex::new(capabilities),
            open: Mutex::default(),
            keys,
            changed: Notify::new(),
            ended: CancellationToken::new(),
        });
        let end = CancellationToken::new();
        let (catching, ending) = (shared.clone(), end.clone());
        background.run(async move {
            tokio::select! {
                () = catching.catch(line, &id) => {}
                () = ending.cancelled() => {}
            }
            catching.end();
        });
        Self {
            shared,
            _end: end.drop_guard(),
        }
    }

    /// Whether no more questions will come.
    pub(super) fn is_over(&self) -> bool {
        self.shared.ended.is_cancelled()
    }

    /// What is asked, by key. Waits a little for the first question.
    pub(super) async fn questions(
        &self,
        capabilities: &Arc<ClientCapabilities>,
    ) -> Vec<(String, RawJson)> {
        *lock(&self.shared.capabilities) = capabilities.clone();
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                let questions = self.shared.list();
                if !questions.is_empty() || self.is_over() {
                    return questions;
                }
                changed.await;
            }
        };
        tokio::time::timeout(FIRST_QUESTION, waiting)
            .await
            .unwrap_or_default()
    }

    /// What is asked now, by key.
    pub(super) fn open(&self) -> Vec<(String, RawJson)> {
        self.shared.list()
    }

    /// Takes answers by key; unknown and answered keys mean nothing.
    pub(super) fn answer(&self, responses: &RawJson) {
        for (key, response) in members(responses).unwrap_or_default() {
            let question = {
                let mut open = lock(&self.shared.open);
                let at = open.iter().position(|(known, _)| *known == key);
                at.map(|at| open.remove(at).1)
            };
            if let Some(question) = question {
                question.answer(Ok(response));
            }
        }
    }
}

impl Shared {
    async fn catch(&self, line: Line, id: &str) {
        let mut reply = match line.fetch(id, Wants::default()).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(backend = %line.backend(), %error, "the questions of a task cannot be heard");
                return;
            }
        };
        loop {
            match reply.next().await {
                Step::Event(Event::Question(question)) => self.take(question),
                Step::Event(_) => {}
                // The result is fetched anew by whoever finds that the task has ended.
                Step::Done(_) => return,
            }
        }
    }

    fn take(&self, question: Question) {
        let capabilities = lock(&self.capabilities).clone();
        let missing = capabilities.missing_for(&question.method, &question.params);
        let room = lock(&self.open).len() < QUESTIONS;
        if missing.is_some() || !room {
            let text = format!("the client cannot be asked `{}`", question.method);
            question.answer(Err(JsonRpcError::new(code::METHOD_NOT_FOUND, text)));
            return;
        }
        lock(&self.open).push((self.keys.next(), question));
        self.changed.notify_waiters();
    }

    fn list(&self) -> Vec<(String, RawJson)> {
        let mut open = lock(&self.open);
        open.retain_mut(|(_, question)| question.withdrawn().now_or_never().is_none());
        let listed = open.iter().map(|(key, question)| {
            let request = assemble([
                ("method", RawJson::string(question.method.as_str())),
                ("params", question.params.clone()),
            ]);
            (key.clone(), request)
        });
        listed.collect()
    }

    fn end(&self) {
        lock(&self.open).clear();
        self.ended.cancel();
        self.changed.notify_waiters();
    }
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many questions of one task wait for an answer at a time.
const QUESTIONS: usize = 32;
/// How long a look at a task waits for what is asked.
const FIRST_QUESTION: Duration = Duration::from_secs(1);
