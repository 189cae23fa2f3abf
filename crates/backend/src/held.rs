//! A reply that holds what its call occupies, and ends at its deadline.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use isthmus_exchange::{Error, Event, Reply, Step};
use isthmus_protocol::LogLevel;
use tokio::time::{Instant, Sleep};

/// How long a reply may take.
pub(crate) struct Patience {
    /// When it has to have ended.
    pub(crate) deadline: Instant,
    /// If set, each sign of progress moves the deadline to so long after it.
    pub(crate) extension: Option<Duration>,
    /// What the caller is told when the time is over.
    pub(crate) timed_out: Error,
}

/// Passes a reply's steps on, without the log messages its caller did not ask for.
///
/// What it holds (a place among the calls in flight, the lease of a conversation) is freed with its last step or when it
/// is dropped.
pub(crate) struct Held<H> {
    reply: Option<(Reply, H)>,
    deadline: Pin<Box<Sleep>>,
    extension: Option<Duration>,
    timed_out: Option<Error>,
    log_level: Option<LogLevel>,
}

impl<H> Held<H> {
    /// Holds `held` until `reply` ends or `patience` does; then the reply is dropped, which cancels it.
    pub(crate) fn new(
        reply: Reply,
        held: H,
        patience: Patience,
        log_level: Option<LogLevel>,
    ) -> Self {
        let Patience {
            deadline,
            extension,
            timed_out,
        } = patience;
        Self {
            reply: Some((reply, held)),
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            extension,
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
                Step::Event(Event::Progress(_)) => {
                    if let Some(extension) = this.extension {
                        this.deadline.as_mut().reset(Instant::now() + extension);
                    }
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

#[cfg(test)]
mod tests {
    use isthmus_exchange::{ErrorKind, Progress};
    use isthmus_protocol::RawJson;
    use tokio::sync::mpsc;

    use super::*;

    const CALL: Duration = Duration::from_secs(10);

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
        (steps, Reply::running(Held::new(reply, (), patience, None)))
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
}
