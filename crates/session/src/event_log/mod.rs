//! The messages of one stream: written by the work behind it, read by whoever is attached at the moment.
//!
//! There is at most one reader at a time; a newer one displaces an older one. What a reader has not taken yet holds the
//! writer back, so nothing is lost to a slow client. A log that is *kept* also holds what was read, within the session's
//! budget, so that a client whose connection broke can ask for the rest (LS-10). A log that is not kept forgets what it
//! has handed out, and everything once its reader has gone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::replay_budget::ReplayBudget;

/// The messages of one stream.
pub struct EventLog {
    number: u64,
    budget: Arc<ReplayBudget>,
    state: Mutex<State>,
    room: Notify,
}

/// Reads a log from one place on. Dropping it detaches it.
#[derive(Debug)]
pub struct EventReader {
    log: Arc<EventLog>,
    generation: u64,
    cursor: u64,
}

/// One message and its place in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// From 1; place 0 is before the first.
    pub sequence: u64,
    /// A whole JSON-RPC message.
    pub message: Bytes,
    /// Whether it is the response to a request, and not a message on the way to one.
    pub is_answer: bool,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<StoredEvent>,
    /// Place of the newest event.
    last: u64,
    /// Place of the newest event that a reader has taken.
    read: u64,
    /// The attached reader.
    reader: Option<Attached>,
    generations: u64,
    kept: bool,
    closed: Option<Instant>,
}

/// What became of a message.
enum Written {
    /// It stands at this place.
    At(u64),
    /// The reader is too far behind.
    Not,
    /// It is thrown away: nobody would ever read it.
    ForNobody,
}

#[derive(Debug)]
struct Attached {
    generation: u64,
    waker: Option<Waker>,
}

impl EventLog {
    pub(crate) fn new(number: u64, budget: Arc<ReplayBudget>) -> Arc<Self> {
        Arc::new(Self {
            number,
            budget,
            state: Mutex::default(),
            room: Notify::new(),
        })
    }

    /// The number by which event ids name this log within its session.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Attaches a reader that begins after the event at `cursor`. An earlier reader comes to its end.
    #[must_use]
    pub fn read_from(self: &Arc<Self>, cursor: u64) -> EventReader {
        let mut state = self.lock();
        state.generations += 1;
        let generation = state.generations;
        let displaced = state.reader.replace(Attached {
            generation,
            waker: None,
        });
        drop(state);
        if let Some(waker) = displaced.and_then(|reader| reader.waker) {
            waker.wake();
        }
        EventReader {
            log: Arc::clone(self),
            generation,
            cursor,
        }
    }

    /// Writes one message. Waits while an attached reader is far behind.
    ///
    /// Dropping the future before it is ready writes nothing.
    pub async fn write(&self, message: Bytes) {
        self.write_either(message, false).await;
    }

    /// Writes the response to one of several requests that share the log; otherwise as [`EventLog::write`].
    pub async fn write_answer(&self, message: Bytes) {
        self.write_either(message, true).await;
    }

    /// Writes a message that needs an answer; otherwise as [`EventLog::write`]. Returns its place, by which it can be
    /// taken back; `None` if nobody will ever read it.
    pub async fn write_question(&self, message: Bytes) -> Option<u64> {
        self.write_either(message, false).await
    }

    async fn write_either(&self, message: Bytes, is_answer: bool) -> Option<u64> {
        loop {
            let room = self.room.notified();
            match self.try_write(&message, is_answer) {
                Written::At(place) => return Some(place),
                Written::ForNobody => return None,
                Written::Not => room.await,
            }
        }
    }

    fn try_write(&self, message: &Bytes, is_answer: bool) -> Written {
        let mut state = self.lock();
        if state.is_lost() {
            return Written::ForNobody;
        }
        if state.reader.is_some() && state.backlog() >= BACKLOG {
            return Written::Not;
        }
        let (place, waker) = self.append(&mut state, message.clone(), is_answer);
        drop(state);
        wake(waker);
        Written::At(place)
    }

    /// Takes a message back, so that nobody reads it from now on: what was answered is not asked again when a stream is
    /// resumed. Whether a reader had taken it.
    pub fn retract(&self, place: u64) -> bool {
        let mut state = self.lock();
        let index = state.events.partition_point(|event| event.sequence < place);
        if state.events.get(index).is_some_and(|e| e.sequence == place)
            && let Some(event) = state.events.remove(index)
            && state.kept
        {
            self.budget.subtract(event.message.len());
        }
        let taken = place <= state.read;
        drop(state);
        self.room.notify_waiters();
        taken
    }

    /// Completes when nobody will ever read what is written.
    pub async fn lost(&self) {
        loop {
            let changed = self.room.notified();
            if self.lock().is_lost() {
                return;
            }
            changed.await;
        }
    }

