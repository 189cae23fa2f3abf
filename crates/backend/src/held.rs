//! A reply that holds what its call occupies, hands its questions to a live caller, and ends at its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use isthmus_exchange::{ClientCapabilities, Error, Event, Question, Reply, Step};
use isthmus_protocol::LogLevel;
use tokio::time::{Instant, Sleep};

use crate::asking;
use crate::relayed::Relayed;

/// How long a reply may take.
pub(crate) struct Patience {
    /// When it has to have ended. Time in which a question is with the caller does not count.
    pub(crate) deadline: Instant,
    /// If set, each sign of progress moves the deadline to so long after it.
    pub(crate) extension: Option<Duration>,
    /// What the caller is told when the time is over.
    pub(crate) timed_out: Error,
}

/// What its caller hears of a reply besides the outcome.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Log messages of at least this level.
    pub(crate) log_level: Option<LogLevel>,
    /// Whom questions are put to.
    pub(crate) asked: Option<Asked>,
}

/// A live caller that may be asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What it declared.
    pub(crate) capabilities: Arc<ClientCapabilities>,
    /// How long it may take for one answer.
    pub(crate) limit: Duration,
}

/// Passes a reply's steps on, without what its caller cannot use: log messages it did not ask for, questions it did not
/// declare to answer.
///
/// What it holds (a place among the calls in flight, the lease of a conversation) is freed with its last step or when it
/// is dropped.
pub(crate) struct Held<H> {
    reply: Option<(Reply, H)>,
    clock: Clock,
    timed_out: Option<Error>,
    heard: Heard,
    relayed: Vec<Relayed>,
    questions: u32,
}

impl<H> Held<H> {
    /// Holds `held` until `reply` ends or `patience` does; then the reply is dropped, which cancels it.
    ///
    /// Questions are passed on as they are if nobody is named who may be asked.
    pub(crate) fn new(reply: Reply, held: H, patience: Patience, heard: Heard) -> Self {
        let Patience {
            deadline,
            extension,
            timed_out,
        } = patience;
        Self {
            reply: Some((reply, held)),
            clock: Clock::new(deadline, extension),
            timed_out: Some(timed_out),
            heard,
            relayed: Vec::new(),
            questions: 0,
        }
    }

    /// The reply, which goes on, and what was held; `None` after the end.
    pub(crate) fn into_parts(self) -> Option<(Reply, H)> {
        self.reply
    }

    /// The question as it goes to the caller; `None` if it is refused or there is nobody to hand it to.
    fn relay(&mut self, question: Question) -> Option<Question> {
        let Some(asked) = &self.heard.asked else {
            return Some(question);
        };
        let can = &asked.capabilities;
        if can
            .missing_for(&question.method, &question.params)
            .is_some()
        {
            let refusal = asking::undeclared(&question.method);
            question.answer(refusal);
            return None;
        }
        self.questions += 1;
        if self.questions > asking::MOST_IN_ALL || self.relayed.len() >= asking::MOST_AT_ONCE {
            // Dropped unanswered: the backend hears that nobody answers.
            return None;
        }
        let (relayed, copy) = Relayed::new(question, asked.limit);
        self.relayed.push(relayed);
        self.clock.stop();
        Some(copy)
    }

    fn carry_answers(&mut self, context: &mut Context<'_>) {
        if self.relayed.is_empty() {
            return;
        }
        self.relayed
            .retain_mut(|relayed| relayed.poll(context).is_pending());
        if self.relayed.is_empty() {
            self.clock.go_on();
        }
    }
}

impl<H: Unpin> Stream for Held<H> {
    type Item = Step;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        let this = self.get_mut();
        this.carry_answers(context);
        loop {
            let Some((reply, _)) = &mut this.reply else {
                return Poll::Ready(None);
            };
            let Poll::Ready(step) = reply.poll_next(context) else {
                break;
            };
            match step {
                Step::Event(Event::Log(record))
                    if this
                        .heard
                        .log_level
                        .is_none_or(|level| record.level < level) => {}
                Step::Event(Event::Question(question)) => {
                    if let Some(question) = this.relay(question) {
                        return Poll::Ready(Some(Step::Event(Event::Question(question))));
                    }
                }
                Step::Done(_) => {
                    this.reply = None;
                    this.relayed.clear();
                    return Poll::Ready(Some(step));
                }
                Step::Event(Event::Progress(_)) => {
                    this.clock.progress();
                    return Poll::Ready(Some(step));
                }
                Step::Event(_) => return Poll::Ready(Some(step)),
            }
        }
        std::task::ready!(this.clock.poll(context));
        this.reply = None;
        this.relayed.clear();
        Poll::Ready(this.timed_out.take().map(|error| Step::Done(Err(error))))
    }
}

/// The time that a call has left. It can be stopped.
#[derive(Debug)]
pub(crate) struct Clock {
    deadline: Pin<Box<Sleep>>,
    extension: Option<Duration>,
    /// What was left when it was stopped.
    left: Option<Duration>,
}

impl Clock {
    /// Runs until `deadline`, or until `extension` after the last sign of progress.
    pub(crate) fn new(deadline: Instant, extension: Option<Duration>) -> Self {
        Self {
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            extension,
            left: None,
        }
    }

    /// Stands still until it is told to go on.
    pub(crate) fn stop(&mut self) {
        if self.left.is_none() {
            let left = self.deadline.deadline() - Instant::now();
            self.left = Some(left);
        }
    }

    /// Goes on from where it was stopped.
    pub(crate) fn go_on(&mut self) {
        if let Some(left) = self.left.take() {
            self.deadline.as_mut().reset(Instant::now() + left);
        }
    }

