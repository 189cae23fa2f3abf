//! One call in flight, on its caller's side.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use isthmus_exchange::{BackendName, Error, Outcome, Reply, Step};
use isthmus_protocol::Method;

use super::link::Link;
use crate::call_buffer::{Answer, Arrival, CallBuffer};
use crate::outcome;

/// By which rules a result is read.
#[derive(Debug)]
pub(super) enum Reading {
    /// Those of a stateful backend.
    Stateful,
    /// Those of a stateless backend for this method.
    Stateless(Method),
}

/// One call in flight. Dropping it before its end cancels it at the backend.
pub(super) struct Call {
    link: Arc<Link>,
    id: u64,
    buffer: Arc<CallBuffer>,
    cancellable: bool,
    finished: bool,
}

impl Call {
    pub(super) fn new(
        link: Arc<Link>,
        id: u64,
        buffer: Arc<CallBuffer>,
        cancellable: bool,
    ) -> Self {
        Self {
            link,
            id,
            buffer,
            cancellable,
            finished: false,
        }
    }

    /// Waits for the answer and drops the events on the way.
    pub(super) async fn answer(&mut self) -> Answer {
        std::future::poll_fn(|context| {
            loop {
                if let Arrival::Answer(answer) = ready!(self.poll_arrival(context)) {
                    return Poll::Ready(answer);
                }
            }
        })
        .await
    }

    /// Waits for the first sign of an answer. One that is complete by then needs no stream.
    pub(super) async fn reply(mut self, read: Reading) -> Result<Reply, Error> {
        match std::future::poll_fn(|context| self.poll_arrival(context)).await {
            Arrival::Answer(answer) => read.outcome(self.backend(), answer).map(Reply::ready),
            Arrival::Event(event) => Ok(Reply::running(Steps {
                first: Some(Step::Event(event)),
                call: self,
                read,
            })),
        }
    }

    fn backend(&self) -> &BackendName {
        &self.link.shared.backend
    }

    fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        let arrival = ready!(self.buffer.poll_take(context));
        self.finished |= matches!(arrival, Arrival::Answer(_));
        Poll::Ready(arrival)
    }
}

impl Reading {
    fn outcome(&self, backend: &BackendName, answer: Answer) -> Result<Outcome, Error> {
        match self {
            Self::Stateful => outcome::stateful(backend, &answer?),
            Self::Stateless(method) => outcome::stateless(backend, method, &answer?),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.finished {
            self.link.shared.abandon(self.id, self.cancellable);
        }
    }
}

/// The rest of a call as the steps of a reply.
struct Steps {
    first: Option<Step>,
    call: Call,
    read: Reading,
}

impl Stream for Steps {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.call.finished {
            return Poll::Ready(None);
        }
        let step = match ready!(self.call.poll_arrival(context)) {
            Arrival::Event(event) => Step::Event(event),
            Arrival::Answer(answer) => Step::Done(self.read.outcome(self.call.backend(), answer)),
        };
        Poll::Ready(Some(step))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("backend", &self.link.shared.backend)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