    /// Writes one message if there is room. `false`: it was not written.
    pub(crate) fn offer(&self, message: &Bytes) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() || state.backlog() >= BACKLOG {
            return false;
        }
        if state.reader.is_none() && !state.kept {
            return false;
        }
        let (_, waker) = self.append(&mut state, message.clone(), false);
        drop(state);
        wake(waker);
        true
    }

    /// Writes the last message, a response, if there is one, and closes the log: its reader comes to an end after it.
    pub fn close(&self, last: Option<Bytes>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        let waiting = state.reader.as_mut().and_then(|reader| reader.waker.take());
        if let Some(message) = last {
            self.append(&mut state, message, true);
        }
        state.closed = Some(Instant::now());
        drop(state);
        wake(waiting);
        self.room.notify_waiters();
    }

    /// From now on what is read is kept as well, within the budget.
    pub fn keep(&self) {
        let mut state = self.lock();
        if !state.kept {
            state.kept = true;
            self.budget.add(state.bytes());
        }
    }

    /// Whether a reader is attached.
    pub(crate) fn is_attached(&self) -> bool {
        self.lock().reader.is_some()
    }

    /// Since when the log is closed and nobody reads it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.closed.filter(|_| state.reader.is_none())
    }

    /// Whether anything is left that could be read, now or later.
    pub(crate) fn is_spent(&self) -> bool {
        let state = self.lock();
        state.reader.is_none() && (!state.kept || state.closed.is_some() && state.events.is_empty())
    }

    /// Takes what no reader has taken, for another log.
    pub(crate) fn take_unread(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        let read = state.read;
        let unread: Vec<Bytes> = state
            .events
            .iter()
            .filter(|event| event.sequence > read)
            .map(|event| event.message.clone())
            .collect();
        self.forget_all(&mut state);
        state.closed = Some(Instant::now());
        unread
    }

    /// Returns the message's place, and the reader to wake.
    fn append(&self, state: &mut State, message: Bytes, is_answer: bool) -> (u64, Option<Waker>) {
        state.last += 1;
        let sequence = state.last;
        if state.is_lost() {
            return (sequence, None);
        }
        if state.kept {
            self.budget.add(message.len());
        }
        state.events.push_back(StoredEvent {
            sequence,
            message,
            is_answer,
        });
        self.trim(state);
        let waker = state.reader.as_mut().and_then(|reader| reader.waker.take());
        (sequence, waker)
    }

    /// Lets go of what need not or must not be held any longer.
    fn trim(&self, state: &mut State) {
        while let Some(first) = state.events.front() {
            let taken = first.sequence <= state.read;
            let unread_by_somebody = !taken && state.reader.is_some();
            // The newest message is the answer, once there is one: it alone may exceed the session's share.
            let newest = !taken && state.events.len() == 1 && !self.budget.is_total_exceeded();
            let affordable = newest || !self.budget.is_exceeded();
            if unread_by_somebody || (state.kept && affordable) {
                break;
            }
            if state.kept {
                self.budget.subtract(first.message.len());
            }
            state.events.pop_front();
        }
    }

    fn forget_all(&self, state: &mut State) {
        if state.kept {
            self.budget.subtract(state.bytes());
        }
        state.events = VecDeque::new();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Events that no reader has taken.
    fn backlog(&self) -> usize {
        let read = self.read;
        self.events.len() - self.events.partition_point(|event| event.sequence <= read)
    }

    /// Whether nobody is there, and nobody can come back.
    fn is_lost(&self) -> bool {
        self.closed.is_some() || (self.reader.is_none() && !self.kept)
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.message.len()).sum()
    }
}

impl EventReader {
    /// The log this reader reads.
    #[must_use]
    pub const fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// Whether there is nothing left to read, and nothing will come.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let state = self.log.lock();
        let newest = state.events.back().map_or(0, |event| event.sequence);
        state.closed.is_some() && newest <= self.cursor
    }

    /// The next event; `None` after the last one, or when a newer reader has taken over.
    pub async fn next(&mut self) -> Option<StoredEvent> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next event.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StoredEvent>> {
        let mut state = self.log.lock();
        let Some(reader) = state
            .reader
            .as_mut()
            .filter(|reader| reader.generation == self.generation)
        else {
            return Poll::Ready(None);
        };
        reader.waker = None;
        let cursor = self.cursor;
        let index = state
            .events
            .partition_point(|event| event.sequence <= cursor);
        if let Some(event) = state.events.get(index).cloned() {
            self.cursor = event.sequence;
            state.read = state.read.max(event.sequence);
            self.log.trim(&mut state);
            drop(state);
            self.log.room.notify_waiters();
            return Poll::Ready(Some(event));
        }
        if state.closed.is_some() {
            return Poll::Ready(None);
        }
        if let Some(reader) = &mut state.reader {
            reader.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Puts the event that was just read back, to be read again.
    ///
    /// For a rim that looks at the first event to decide how to answer.
    pub fn unread(&mut self, event: StoredEvent) {
        let mut state = self.log.lock();
        self.cursor = event.sequence - 1;
        let gone = state
            .events
            .front()
            .is_none_or(|first| first.sequence > event.sequence);
        if gone {
            if state.kept {
                self.log.budget.add(event.message.len());
            }
            state.events.push_front(event);
        }
        state.read = state.read.min(self.cursor);
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        let mine = state
            .reader
            .as_ref()
            .is_some_and(|reader| reader.generation == self.generation);
        if mine {
            state.reader = None;
            if !state.kept {
                self.log.forget_all(&mut state);
            }
            self.log.trim(&mut state);
            drop(state);
            // A writer that waits for this reader need not wait any more.
            self.log.room.notify_waiters();
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.kept {
            self.budget.subtract(state.bytes());
        }
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("EventLog")
            .field("number", &self.number)
            .field("last", &state.last)
            .field("read", &state.read)
            .field("kept", &state.kept)
            .field("closed", &state.closed.is_some())
            .finish_non_exhaustive()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Events that may wait for a reader before the writer has to wait too.
const BACKLOG: usize = 64;

#[cfg(test)]
mod tests;