    /// Notes a sign of progress.
    pub(crate) fn progress(&mut self) {
        match (self.extension, &mut self.left) {
            (None, _) => {}
            (Some(extension), Some(left)) => *left = extension,
            (Some(extension), None) => {
                self.deadline.as_mut().reset(Instant::now() + extension);
            }
        }
    }

    /// Ready when the time is over.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.left.is_some() {
            return Poll::Pending;
        }
        self.deadline.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::{Answer, BackendName, Complete, ErrorKind, Outcome, Progress};
    use isthmus_protocol::{Method, RawJson};
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    const CALL: Duration = Duration::from_secs(10);
    const ANSWER: Duration = Duration::from_secs(100);

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn held(extension: Option<Duration>) -> (mpsc::Sender<Step>, Reply) {
        let (steps, mut fed) = mpsc::channel(8);
        let reply = Reply::running(futures_util::stream::poll_fn(move |context| {
            fed.poll_recv(context)
        }));
        let timed_out = Error::new(ErrorKind::TimedOut(None), "too late");
        let patience = Patience {
            deadline: Instant::now() + CALL,
            extension,
            timed_out,
        };
        let asked = Some(Asked {
            capabilities: Arc::new(ClientCapabilities::parse(json(r#"{"roots":{}}"#)).unwrap()),
            limit: ANSWER,
        });
        let heard = Heard {
            log_level: None,
            asked,
        };
        (steps, Reply::running(Held::new(reply, (), patience, heard)))
    }

    async fn time_of_end(extension: Option<Duration>) -> Duration {
        let begun = Instant::now();
        let (steps, mut reply) = held(extension);
        let progress = async {
            for _ in 0..3 {
                tokio::time::sleep(CALL * 3 / 4).await;
                let progress = Progress {
                    params: RawJson::empty_object(),
                };
                // The reply may have ended already.
                let _ = steps.send(Step::Event(Event::Progress(progress))).await;
            }
            std::future::pending::<()>().await;
        };
        let ended = async { while matches!(reply.next().await, Step::Event(_)) {} };
        tokio::select! {
            () = progress => {}
            () = ended => {}
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_reply_ends_at_its_deadline_and_is_cancelled() {
        let (steps, mut reply) = held(Some(CALL));
        assert!(
            matches!(reply.next().await, Step::Done(Err(error)) if *error.kind() == ErrorKind::TimedOut(None))
        );
        assert!(steps.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn progress_starts_the_time_anew_unless_the_caller_fixed_it() {
        assert_eq!(time_of_end(Some(CALL)).await, CALL * 9 / 4 + CALL);
        assert_eq!(time_of_end(None).await, CALL);
    }

    async fn ask(steps: &mpsc::Sender<Step>, method: Method) -> oneshot::Receiver<Answer> {
        let backend = BackendName::parse("b").unwrap();
        let (question, answered) = Question::new(backend, method, json("{}"));
        let event = Step::Event(Event::Question(question));
        steps.send(event).await.unwrap();
        answered
    }

    async fn asked(reply: &mut Reply) -> Question {
        match reply.next().await {
            Step::Event(Event::Question(question)) => question,
            other => panic!("{other:?} is no question"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_while_a_question_is_with_the_caller() {
        let (steps, mut reply) = held(None);
        let begun = Instant::now();
        tokio::time::sleep(CALL / 2).await;
        let answered = ask(&steps, Method::RootsList).await;
        let question = asked(&mut reply).await;
        let quiet = tokio::time::timeout(ANSWER / 2, reply.next()).await;
        assert!(quiet.is_err());
        question.answer(Ok(json(r#"{"roots":[]}"#)));
        assert!(matches!(reply.next().await, Step::Done(Err(_))));
        assert!(answered.await.unwrap().is_ok());
        assert_eq!(begun.elapsed(), CALL + ANSWER / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_a_time_of_its_own() {
        let (steps, mut reply) = held(None);
        let answered = ask(&steps, Method::RootsList).await;
        let mut question = asked(&mut reply).await;
        let begun = Instant::now();
        let end = async {
            question.withdrawn().await;
            assert_eq!(begun.elapsed(), ANSWER);
        };
        let reading = async { while matches!(reply.next().await, Step::Event(_)) {} };
        tokio::join!(end, reading);
        assert!(answered.await.is_err());
        assert_eq!(begun.elapsed(), ANSWER + CALL);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_takes_back_is_taken_back_from_the_caller() {
        let (steps, mut reply) = held(None);
        drop(ask(&steps, Method::RootsList).await);
        let mut question = asked(&mut reply).await;
        tokio::select! {
            () = question.withdrawn() => {}
            step = reply.next() => panic!("{step:?}"),
        }
        let (steps, mut reply) = held(None);
        let _answered = ask(&steps, Method::RootsList).await;
        let mut question = asked(&mut reply).await;
        let complete = Outcome::Complete(Complete {
            result: json("{}"),
            cache: None,
        });
        steps.send(Step::Done(Ok(complete))).await.unwrap();
        assert!(matches!(reply.next().await, Step::Done(Ok(_))));
        question.withdrawn().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_caller_did_not_declare_is_refused_and_never_reaches_it() {
        let (steps, mut reply) = held(None);
        let answered = ask(&steps, Method::ElicitationCreate).await;
        let next = tokio::time::timeout(CALL / 2, reply.next()).await;
        assert!(next.is_err());
        assert_eq!(answered.await.unwrap().unwrap_err().code, -32601);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_the_caller_drops_is_dropped_towards_the_backend() {
        let (steps, mut reply) = held(None);
        let answered = ask(&steps, Method::RootsList).await;
        drop(asked(&mut reply).await);
        let dropped = async { assert!(answered.await.is_err()) };
        tokio::select! {
            () = dropped => {}
            step = reply.next() => panic!("{step:?}"),
        }
    }
}
