//! A short wait for questions that come together, so that a client is asked them together.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Ends [`PAUSE`] after the last question, and [`LONGEST`] after the first.
#[derive(Debug)]
pub(super) struct Window {
    latest: Instant,
    end: Pin<Box<Sleep>>,
}

impl Window {
    /// Opens with the first question.
    pub(super) fn open() -> Self {
        let now = Instant::now();
        Self {
            latest: now + LONGEST,
            end: Box::pin(tokio::time::sleep_until(now + PAUSE)),
        }
    }

    /// One more question has come.
    pub(super) fn extend(&mut self) {
        let end = (Instant::now() + PAUSE).min(self.latest);
        self.end.as_mut().reset(end);
    }

    /// Ready when it is over.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.end.as_mut().poll(context)
    }
}

pub(super) const PAUSE: Duration = Duration::from_millis(25);
pub(super) const LONGEST: Duration = Duration::from_millis(100);
