//! The streams of one session: which exist, which may be asked for again, and where an unsolicited message goes.
//!
//! Two kinds. The stream that answers a request belongs to its call and is listed here only once it can be resumed. A
//! *standing* stream (a GET, or the one stream of HTTP+SSE) carries unsolicited messages, each on exactly one of
//! them (LS-7); while there is none, messages wait here, a bounded number of them.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::event_log::{EventLog, EventReader};
use crate::replay_budget::ReplayBudget;

/// The streams of one session.
#[derive(Debug)]
pub struct Streams {
    budget: Arc<ReplayBudget>,
    standing_limit: usize,
    state: Mutex<State>,
}

/// What an SSE `id` of ours says: which stream, and how far it was read (digest §3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// The stream's number.
    pub stream: u64,
    /// The place within it.
    pub sequence: u64,
}

/// The text is not an event id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id of this server")]
pub struct InvalidEventId;

/// The session has as many standing streams as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has too many open streams")]
pub struct TooManyStreams;

#[derive(Debug)]
struct State {
    next_number: u64,
    logs: Vec<Entry>,
    pending: VecDeque<Bytes>,
    ended: bool,
}

#[derive(Debug)]
struct Entry {
    log: Arc<EventLog>,
    standing: bool,
}

impl Streams {
    /// `first_number` should differ between lives of one session, so that an event id of an earlier life names nothing.
    pub(crate) fn new(first_number: u64, standing_limit: usize, budget: ReplayBudget) -> Self {
        Self {
            budget: Arc::new(budget),
            standing_limit,
            state: Mutex::new(State {
                next_number: first_number,
                logs: Vec::new(),
                pending: VecDeque::new(),
                ended: false,
            }),
        }
    }

    /// A stream for the answer to a request, with its reader.
    #[must_use]
    pub fn open_answer(&self) -> EventReader {
        let mut state = self.lock();
        let log = self.new_log(&mut state);
        log.read_from(0)
    }

    /// Lets a stream of [`Streams::open_answer`] be resumed from now on.
    pub fn keep(&self, log: &Arc<EventLog>) {
        let mut state = self.lock();
        log.keep();
        self.relieve(&mut state);
        if !state.ended {
            state.logs.push(Entry {
                log: Arc::clone(log),
                standing: false,
            });
        }
    }

    /// A stream for unsolicited messages, with its reader. Messages that have waited go first.
    ///
    /// # Errors
    ///
    /// [`TooManyStreams`].
    pub fn open_standing(&self, kept: bool) -> Result<EventReader, TooManyStreams> {
        let mut state = self.lock();
        self.relieve(&mut state);
        let mut waiting = Vec::new();
        state.logs.retain(|entry| {
            // A standing stream that its client left without coming back for it: what it did not take is not lost.
            let left = entry.standing && !entry.log.is_attached();
            if left {
                waiting.extend(entry.log.take_unread());
            }
            !left
        });
        if state.logs.iter().filter(|entry| entry.standing).count() >= self.standing_limit {
            return Err(TooManyStreams);
        }
        waiting.extend(state.pending.drain(..));
        state.pending = VecDeque::new();
        let log = self.new_log(&mut state);
        if kept {
            log.keep();
        }
        let reader = log.read_from(0);
        for message in waiting {
            log.offer(&message);
        }
        if state.ended {
            log.close(None);
        } else {
            state.logs.push(Entry {
                log,
                standing: true,
            });
        }
        Ok(reader)
    }

    /// Reads on where a broken stream ended. `None` if that stream is not (or no longer) kept.
    #[must_use]
    pub fn resume(&self, from: EventId) -> Option<EventReader> {
        let state = self.lock();
        let entry = state
            .logs
            .iter()
            .find(|entry| entry.log.number() == from.stream)?;
        Some(entry.log.read_from(from.sequence))
    }

    /// Sends a message that belongs to no request: on one standing stream, or later.
    ///
    /// While none is open, equal messages are kept once, and beyond a bound the oldest is dropped: what
    /// travels here says that something changed, not what.
    pub fn send_unsolicited(&self, message: &Bytes) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let mut standing = state.logs.iter().rev().filter(|entry| entry.standing);
        let attached = standing
            .clone()
            .any(|entry| entry.log.is_attached() && entry.log.offer(message));
        if attached || standing.any(|entry| entry.log.offer(message)) {
            return;
        }
        if state.pending.contains(message) {
            return;
        }
        if state.pending.len() >= PENDING {
            state.pending.pop_front();
        }
        state.pending.push_back(message.clone());
    }

    /// Whether a client listens for unsolicited messages right now.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.lock().logs.iter().any(|entry| entry.log.is_attached())
    }

    /// Whether there is a stream for unsolicited messages, if only one that broke and may be resumed.
    #[must_use]
    pub fn has_standing(&self) -> bool {
        self.lock().logs.iter().any(|entry| entry.standing)
    }

    /// Ends the standing streams: nothing will come on them any more. What answers requests goes on.
    pub fn end_standing(&self) {
        self.lock().logs.retain(|entry| {
            if entry.standing {
                entry.log.close(None);
            }
            !entry.standing
        });
    }

    /// Lets go of streams that ended a while ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.lock();
        state.logs.retain(|entry| {
            let long_over = entry
                .log
                .idle_since()
                .is_some_and(|since| now.duration_since(since) >= RESUMABLE);
            !long_over && (entry.standing || !entry.log.is_spent())
        });
        if state.logs.is_empty() {
            state.logs.shrink_to_fit();
        }
    }

    /// Ends every stream, for good.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        for entry in state.logs.drain(..) {
            entry.log.close(None);
        }
        state.pending = VecDeque::new();
    }

    fn new_log(&self, state: &mut State) -> Arc<EventLog> {
        let number = state.next_number;
        state.next_number += 1;
        EventLog::new(number, Arc::clone(&self.budget))
    }

    /// Makes room by forgetting, oldest first, streams that are over and that nobody reads.
    fn relieve(&self, state: &mut State) {
        let budget = &self.budget;
        state
            .logs
            .retain(|entry| entry.log.idle_since().is_none() || !budget.is_tight());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.stream, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.bytes().all(|c| c.is_ascii_hexdigit());
            u64::from_str_radix(text, 16).ok().filter(|_| digits)
        };
        text.split_once('-')
            .and_then(|(stream, sequence)| {
                Some(Self {
                    stream: number(stream)?,
                    sequence: number(sequence)?,
                })
            })
            .ok_or(InvalidEventId)
    }
}

