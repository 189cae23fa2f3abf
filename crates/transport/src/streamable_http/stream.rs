//! The bodies of event streams.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use isthmus_exchange::{Reply, Step};
use isthmus_protocol::sse::encode_event;
use isthmus_session::{EventId, EventReader, Session, StoredEvent};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::keep_alive::KeepAlive;
use crate::rim::encode::Encoder;

/// How long the headers of a response are held back.
#[derive(Debug)]
pub(crate) struct Hold(Instant);

impl Hold {
    pub(crate) fn new(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What `future` yields; `None` if the time is over first.
    pub(crate) async fn wait<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.0, future).await.ok()
    }
}

/// The rest of a stateless reply. Dropping it cancels the request.
pub(crate) struct ReplyStream {
    first: Option<Bytes>,
    running: Option<Running>,
}

struct Running {
    reply: Reply,
    encoder: Encoder,
    keep_alive: KeepAlive,
    /// Ends a listen stream in an orderly way.
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl ReplyStream {
    pub(crate) fn new(
        reply: Reply,
        encoder: Encoder,
        first: Option<&Bytes>,
        keep_alive: Duration,
        closing: Option<CancellationToken>,
    ) -> Self {
        Self {
            first: first.map(plain),
            running: Some(Running {
                reply,
                encoder,
                keep_alive: KeepAlive::new(keep_alive),
                closing: closing.map(|closing| Box::pin(closing.cancelled_owned())),
            }),
        }
    }

    /// A stream of one message.
    pub(crate) fn ended(message: &Bytes) -> Self {
        Self {
            first: Some(plain(message)),
            running: None,
        }
    }
}

impl Stream for ReplyStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        let step = running.poll(context);
        if let Poll::Ready((message, last)) = step {
            if last {
                // Drops the reply: nothing more is to be sent for it, and it has ended anyway.
                self.running = None;
            }
            return Poll::Ready(Some(message));
        }
        Poll::Pending
    }
}

impl Running {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Bytes, bool)> {
        while let Poll::Ready(step) = self.reply.poll_next(context) {
            match step {
                Step::Event(event) => {
                    if let Some(message) = self.encoder.event(event) {
                        self.keep_alive.reset();
                        return Poll::Ready((plain(&message), false));
                    }
                }
                Step::Done(outcome) => {
                    let message = self.encoder.outcome(outcome).message;
                    return Poll::Ready((plain(&message), true));
                }
            }
        }
        if let Some(closing) = &mut self.closing
            && closing.as_mut().poll(context).is_ready()
        {
            return Poll::Ready((plain(&self.encoder.end_of_listen()), true));
        }
        self.keep_alive
            .poll(context)
            .map(|comment| (comment, false))
    }
}

/// A stream of a session: the answer to a request, or a standing one.
pub(crate) struct SessionStream {
    first: Option<Bytes>,
    reader: EventReader,
    numbered: bool,
    keep_alive: KeepAlive,
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    session: Arc<Session>,
}

impl SessionStream {
    /// A stream that goes on where `reader` stands. For a client that can read it it begins with an event that names the
    /// place (LS-10), for others with a comment.
    pub(crate) fn new(
        session: Arc<Session>,
        reader: EventReader,
        from: u64,
        keep_alive: Duration,
        closing: Option<CancellationToken>,
    ) -> Self {
        let numbered = session.is_resumable();
        let first = if session.is_primed() {
            let id = EventId {
                stream: reader.log().number(),
                sequence: from,
            };
            let retry = RETRY.as_millis();
            Bytes::from(format!("id: {id}\nretry: {retry}\ndata: \n\n"))
        } else {
            isthmus_protocol::sse::KEEP_ALIVE.clone()
        };
        Self {
            first: Some(first),
            reader,
            numbered,
            keep_alive: KeepAlive::new(keep_alive),
            closing: closing.map(|closing| Box::pin(closing.cancelled_owned())),
            session,
        }
    }

    fn write(&self, event: &StoredEvent) -> Bytes {
        if !self.numbered {
            return plain(&event.message);
        }
        let id = EventId {
            stream: self.reader.log().number(),
            sequence: event.sequence,
        };
        encode_event(None, Some(&id.to_string()), &event.message)
    }
}

impl Stream for SessionStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(event) = this.reader.poll_next(context) {
            this.keep_alive.reset();
            return Poll::Ready(event.map(|event| this.write(&event)));
        }
        if let Some(closing) = &mut this.closing
            && closing.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        this.session.touch();
        this.keep_alive.poll(context).map(Some)
    }
}

fn plain(message: &Bytes) -> Bytes {
    encode_event(None, None, message)
}

/// How long a client whose stream broke should wait before it asks for the rest.
const RETRY: Duration = Duration::from_secs(1);
