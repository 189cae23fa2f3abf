//! A call during which a backend may ask, from before it is sent to its end.

use std::sync::Arc;

use isthmus_protocol::object::string_member;
use isthmus_protocol::{Method, RawJson};

use super::Questions;
use super::attribution::{Candidate, Takes};
use super::state::{Sink, Stage};
use crate::asking::is_interactive;
use crate::conversation::Asker;

/// A call in flight during which its backend may ask. Dropping it says that the call has ended, which withdraws what is
/// still asked.
#[derive(Debug)]
pub(crate) struct Interactive {
    questions: Arc<Questions>,
    key: u64,
}

impl Questions {
    /// Takes note of a call that is about to be sent, and waits for its turn if calls take turns. `None` if nobody can be
    /// asked during such a request.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        method: &Method,
        params: &RawJson,
        asker: Option<Asker>,
    ) -> Option<Interactive> {
        let takes = match method {
            Method::TasksResult => Takes::OfTask(string_member(params, "taskId")?),
            method if is_interactive(method) => Takes::Any,
            _ if asker.is_some() => Takes::ItsOwn,
            _ => return None,
        };
        let (key, turn) = self.state().enter(|key| Candidate {
            key,
            request: None,
            asker,
            waits: false,
            takes,
        });
        let interactive = Interactive {
            questions: self.clone(),
            key,
        };
        if let Some(turn) = turn {
            // The sender goes only with its call.
            let _ = turn.await;
        }
        Some(interactive)
    }
}

impl Interactive {
    /// The call was sent with the id `request`; what is asked of it arrives at `sink`.
    pub(crate) fn sent(&self, request: u64, sink: Sink) {
        self.questions.state().sent(self.key, request, sink);
    }

    /// The call is given up by its caller: the backend is told so, and gets an answer to what it still asks (LC-4).
    pub(crate) fn abandon(self) {
        self.questions
            .state()
            .end_questions_of(self.key, &Stage::Abandoned);
    }

    pub(super) const fn key(&self) -> u64 {
        self.key
    }
}

impl Drop for Interactive {
    fn drop(&mut self) {
        self.questions.state().leave(self.key);
    }
}
