//! Where tasks of 2025-11-25 are looked after for clients that speak of them in the words of the extension.
//!
//! Remembers in which conversation each task was made, because the backend may know it nowhere else, and keeps that open
//! for as long as the task may live. Everything here is bounded, and belongs to a principal.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use isthmus_exchange::{Caller, Error, ErrorKind, PrincipalId};
use isthmus_protocol::object::member;
use isthmus_protocol::tasks::{self, Detail, Snapshot, Status};
use isthmus_protocol::{RawJson, code};
use tokio::time::Instant;

use super::background::Background;
use super::inquiry::{Inquiry, Keys};
use super::line::Line;
use super::result_or_reason;

/// The tasks of one backend.
#[derive(Debug)]
pub(super) struct Desk {
    entries: Mutex<HashMap<Key, Entry>>,
    background: Background,
    origin: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    principal: PrincipalId,
    task: String,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    expires: Instant,
    keys: Arc<Keys>,
    inquiry: Option<Arc<Inquiry>>,
}

impl Desk {
    pub(super) fn new(background: Background) -> Self {
        Self {
            entries: Mutex::default(),
            background,
            // Random without a generator of our own.
            origin: RandomState::new().hash_one(0_u8) as u32,
        }
    }

    /// Remembers where a task was made.
    pub(super) fn remember(
        self: &Arc<Self>,
        principal: &PrincipalId,
        created: &RawJson,
        line: Line,
    ) {
        let Some(task) = tasks::task_id(created) else {
            return;
        };
        let ttl = Snapshot::of(created).and_then(|seen| seen.ttl);
        let expires = Instant::now() + ttl.unwrap_or(LONGEST).min(LONGEST);
        let key = Key {
            principal: principal.clone(),
            task,
        };
        let mut entries = self.entries();
        if entries.is_empty() {
            self.background.run(Self::sweep(Arc::downgrade(self)));
        }
        let of_principal = |key: &&Key| key.principal == *principal;
        let too_many = entries.len() >= MOST
            || entries.keys().filter(of_principal).count() >= MOST_PER_PRINCIPAL;
        if too_many {
            let all = entries.iter();
            let own = all.filter(|(key, _)| of_principal(key));
            let oldest = own.min_by_key(|(_, entry)| entry.expires);
            match oldest.map(|(key, _)| key.clone()) {
                Some(oldest) => drop(entries.remove(&oldest)),
                // Others have taken all the room: this one is found by its principal's conversation, or not at all.
                None => return,
            }
        }
        let entry = Entry {
            line,
            expires,
            keys: Arc::new(Keys::new(self.origin)),
            inquiry: None,
        };
        entries.insert(key, entry);
    }

    /// The line of the conversation a task was made in, if that is still there.
    pub(super) fn line_of(&self, principal: &PrincipalId, task: &str) -> Option<Line> {
        let entries = self.entries();
        let entry = entries.get(&Key::new(principal, task))?;
        entry.line.is_open().then(|| entry.line.clone())
    }

