//! Whoever listens for changes, and what is still to be told to it.
//!
//! What waits is bounded and merges: list changes are flags, updates are kept once per URI, and when there are too many
//! of them one "the list of resources changed" stands for all. A slow listener costs a fixed amount, never more.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use isthmus_exchange::{Caller, ItemKind, ListenFilter, LogRecord, Notice};
use isthmus_protocol::RawJson;
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
    updates: VecDeque<(String, RawJson)>,
    logs: VecDeque<LogRecord>,
    ended: bool,
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
    pub(crate) fn updated(&self, uri: String, params: RawJson) {
        self.change(|waiting| {
            if let Some(update) = waiting.updates.iter_mut().find(|(other, _)| *other == uri) {
                update.1 = params;
                return;
            }
            if waiting.updates.len() == MOST_UPDATES {
                if self.filter.resources {
                    waiting.updates.clear();
                    waiting.resources = true;
                } else {
                    waiting.updates.pop_front();
                }
            }
            waiting.updates.push_back((uri, params));
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

impl Waiting {
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
        if let Some((uri, params)) = self.updates.pop_front() {
            return Some(Notice::ResourceUpdated { uri, params });
        }
        self.logs.pop_front().map(Notice::Log)
    }
}

const MOST_UPDATES: usize = 256;
const MOST_LOGS: usize = 64;

#[cfg(test)]
mod tests;
