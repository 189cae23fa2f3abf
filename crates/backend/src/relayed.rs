//! A question on its way to a live caller, and its answer on the way back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use isthmus_exchange::{Answer, Question};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Holds a backend's question while a copy of it is with the caller.
#[derive(Debug)]
pub(crate) struct Relayed {
    original: Option<Question>,
    answered: oneshot::Receiver<Answer>,
    limit: Pin<Box<Sleep>>,
}

impl Relayed {
    /// Keeps `original` and gives the copy to hand on. The caller has `limit` to answer it.
    pub(crate) fn new(original: Question, limit: Duration) -> (Self, Question) {
        let (copy, answered) = original.relay();
        let relayed = Self {
            original: Some(original),
            answered,
            limit: Box::pin(tokio::time::sleep(limit)),
        };
        (relayed, copy)
    }

    /// Ready once the question is settled: its answer went back, the backend no longer wants one, or none will come and
    /// the original was dropped unanswered. Dropping this withdraws the copy.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(original) = &mut self.original else {
            return Poll::Ready(());
        };
        if original.poll_withdrawn(context).is_ready() {
            self.original = None;
            return Poll::Ready(());
        }
        match Pin::new(&mut self.answered).poll(context) {
            Poll::Ready(answer) => {
                if let (Some(original), Ok(answer)) = (self.original.take(), answer) {
                    original.answer(answer);
                }
                Poll::Ready(())
            }
            Poll::Pending => {
                std::task::ready!(self.limit.as_mut().poll(context));
                self.original = None;
                Poll::Ready(())
            }
        }
    }
}
