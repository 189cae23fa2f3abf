//! What has arrived for one call and was not taken yet.
//!
//! The dispatcher never waits for a slow caller: what does not fit any more is left out, oldest first, superseded
//! progress before log messages. The answer is never left out.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use isthmus_exchange::{Error, Event};
use isthmus_protocol::RawJson;

/// Events that wait at most.
const MOST_EVENTS: usize = 64;
/// Bytes of events that wait at most; a single event may be larger.
const MOST_BYTES: usize = 1 << 20;

/// What a call ends with: the `result` object as it came, or why there is none.
pub(super) type Answer = Result<RawJson, Error>;

/// What comes out of a buffer.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Something on the way.
    Event(Event),
    /// The end; nothing comes after it.
    Answer(Answer),
}

/// What has arrived for one call and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct CallBuffer(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    answer: Option<Answer>,
    answered: bool,
    waker: Option<Waker>,
}

impl CallBuffer {
    /// Adds an event, and leaves out others if there are too many.
    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.answered {
            return;
        }
        waiting.bytes += size(&event);
        waiting.events.push_back(event);
        while waiting.is_too_much() {
            waiting.leave_one_out();
        }
        waiting.wake();
    }

    /// Ends the call. Only the first answer counts.
    pub(super) fn finish(&self, answer: Answer) {
        let mut waiting = self.lock();
        if !mem::replace(&mut waiting.answered, true) {
            waiting.answer = Some(answer);
            waiting.wake();
        }
    }

    /// Whether the answer has arrived.
    pub(super) fn is_finished(&self) -> bool {
        self.lock().answered
    }

    /// Takes what comes next. Pending for ever once the answer was taken.
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Arrival> {
        let mut waiting = self.lock();
        if let Some(event) = waiting.events.pop_front() {
            waiting.bytes -= size(&event);
            return Poll::Ready(Arrival::Event(event));
        }
        if let Some(answer) = waiting.answer.take() {
            return Poll::Ready(Arrival::Answer(answer));
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic between two plain assignments leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_too_much(&self) -> bool {
        self.events.len() > 1 && (self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES)
    }

    fn leave_one_out(&mut self) {
        let older = self.events.len() - 1;
        let progress = |event: &Event| matches!(event, Event::Progress(_));
        let victim = self.events.iter().take(older).position(progress);
        if let Some(event) = self.events.remove(victim.unwrap_or(0)) {
            self.bytes -= size(&event);
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Progress(progress) => progress.params.len(),
        Event::Log(record) => record.params.len(),
        Event::Question(question) => question.params.len(),
        Event::Acknowledged(_) | Event::Notice(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::{LogRecord, Progress};
    use isthmus_protocol::LogLevel;

    use super::*;

    fn progress(step: usize) -> Event {
        let params = RawJson::parse(format!("{{\"progress\":{step}}}")).unwrap();
        Event::Progress(Progress { params })
    }

    fn log(text: &str) -> Event {
        Event::Log(LogRecord {
            level: LogLevel::Info,
            params: RawJson::string(text),
        })
    }

    fn drain(buffer: &CallBuffer) -> Vec<String> {
        let mut texts = Vec::new();
        let context = Context::from_waker(Waker::noop());
        while let Poll::Ready(arrival) = buffer.poll_take(&context) {
            texts.push(match arrival {
                Arrival::Event(Event::Progress(progress)) => progress.params.to_string(),
                Arrival::Event(Event::Log(record)) => record.params.to_string(),
                Arrival::Answer(Ok(result)) => result.to_string(),
                other => panic!("{other:?}"),
            });
        }
        texts
    }

    #[test]
    fn events_come_out_in_order_and_the_answer_last() {
        let buffer = CallBuffer::default();
        buffer.push(progress(1));
        buffer.push(log("a"));
        buffer.finish(Ok(RawJson::empty_object()));
        buffer.finish(Ok(RawJson::null()));
        buffer.push(log("late"));
        assert!(buffer.is_finished());
        assert_eq!(drain(&buffer), ["{\"progress\":1}", "\"a\"", "{}"]);
    }

    #[test]
    fn a_flood_nobody_takes_is_thinned_out_and_the_answer_survives_it() {
        let buffer = CallBuffer::default();
        buffer.push(log("kept"));
        for step in 0..100_000 {
            buffer.push(progress(step));
        }
        buffer.finish(Ok(RawJson::empty_object()));
        let texts = drain(&buffer);
        assert_eq!(texts.len(), MOST_EVENTS + 1);
        assert_eq!(texts[0], "\"kept\"");
        assert_eq!(texts[MOST_EVENTS - 1], "{\"progress\":99999}");
    }

    #[test]
    fn large_events_are_bounded_by_their_bytes_and_one_always_fits() {
        let buffer = CallBuffer::default();
        for _ in 0..10 {
            buffer.push(log(&"x".repeat(MOST_BYTES)));
        }
        assert_eq!(drain(&buffer).len(), 1);
        assert_eq!(buffer.lock().bytes, 0);
    }
}
