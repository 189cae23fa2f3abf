//! Comments that keep a silent event stream from being taken for dead.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use isthmus_protocol::sse::KEEP_ALIVE;
use tokio::time::{Instant, Sleep};

/// Yields a comment whenever nothing was sent for a while.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    every: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl KeepAlive {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            sleep: Box::pin(tokio::time::sleep(every)),
        }
    }

    /// Something was sent.
    pub(crate) fn reset(&mut self) {
        let next = Instant::now() + self.every;
        self.sleep.as_mut().reset(next);
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        if self.sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.reset();
        // The new deadline has to be known to the timer before this task sleeps; the caller polls again after sending.
        Poll::Ready(KEEP_ALIVE.clone())
    }
}