    /// `tasks/get`: the task with what it has come to.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub(super) async fn get(
        self: &Arc<Self>,
        caller: &Caller,
        line: Line,
        id: &str,
    ) -> Result<RawJson, Error> {
        let task = line.look(id).await?;
        let Some(seen) = Snapshot::of(&task) else {
            return Err(line.misbehaved("does not say how its task stands"));
        };
        match seen.status {
            Status::Working => {
                // A server that was told one answer of several may say that it goes on; the rest is still asked.
                let questions = self.still_asked(caller, id);
                Ok(if questions.is_empty() {
                    task
                } else {
                    tasks::detailed(&task, Detail::Questions(questions))
                })
            }
            Status::Cancelled => {
                self.ended(caller, id);
                Ok(task)
            }
            Status::Completed | Status::Failed => {
                self.ended(caller, id);
                let detail = match self.result(&line, id).await? {
                    Detail::Result(result) => {
                        result_or_reason(&seen, result).map_or_else(Detail::Error, Detail::Result)
                    }
                    detail => detail,
                };
                Ok(tasks::detailed(&task, detail))
            }
            Status::InputRequired => {
                let inquiry = self.inquiry(caller, &line, id, &task);
                let questions = inquiry.questions(&caller.capabilities).await;
                Ok(if questions.is_empty() {
                    // It wants input and has not asked yet, or is about to go on.
                    isthmus_protocol::object::ObjectEdit::new(&task)
                        .set("status", RawJson::string("working"))
                        .finish()
                } else {
                    tasks::detailed(&task, Detail::Questions(questions))
                })
            }
        }
    }

    /// `tasks/update`: answers what is asked. Answers to anything else mean nothing.
    ///
    /// # Errors
    ///
    /// Invalid parameters without answers; the backend's if it does not know the task.
    pub(super) async fn update(
        &self,
        caller: &Caller,
        line: &Line,
        id: &str,
        params: &RawJson,
    ) -> Result<(), Error> {
        let responses = member(params, "inputResponses").filter(RawJson::is_object);
        let Some(responses) = responses else {
            return Err(Error::invalid_params("`inputResponses` must be an object"));
        };
        let inquiry = {
            let entries = self.entries();
            let entry = entries.get(&Key::new(caller.principal.id(), id));
            entry.and_then(|entry| entry.inquiry.clone())
        };
        match inquiry {
            Some(inquiry) => {
                inquiry.answer(&responses);
                Ok(())
            }
            None => line.look(id).await.map(drop),
        }
    }

    /// `tasks/cancel`: whether the task can still be cancelled or not, the wish is taken.
    ///
    /// # Errors
    ///
    /// The backend's if it does not know the task.
    pub(super) async fn cancel(&self, caller: &Caller, line: &Line, id: &str) -> Result<(), Error> {
        let cancelled = line.cancel(id).await;
        self.ended(caller, id);
        match cancelled {
            Ok(()) => Ok(()),
            // It has ended, or is not known: the same code says both. Or it cannot be cancelled at all.
            Err(error) if is_refusal(&error) => line.look(id).await.map(drop),
            Err(error) => Err(error),
        }
    }

    /// Forgets all tasks, and gives up what is asked for them.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    /// What became of a task.
    async fn result(&self, line: &Line, id: &str) -> Result<Detail, Error> {
        let fetched = async {
            let reply = line.fetch(id, isthmus_exchange::Wants::default()).await?;
            reply.outcome().await
        };
        let fetched = tokio::time::timeout(RESULT, fetched).await;
        match fetched.unwrap_or_else(|_| Err(line.misbehaved("keeps the result of a task back"))) {
            Ok(isthmus_exchange::Outcome::Complete(complete)) => {
                Ok(Detail::Result(complete.result))
            }
            Ok(_) => Err(line.misbehaved("answered `tasks/result` with no result")),
            Err(error) => match error.kind() {
                ErrorKind::Answered { error, .. } => Ok(Detail::Error(error.clone())),
                _ => Err(error),
            },
        }
    }

    /// The open `tasks/result` of a task, or a new one.
    fn inquiry(
        self: &Arc<Self>,
        caller: &Caller,
        line: &Line,
        id: &str,
        task: &RawJson,
    ) -> Arc<Inquiry> {
        let principal = caller.principal.id();
        if !self.entries().contains_key(&Key::new(principal, id)) {
            // Made before this process was there, or forgotten.
            self.remember(principal, task, line.clone());
        }
        let mut entries = self.entries();
        let entry = entries.get_mut(&Key::new(principal, id));
        let open = entry.as_ref().and_then(|entry| entry.inquiry.clone());
        if let Some(inquiry) = open.filter(|inquiry| !inquiry.is_over()) {
            return inquiry;
        }
        let keys = match &entry {
            Some(entry) => entry.keys.clone(),
            None => Arc::new(Keys::new(self.origin)),
        };
        let capabilities = caller.capabilities.clone();
        let inquiry = Inquiry::begin(
            line.clone(),
            id.to_owned(),
            keys,
            capabilities,
            &self.background,
        );
        let inquiry = Arc::new(inquiry);
        if let Some(entry) = entry {
            entry.inquiry = Some(inquiry.clone());
        }
        inquiry
    }

    /// What was asked for a task and is not answered yet.
    fn still_asked(&self, caller: &Caller, id: &str) -> Vec<(String, RawJson)> {
        let entries = self.entries();
        let entry = entries.get(&Key::new(caller.principal.id(), id));
        let inquiry = entry.and_then(|entry| entry.inquiry.as_ref());
        inquiry.map(|inquiry| inquiry.open()).unwrap_or_default()
    }

    /// Nothing more will be asked; the conversation stays a little for whoever wants the result again.
    fn ended(&self, caller: &Caller, id: &str) {
        if let Some(entry) = self.entries().get_mut(&Key::new(caller.principal.id(), id)) {
            entry.inquiry = None;
            entry.expires = entry.expires.min(Instant::now() + AFTERWARDS);
        }
    }

    /// Forgets what has expired, until nothing is left.
    async fn sweep(desk: Weak<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(desk) = desk.upgrade() else { return };
            let now = Instant::now();
            let mut entries = desk.entries();
            entries.retain(|_, entry| entry.expires > now && entry.line.is_open());
            if entries.is_empty() {
                return;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(principal: &PrincipalId, task: &str) -> Self {
        Self {
            principal: principal.clone(),
            task: task.to_owned(),
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Answered { error, .. }
            if matches!(error.code, code::INVALID_PARAMS | code::METHOD_NOT_FOUND)
    )
}

/// Tasks that are remembered, of all principals and of one.
const MOST: usize = 10_000;
const MOST_PER_PRINCIPAL: usize = 1_000;
/// How long a task is remembered, however long it is kept by its backend.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a task is remembered once its end was seen.
const AFTERWARDS: Duration = Duration::from_secs(10 * 60);
/// How often what has expired is looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long a backend may take to hand out a result that it says is there.
const RESULT: Duration = Duration::from_secs(60);