/// Unsolicited messages that wait for a stream.
const PENDING: usize = 64;
/// How long the end of a stream may still be asked for.
const RESUMABLE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn streams() -> Streams {
        let total = Arc::new(AtomicUsize::new(0));
        Streams::new(7, 2, ReplayBudget::new(1000, total, 10_000))
    }

    fn message(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    async fn take(reader: &mut EventReader) -> Bytes {
        reader.next().await.unwrap().message
    }

    #[test]
    fn an_event_id_reads_back_and_nothing_else_is_one() {
        let id = EventId {
            stream: 300,
            sequence: 17,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "-", "1", "x-1", "1-", "+1-2", "1-2-3", "1_2"] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text}");
        }
    }

    #[tokio::test]
    async fn each_message_goes_out_on_exactly_one_stream() {
        let streams = streams();
        let mut one = streams.open_standing(false).unwrap();
        let mut two = streams.open_standing(false).unwrap();
        assert_eq!(streams.open_standing(false).unwrap_err(), TooManyStreams);
        streams.send_unsolicited(&message("a"));
        streams.end();
        let mut seen = Vec::new();
        while let Some(event) = one.next().await {
            seen.push(event.message);
        }
        while let Some(event) = two.next().await {
            seen.push(event.message);
        }
        assert_eq!(seen, ["a"]);
    }

    #[tokio::test]
    async fn standing_streams_end_and_others_go_on() {
        let streams = streams();
        let mut standing = streams.open_standing(true).unwrap();
        let mut answer = streams.open_answer();
        streams.keep(answer.log());
        streams.end_standing();
        assert!(standing.next().await.is_none());
        assert!(!streams.has_standing());
        answer.log().write(message("a")).await;
        assert_eq!(take(&mut answer).await, "a");
    }

    #[tokio::test]
    async fn messages_wait_for_a_stream_once_each() {
        let streams = streams();
        for text in ["a", "b", "a"] {
            streams.send_unsolicited(&message(text));
        }
        let mut reader = streams.open_standing(false).unwrap();
        assert_eq!(take(&mut reader).await, "a");
        assert_eq!(take(&mut reader).await, "b");
    }

    #[tokio::test]
    async fn a_broken_standing_stream_is_resumed_or_its_rest_goes_to_the_next_one() {
        let streams = streams();
        let mut first = streams.open_standing(true).unwrap();
        let number = first.log().number();
        streams.send_unsolicited(&message("a"));
        take(&mut first).await;
        drop(first);
        streams.send_unsolicited(&message("b"));
        let from = EventId {
            stream: number,
            sequence: 1,
        };
        let mut again = streams.resume(from).unwrap();
        assert_eq!(take(&mut again).await, "b");
        drop(again);
        streams.send_unsolicited(&message("c"));
        let mut fresh = streams.open_standing(true).unwrap();
        assert_eq!(take(&mut fresh).await, "c");
        assert!(streams.resume(from).is_none());
    }

    #[tokio::test]
    async fn only_the_stream_that_broke_is_replayed() {
        let streams = streams();
        let one = streams.open_answer();
        let two = streams.open_answer();
        streams.keep(one.log());
        streams.keep(two.log());
        one.log().write(message("one")).await;
        two.log().close(Some(message("two")));
        let from = EventId {
            stream: two.log().number(),
            sequence: 0,
        };
        let mut again = streams.resume(from).unwrap();
        assert_eq!(take(&mut again).await, "two");
        assert!(again.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_stream_is_forgotten_after_a_while() {
        let streams = streams();
        let answer = streams.open_answer();
        let from = EventId {
            stream: answer.log().number(),
            sequence: 0,
        };
        streams.keep(answer.log());
        answer.log().close(Some(message("done")));
        drop(answer);
        streams.sweep(Instant::now());
        assert!(streams.resume(from).is_some());
        streams.sweep(Instant::now() + RESUMABLE);
        assert!(streams.resume(from).is_none());
    }
}
