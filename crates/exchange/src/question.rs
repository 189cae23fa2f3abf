//! What a backend asks while a request runs.

use std::task::{Context, Poll};

use isthmus_protocol::{JsonRpcError, Method, RawJson};
use tokio::sync::oneshot;

use crate::BackendName;

/// What a client answers: a result, or the JSON-RPC error with which it refused.
pub type Answer = Result<RawJson, JsonRpcError>;

/// A backend's request to the client: `elicitation/create`, `sampling/createMessage` or `roots/list`.
///
/// Dropping it unanswered tells the backend rim that the caller could not be asked.
#[derive(Debug)]
pub struct Question {
    /// Which backend asks; relayed questions say so (S13).
    pub backend: BackendName,
    /// What is asked.
    pub method: Method,
    /// Its parameters in the shape of 2026-07-28: an elicitation says its `mode` and has no `elicitationId`, nothing
    /// that belongs to the backend's hop is in `_meta`.
    pub params: RawJson,
    /// By which id [`crate::Notice::ElicitationComplete`] will tell that what the user was sent to a URL for is done.
    /// Already ours: it says nothing of the backend's own id.
    pub elicitation_id: Option<String>,
    answer: oneshot::Sender<Answer>,
}

impl Question {
    /// A question and the place where its answer arrives.
    ///
    /// The receiver fails if the question is dropped unanswered. Dropping the receiver withdraws the question.
    #[must_use]
    pub fn new(
        backend: BackendName,
        method: Method,
        params: RawJson,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (
            Self {
                backend,
                method,
                params,
                elicitation_id: None,
                answer,
            },
            answered,
        )
    }

    /// Answers. Does nothing if the question was withdrawn meanwhile.
    pub fn answer(self, answer: Answer) {
        // A withdrawn question has nobody left who could use the answer.
        let _ = self.answer.send(answer);
    }

    /// The same question once more, to be handed on while this one waits for its answer.
    #[must_use]
    pub fn relay(&self) -> (Self, oneshot::Receiver<Answer>) {
        let (backend, method) = (self.backend.clone(), self.method.clone());
        let (mut question, answered) = Self::new(backend, method, self.params.clone());
        question.elicitation_id.clone_from(&self.elicitation_id);
        (question, answered)
    }

    /// Completes when the backend no longer wants an answer.
    pub async fn withdrawn(&mut self) {
        self.answer.closed().await;
    }

    /// Polls whether the backend no longer wants an answer.
    pub fn poll_withdrawn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.answer.poll_closed(context)
    }

    /// Whether the backend no longer wants an answer.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.answer.is_closed()
    }
}
