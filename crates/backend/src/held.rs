//! A reply that holds what its call occupies, and ends at its deadline.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use isthmus_exchange::{Error, Event, Reply, Step};
use isthmus_protocol::LogLevel;
use tokio::time::{Instant, Sleep};

/// Passes a reply's steps on, without the log messages its caller did not ask for.
///
/// What it holds (a place among the calls in flight, the lease of a conversation) is freed with its last step or when it
/// is dropped.
pub(crate) struct Held<H> {
    reply: Option<(Reply, H)>,
    deadline: Pin<Box<Sleep>>,
    timed_out: Option<Error>,
    log_level: Option<LogLevel>,
}

impl<H> Held<H> {
    /// Holds `held` until `reply` ends or `deadline` has passed; then the step is `timed_out` and the reply is dropped,
    /// which cancels it.
    pub(crate) fn new(
        reply: Reply,
        held: H,
        deadline: Instant,
        timed_out: Error,
        log_level: Option<LogLevel>,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        Self {
            reply: Some((reply, held)),
            deadline,
            timed_out: Some(timed_out),
            log_level,
        }
    }
}

impl<H: Unpin> Stream for Held<H> {
    type Item = Step;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        let this = self.get_mut();
        let Some((reply, _)) = &mut this.reply else {
            return Poll::Ready(None);
        };
        while let Poll::Ready(step) = reply.poll_next(context) {
            match step {
                Step::Event(Event::Log(record))
                    if this.log_level.is_none_or(|level| record.level < level) => {}
                Step::Done(_) => {
                    this.reply = None;
                    return Poll::Ready(Some(step));
                }
                Step::Event(_) => return Poll::Ready(Some(step)),
            }
        }
        std::task::ready!(this.deadline.as_mut().poll(context));
        this.reply = None;
        Poll::Ready(this.timed_out.take().map(|error| Step::Done(Err(error))))
    }
}
