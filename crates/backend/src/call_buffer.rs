//! What has arrived for one call and was not taken yet.
//!
//! Whoever reads for all calls never waits for a slow caller: what does not fit any more is left out, oldest first,
//! superseded progress before log messages. The answer is never left out, nor is a question, of which there are not many.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use isthmus_exchange::{Error, Event};
use isthmus_protocol::RawJson;

/// Events that wait at most, without questions.
const MOST_EVENTS: usize = 64;
/// Bytes of events that wait at most, without questions; a single event may be larger.
const MOST_BYTES: usize = 1 << 20;

/// What a call ends with: the `result` object as it came, or why there is none.
pub(crate) type Answer = Result<RawJson, Error>;

/// What comes out of a buffer.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Something on the way.
    Event(Event),
    /// The end; nothing comes after it.
    Answer(Answer),
}

/// What has arrived for one call and was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct CallBuffer(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// How many of them may be left out, and their bytes.
    optional: usize,
    bytes: usize,
    answer: Option<Answer>,
    answered: bool,
    waker: Option<Waker>,
}

impl CallBuffer {
    /// Adds an event, and leaves out others if there are too many.
    pub(crate) fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.answered {
            return;
        }
        waiting.count(&event);
        waiting.events.push_back(event);
        while waiting.is_too_much() {
            waiting.leave_one_out();
        }
        waiting.wake();
    }

    /// Ends the call. Only the first answer counts.
    pub(crate) fn finish(&self, answer: Answer) {
        let mut waiting = self.lock();
        if !mem::replace(&mut waiting.answered, true) {
            waiting.answer = Some(answer);
            waiting.wake();
        }
    }

    /// Takes what comes next. Pending for ever once the answer was taken.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Arrival> {
        let mut waiting = self.lock();
        if let Some(event) = waiting.events.pop_front() {
            waiting.uncount(&event);
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
    fn count(&mut self, event: &Event) {
        if let Some(size) = optional_size(event) {
            self.optional += 1;
            self.bytes += size;
        }
    }

    fn uncount(&mut self, event: &Event) {
        if let Some(size) = optional_size(event) {
            self.optional -= 1;
            self.bytes -= size;
        }
    }

    fn is_too_much(&self) -> bool {
        self.optional > 1 && (self.optional > MOST_EVENTS || self.bytes > MOST_BYTES)
    }

    fn leave_one_out(&mut self) {
        let older = self.events.len() - 1;
        let progress = |event: &Event| matches!(event, Event::Progress(_));
        let optional = |event: &Event| optional_size(event).is_some();
        let victim = self.events.iter().take(older).position(progress);
        let victim = victim.or_else(|| self.events.iter().position(optional));
        if let Some(event) = victim.and_then(|victim| self.events.remove(victim)) {
            self.uncount(&event);
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The bytes of an event that may be left out; `None` for one that may not.
fn optional_size(event: &Event) -> Option<usize> {
    match event {
        Event::Progress(progress) => Some(progress.params.len()),
        Event::Log(record) => Some(record.params.len()),
        Event::Question(_) => None,
        Event::Acknowledged(_) | Event::Notice(_) => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::{BackendName, LogRecord, Progress, Question};
    use isthmus_protocol::{LogLevel, Method};

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
                Arrival::Event(Event::Question(question)) => question.params.to_string(),
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
    fn no_flood_takes_a_question_away_and_no_question_counts_as_one() {
        let buffer = CallBuffer::default();
        for number in 0..MOST_EVENTS {
            let params = RawJson::string(&"q".repeat(number));
            let backend = BackendName::parse("b").unwrap();
            let (question, _) = Question::new(backend, Method::RootsList, params);
            buffer.push(Event::Question(question));
        }
        buffer.push(log("kept"));
        for step in 0..2 * MOST_EVENTS {
            buffer.push(progress(step));
        }
        buffer.push(log(&"x".repeat(MOST_BYTES)));
        let texts = drain(&buffer);
        let questions = texts.iter().filter(|text| text.starts_with("\"q"));
        assert_eq!(questions.count(), MOST_EVENTS - 1);
        assert_eq!(texts.len(), MOST_EVENTS + 1);
        assert_eq!(buffer.lock().bytes, 0);
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
