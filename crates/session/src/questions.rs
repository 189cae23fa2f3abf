//! The questions a session's client was asked and has not answered yet, by the ids of our requests to it.
//!
//! Several backends ask one client, so their own ids would collide: each question gets an id of the session's (digest
//! §3.10). A response finds its question here once; a second one, a late one or one to nothing is ignored.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use isthmus_exchange::Answer;
use isthmus_protocol::Id;
use tokio::sync::oneshot;

/// The open questions of one session.
#[derive(Debug)]
pub struct Questions {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    open: HashMap<u64, oneshot::Sender<Answer>>,
    /// Of URL elicitations whose end is still to be told, oldest first.
    elicitations: VecDeque<Box<str>>,
}

/// A question that waits for its answer. Dropping it forgets the question: an answer that comes then is ignored.
#[derive(Debug)]
pub struct OpenQuestion<'a> {
    owner: &'a Questions,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

/// The client has as many questions before it as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is being asked too many questions already")]
pub struct TooManyQuestions;

impl Questions {
    /// Nothing was asked yet, and never more than `limit` questions are open. The first one gets the id `first`, which
    /// should differ between lives of one session: what answers a question of an earlier life answers nothing.
    pub(crate) fn new(first: u64, limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::new(State {
                next: first,
                open: HashMap::new(),
                elicitations: VecDeque::new(),
            }),
        }
    }

    /// Enters a question.
    ///
    /// # Errors
    ///
    /// [`TooManyQuestions`].
    pub fn open(&self) -> Result<OpenQuestion<'_>, TooManyQuestions> {
        let mut state = self.lock();
        if state.open.len() >= self.limit {
            return Err(TooManyQuestions);
        }
        let number = state.next;
        state.next += 1;
        let (sender, answer) = oneshot::channel();
        state.open.insert(number, sender);
        drop(state);
        Ok(OpenQuestion {
            owner: self,
            number,
            answer,
        })
    }

    /// Takes a response of the client to the question it names. Whether there was such a question.
    pub fn answer(&self, id: &Id, answer: Answer) -> bool {
        let question = id.as_number().and_then(|number| self.forget(number));
        // Whoever asked may have lost interest this very moment.
        question.is_some_and(|question| question.send(answer).is_ok())
    }

    /// Notes that the client was told of a URL elicitation, so that it may hear of its end. Only so many are kept.
    pub fn expect_completion(&self, elicitation: &str) {
        if elicitation.len() > LONGEST_ELICITATION_ID {
            return;
        }
        let mut state = self.lock();
        if state
            .elicitations
            .iter()
            .any(|known| **known == *elicitation)
        {
            return;
        }
        if state.elicitations.len() >= ELICITATIONS {
            state.elicitations.pop_front();
        }
        state.elicitations.push_back(elicitation.into());
    }

    /// Whether this client was told of the elicitation and has not heard of its end yet (LS-19). True only once.
    pub fn complete(&self, elicitation: &str) -> bool {
        let mut state = self.lock();
        let known = state.elicitations.iter();
        let place = known.clone().position(|known| **known == *elicitation);
        place.is_some_and(|place| state.elicitations.remove(place).is_some())
    }

    fn forget(&self, number: u64) -> Option<oneshot::Sender<Answer>> {
        let mut state = self.lock();
        let question = state.open.remove(&number);
        if state.open.is_empty() {
            // An idle session keeps no room for the busiest moment of its life.
            state.open.shrink_to_fit();
        }
        question
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenQuestion<'_> {
    /// The id of our request to the client.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::number(self.number)
    }

    /// Polls for the client's answer. Nothing must be polled after it has come.
    pub fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        match Pin::new(&mut self.answer).poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready(answer),
            // The sender leaves the table only to answer, or when this question is dropped.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.owner.forget(self.number);
    }
}

/// URL elicitations of one session whose end may still be told.
const ELICITATIONS: usize = 64;
/// Longest elicitation id that is remembered, in bytes. Ours are far shorter.
const LONGEST_ELICITATION_ID: usize = 256;

#[cfg(test)]
mod tests {
    use isthmus_protocol::{JsonRpcError, RawJson};

    use super::*;

    async fn answered(mut question: OpenQuestion<'_>) -> Answer {
        std::future::poll_fn(|context| question.poll_answer(context)).await
    }

    fn empty() -> Answer {
        Ok(RawJson::empty_object())
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_once() {
        let questions = Questions::new(7, 8);
        let one = questions.open().unwrap();
        let two = questions.open().unwrap();
        let (first, second) = (one.id(), two.id());
        assert_ne!(first, second);
        let refused = Err(JsonRpcError::new(-1, "no"));
        assert!(questions.answer(&second, refused.clone()));
        assert!(!questions.answer(&second, empty()), "a second answer");
        assert!(!questions.answer(&Id::number(99), empty()), "to nothing");
        assert!(questions.answer(&first, empty()));
        assert_eq!(answered(two).await, refused);
        assert_eq!(answered(one).await, empty());
    }

    #[test]
    fn a_question_that_was_dropped_is_not_answered() {
        let questions = Questions::new(0, 8);
        let question = questions.open().unwrap();
        let id = question.id();
        drop(question);
        assert!(!questions.answer(&id, empty()));
    }

    #[test]
    fn no_more_questions_are_open_than_the_limit_allows() {
        let questions = Questions::new(0, 2);
        let one = questions.open().unwrap();
        let _two = questions.open().unwrap();
        assert_eq!(questions.open().unwrap_err(), TooManyQuestions);
        questions.answer(&one.id(), empty());
        assert!(questions.open().is_ok(), "an answer makes room");
    }

    #[test]
    fn the_end_of_an_elicitation_is_told_once_and_to_whoever_was_asked() {
        let questions = Questions::new(0, 1);
        questions.expect_completion("a");
        questions.expect_completion("a");
        assert!(!questions.complete("b"));
        assert!(questions.complete("a"));
        assert!(!questions.complete("a"));
        for number in 0..=ELICITATIONS {
            questions.expect_completion(&number.to_string());
        }
        assert!(!questions.complete("0"), "the oldest is forgotten");
        assert!(questions.complete("1"));
    }
}
