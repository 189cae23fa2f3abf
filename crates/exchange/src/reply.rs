//! What comes out: events, then one outcome.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use isthmus_protocol::{LogLevel, RawJson};

use crate::{Acknowledged, Continuation, CreatedTask, Error, Notice, Question};

/// The answer of a stage: any number of [`Event`]s, then exactly one outcome or error.
///
/// Dropping a reply before its end cancels the work behind it, down to `notifications/cancelled` or a closed stream at
/// the backend. A rim whose client may vanish without meaning "cancel" keeps the reply in a task of its own (LS-8).
pub struct Reply(Inner);

enum Inner {
    Ready(Option<Outcome>),
    Running(Pin<Box<dyn Stream<Item = Step> + Send>>),
    Finished,
}

/// One step of a reply.
#[derive(Debug)]
pub enum Step {
    /// Something happened on the way.
    Event(Event),
    /// The end.
    Done(Result<Outcome, Error>),
}

/// What may happen before the outcome.
#[derive(Debug)]
pub enum Event {
    /// How far the request has come. Only if the caller wants progress.
    Progress(Progress),
    /// A log message of this request.
    Log(LogRecord),
    /// The backend asks something. Only to a live caller.
    Question(Question),
    /// First event of every listen reply: what is honoured.
    Acknowledged(Acknowledged),
    /// Something changed. Only in the reply to a listen.
    Notice(Notice),
}

/// `params` of `notifications/progress` without the token, which belongs to the hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The object without `progressToken`.
    pub params: RawJson,
}

/// `params` of `notifications/message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// How severe it is.
    pub level: LogLevel,
    /// The whole object.
    pub params: RawJson,
}

/// How a request ended when it did not fail.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The result.
    Complete(Complete),
    /// Answers are needed first.
    InputRequired(InputRequired),
    /// The backend goes on by itself; the caller polls. Only to callers that can follow tasks.
    Task(CreatedTask),
}

/// A complete result.
#[derive(Debug, Clone)]
pub struct Complete {
    /// The result object without the members that belong to a hop: no `resultType`, `ttlMs`, `cacheScope`, no
    /// `serverInfo` or `subscriptionId` in `_meta`.
    pub result: RawJson,
    /// How long it may be kept, where the revision has a say (digest §1.12).
    pub cache: Option<CacheHint>,
}

/// How long and for whom a result may be kept (26:server/utilities/caching).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheHint {
    /// `ttlMs`.
    pub ttl: Duration,
    /// `cacheScope` is `public`.
    pub public: bool,
}

/// The request cannot go on without answers (26:basic/patterns/mrtr).
#[derive(Debug, Clone)]
pub struct InputRequired {
    /// Questions by key: an object of `{method, params}`.
    pub requests: Option<RawJson>,
    /// What the retry has to repeat.
    pub state: Option<Continuation>,
}

impl Reply {
    /// A reply that is already complete.
    #[must_use]
    pub fn ready(outcome: Outcome) -> Self {
        Self(Inner::Ready(Some(outcome)))
    }

    /// A reply that is already complete with `result`.
    #[must_use]
    pub fn complete(result: RawJson) -> Self {
        Self::ready(Outcome::Complete(Complete {
            result,
            cache: None,
        }))
    }

    /// A reply whose steps come from `steps`, which ends with [`Step::Done`] and yields nothing after it.
    ///
    /// A stream that ends without an outcome is reported as an internal error.
    #[must_use]
    pub fn running(steps: impl Stream<Item = Step> + Send + 'static) -> Self {
        Self(Inner::Running(Box::pin(steps)))
    }

    /// The outcome, if the reply is complete and had no events. Lets a fast path skip the stream.
    ///
    /// # Errors
    ///
    /// The reply itself, if it is still running.
    pub fn into_ready(self) -> Result<Outcome, Self> {
        match self.0 {
            Inner::Ready(Some(outcome)) => Ok(outcome),
            inner => Err(Self(inner)),
        }
    }

    /// The next step; after [`Step::Done`] it reports an internal error.
    pub async fn next(&mut self) -> Step {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next step.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        match &mut self.0 {
            Inner::Ready(outcome) => {
                let outcome = outcome.take();
                self.0 = Inner::Finished;
                Poll::Ready(Step::Done(outcome.ok_or_else(Error::reply_without_outcome)))
            }
            Inner::Running(steps) => match std::task::ready!(steps.as_mut().poll_next(context)) {
                Some(Step::Event(event)) => Poll::Ready(Step::Event(event)),
                Some(Step::Done(outcome)) => {
                    self.0 = Inner::Finished;
                    Poll::Ready(Step::Done(outcome))
                }
                None => {
                    self.0 = Inner::Finished;
                    Poll::Ready(Step::Done(Err(Error::reply_without_outcome())))
                }
            },
            Inner::Finished => Poll::Ready(Step::Done(Err(Error::reply_without_outcome()))),
        }
    }

    /// Waits for the outcome and drops the events on the way.
    ///
    /// # Errors
    ///
    /// Whatever error the reply ends with.
    pub async fn outcome(mut self) -> Result<Outcome, Error> {
        loop {
            if let Step::Done(outcome) = self.next().await {
                return outcome;
            }
        }
    }

    /// The same reply with every step passed through `change`.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(Step) -> Step + Send + 'static) -> Self {
        match self.0 {
            Inner::Ready(Some(outcome)) => match change(Step::Done(Ok(outcome))) {
                Step::Done(Ok(outcome)) => Self::ready(outcome),
                step => Self::running(futures_util::stream::once(std::future::ready(step))),
            },
            Inner::Running(steps) => Self::running(futures_util::StreamExt::map(steps, change)),
            inner => Self(inner),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Ready(outcome) => f.debug_tuple("Reply::Ready").field(outcome).finish(),
            Inner::Running(_) => f.write_str("Reply::Running"),
            Inner::Finished => f.write_str("Reply::Finished"),
        }
    }
}
