//! A call of a caller that cannot be asked in place, until its backend asks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use isthmus_exchange::{ClientCapabilities, Event, Outcome, Question, Step};
use tokio::sync::OwnedSemaphorePermit;

use super::window::Window;
use super::{Parking, Seed};
use crate::asking;
use crate::held::Held;

/// Passes a reply's steps on. At the first question it waits a moment for others, and then makes a park of the call: the
/// caller is told what is asked, and nothing of what happens to its reply matters to the call any more.
pub(crate) struct Parkable {
    parking: Parking,
    held: Option<Held<(OwnedSemaphorePermit, Seed)>>,
    capabilities: Arc<ClientCapabilities>,
    gathered: Vec<Question>,
    window: Option<Window>,
}

impl Parkable {
    /// A call that holds a place and what it brings along into a park.
    pub(crate) const fn new(
        parking: Parking,
        held: Held<(OwnedSemaphorePermit, Seed)>,
        capabilities: Arc<ClientCapabilities>,
    ) -> Self {
        Self {
            parking,
            held: Some(held),
            capabilities,
            gathered: Vec::new(),
            window: None,
        }
    }

    /// The end of the reply if a question cannot be put to this caller: the call is cancelled (digest §3.3).
    fn gather(&mut self, question: Question) -> Option<Step> {
        let Question {
            backend,
            method,
            params,
            ..
        } = &question;
        if let Some(refusal) = asking::refusal(&self.capabilities, backend, method, params) {
            let undeclared = asking::undeclared(method);
            question.answer(undeclared);
            self.held = None;
            self.gathered.clear();
            return Some(Step::Done(Err(refusal)));
        }
        if self.gathered.len() < asking::MOST_AT_ONCE {
            self.gathered.push(question);
            match &mut self.window {
                Some(window) => window.extend(),
                None => self.window = Some(Window::open()),
            }
        }
        None
    }

    fn park(&mut self) -> Option<Step> {
        let (reply, (place, seed)) = self.held.take()?.into_parts()?;
        // While its client is away a call is in nobody's way.
        drop(place);
        let questions = std::mem::take(&mut self.gathered);
        let required = self.parking.park(seed, reply, questions);
        Some(Step::Done(required.map(Outcome::InputRequired)))
    }
}

impl Stream for Parkable {
    type Item = Step;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        let this = self.get_mut();
        loop {
            let Some(held) = &mut this.held else {
                return Poll::Ready(None);
            };
            match Pin::new(held).poll_next(context) {
                Poll::Ready(Some(Step::Event(Event::Question(question)))) => {
                    if let Some(end) = this.gather(question) {
                        return Poll::Ready(Some(end));
                    }
                }
                Poll::Ready(step) => return Poll::Ready(step),
                Poll::Pending => break,
            }
        }
        this.gathered
            .retain_mut(|question| question.poll_withdrawn(context).is_pending());
        if this.gathered.is_empty() {
            this.window = None;
        }
        let Some(window) = &mut this.window else {
            return Poll::Pending;
        };
        std::task::ready!(window.poll(context));
        Poll::Ready(this.park())
    }
}
