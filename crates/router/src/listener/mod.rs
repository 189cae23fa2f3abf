//! Whoever listens for changes, and what is still to be told to it.
//!
//! What waits is bounded and merges: list changes are flags, updates are kept once per URI, and when there are too many
//! of them one update of what is watched stands for all of its parts. A slow listener costs a fixed amount, never more, and
//! misses nothing but details.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use isthmus_exchange::{Caller, ItemKind, ListenFilter, LogRecord, Notice};
use isthmus_protocol::{RawJson, object};
use tokio::sync::Notify;

use crate::subscriptions::Watched;

/// Everybody who listens on one route.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    all: RwLock<HashMap<u64, Arc<Listener>>>,
    next_key: AtomicU64,
}

/// One listen request.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Who listens.
    pub(crate) caller: Arc<Caller>,
    /// What it wants to hear; its URIs are in `watched`.
    pub(crate) filter: ListenFilter,
    /// The honoured URIs of the filter.
    pub(crate) watched: Vec<Watched>,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// What is still to be told.
#[derive(Debug, Default)]
struct Waiting {
    tools: bool,
    prompts: bool,
    resources: bool,
    updates: VecDeque<Update>,
    update_bytes: usize,
    logs: VecDeque<LogRecord>,
    completed: VecDeque<String>,
    tasks: VecDeque<(String, RawJson)>,
    ended: bool,
}

/// That a resource changed.
#[derive(Debug)]
pub(crate) struct Update {
    /// Its URI as the listener knows it.
    pub(crate) uri: String,
    /// The `params`, with that URI.
    pub(crate) params: RawJson,
    /// What the listener watches, of which it is a part, or the same.
    pub(crate) watched: String,
}

impl Listeners {
    /// Adds a listener; the key removes it.
    pub(crate) fn add(&self, listener: Arc<Listener>) -> u64 {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, listener);
        key
    }

    /// Removes a listener.
    pub(crate) fn remove(&self, key: u64) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&key);
    }

    /// Calls `tell` for everyone.
    pub(crate) fn each(&self, mut tell: impl FnMut(&Listener)) {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.values().for_each(|listener| tell(listener));
    }
}

impl Listener {
    pub(crate) fn new(caller: Arc<Caller>, filter: ListenFilter, watched: Vec<Watched>) -> Self {
        Self {
            caller,
            filter,
            watched,
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Notes that a list changed, if the listener wants to hear that.
    pub(crate) fn list_changed(&self, kind: ItemKind) {
        self.change(|waiting| match kind {
            ItemKind::Tool => waiting.tools |= self.filter.tools,
            ItemKind::Prompt => waiting.prompts |= self.filter.prompts,
            ItemKind::Resource | ItemKind::ResourceTemplate => {
                waiting.resources |= self.filter.resources;
            }
        });
    }

    /// Notes that a resource changed. The newest of several updates of one URI counts.
    pub(crate) fn updated(&self, update: Update) {
        self.change(|waiting| waiting.update(update));
    }

    /// Notes that what a user was sent to a URL for is done. When there are too many the oldest are lost: nobody may rely
    /// on being told.
    pub(crate) fn completed(&self, id: String) {
        self.change(|waiting| {
            if waiting.completed.len() == MOST_COMPLETED {
                waiting.completed.pop_front();
            }
            waiting.completed.push_back(id);
        });
    }

    /// Notes that a task has come further. The newest of several states counts; one that is very large is not told, since
    /// nobody may rely on being told.
    pub(crate) fn task(&self, id: String, params: RawJson) {
        self.change(|waiting| {
            waiting.tasks.retain(|(other, _)| *other != id);
            if waiting.tasks.len() == MOST_TASKS {
                waiting.tasks.pop_front();
            }
            let waits: usize = waiting.tasks.iter().map(|(_, params)| params.len()).sum();
            if waits + params.len() <= MOST_TASK_BYTES {
                waiting.tasks.push_back((id, params));
            }
        });
    }

    /// Notes a log message. When there are too many the oldest are lost.
    pub(crate) fn logged(&self, record: LogRecord) {
        self.change(|waiting| {
            if waiting.logs.len() == MOST_LOGS {
                waiting.logs.pop_front();
            }
            waiting.logs.push_back(record);
        });
    }

    /// Ends the listen once everything that waits has been told.
    pub(crate) fn end(&self) {
        self.change(|waiting| waiting.ended = true);
    }

    /// The next thing to tell; `None` when the listen has ended.
    pub(crate) async fn next(&self) -> Option<Notice> {
        loop {
            let woken = self.wake.notified();
            {
                let mut waiting = self.waiting();
                if let Some(notice) = waiting.take() {
                    return Some(notice);
                }
                if waiting.ended {
                    return None;
                }
            }
            woken.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting());
        self.wake.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Update {
    /// That something about `watched` changed.
    pub(crate) fn of_all(watched: String) -> Self {
        Self {
            params: object::assemble([("uri", RawJson::string(&watched))]),
            uri: watched.clone(),
            watched,
        }
    }

    fn size(&self) -> usize {
        self.uri.len() + self.params.len() + self.watched.len()
    }
}

impl Waiting {
    fn update(&mut self, update: Update) {
        if let Some(same) = self
            .updates
            .iter_mut()
            .find(|other| other.uri == update.uri)
        {
            self.update_bytes = self.update_bytes - same.size() + update.size();
            *same = update;
        } else if self.updates.len() >= MOST_UPDATES
            && self.updates.iter().any(|other| other.uri == update.watched)
        {
            // Already told as a whole.
        } else {
            self.update_bytes += update.size();
            self.updates.push_back(update);
        }
        if self.updates.len() > MOST_UPDATES || self.update_bytes > MOST_UPDATE_BYTES {
            self.merge_updates();
        }
    }

    /// Leaves one update for each watched resource: there are only so many of them.
    fn merge_updates(&mut self) {
        let watched: BTreeSet<String> = self
            .updates
            .drain(..)
            .map(|update| update.watched)
            .collect();
        self.updates.extend(watched.into_iter().map(Update::of_all));
        self.update_bytes = self.updates.iter().map(Update::size).sum();
    }

    fn take(&mut self) -> Option<Notice> {
        let lists = [
            (&mut self.tools, ItemKind::Tool),
            (&mut self.prompts, ItemKind::Prompt),
            (&mut self.resources, ItemKind::Resource),
        ];
        for (changed, kind) in lists {
            if std::mem::take(changed) {
                return Some(Notice::ListChanged(kind));
            }
        }
        if let Some(update) = self.updates.pop_front() {
            self.update_bytes -= update.size();
            let Update { uri, params, .. } = update;
            return Some(Notice::ResourceUpdated { uri, params });
        }
        if let Some(id) = self.completed.pop_front() {
            return Some(Notice::ElicitationComplete { id });
        }
        if let Some((id, params)) = self.tasks.pop_front() {
            return Some(Notice::Task { id, params });
        }
        self.logs.pop_front().map(Notice::Log)
    }
}

const MOST_UPDATES: usize = 256;
/// Bytes of all updates that wait.
const MOST_UPDATE_BYTES: usize = 256 << 10;
const MOST_COMPLETED: usize = 64;
const MOST_TASKS: usize = 128;
/// Bytes of all tasks that wait.
const MOST_TASK_BYTES: usize = 1 << 20;
const MOST_LOGS: usize = 64;

#[cfg(test)]
mod tests;
