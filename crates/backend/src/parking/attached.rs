//! A caller that waits for a parked call to go on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use isthmus_exchange::{ClientCapabilities, Error, Event, Outcome, Reply, Step, Wants};
use tokio::sync::{mpsc, oneshot};

type Ended = Result<Outcome, Error>;

/// The park's end of a caller's reply.
#[derive(Debug)]
pub(super) struct Attached {
    events: mpsc::Sender<Event>,
    ended: oneshot::Sender<Ended>,
    wants: Wants,
    pub(super) capabilities: Arc<ClientCapabilities>,
}

/// The caller's end.
struct Steps {
    events: mpsc::Receiver<Event>,
    end: oneshot::Receiver<Ended>,
    outcome: Option<Ended>,
}

impl Attached {
    /// A caller, and the reply for it.
    pub(super) fn new(wants: Wants, capabilities: Arc<ClientCapabilities>) -> (Self, Reply) {
        let (events, receiver) = mpsc::channel(WAITING_EVENTS);
        let (ended, end) = oneshot::channel();
        let attached = Self {
            events,
            ended,
            wants,
            capabilities,
        };
        let steps = Steps {
            events: receiver,
            end,
            outcome: None,
        };
        (attached, Reply::running(steps))
    }

    /// Tells it what it wants to hear. One that is far behind misses some: it holds up nobody else.
    pub(super) fn tell(&self, event: &Event) {
        let event = match event {
            Event::Progress(progress) if self.wants.progress => Event::Progress(progress.clone()),
            Event::Log(record)
                if self
                    .wants
                    .log_level
                    .is_some_and(|level| record.level >= level) =>
            {
                Event::Log(record.clone())
            }
            _ => return,
        };
        let _ = self.events.try_send(event);
    }

    /// Gives it its outcome.
    pub(super) fn end(self, outcome: Ended) {
        // It may have gone.
        let _ = self.ended.send(outcome);
    }

    /// Ready when it has gone.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.ended.poll_closed(context)
    }
}

impl Stream for Steps {
    type Item = Step;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        let this = self.get_mut();
        // Looked at first and told last: what was said before the end is in the queue by then.
        if this.outcome.is_none()
            && let Poll::Ready(outcome) = Pin::new(&mut this.end).poll(context)
        {
            this.outcome = Some(outcome.unwrap_or_else(|_| Err(super::expired())));
        }
        if let Poll::Ready(Some(event)) = this.events.poll_recv(context) {
            return Poll::Ready(Some(Step::Event(event)));
        }
        match this.outcome.take() {
            Some(outcome) => Poll::Ready(Some(Step::Done(outcome))),
            None => Poll::Pending,
        }
    }
}

const WAITING_EVENTS: usize = 64;
