//! What the client of a session is asked while one of its calls runs.
//!
//! Each question of a backend becomes a request on the stream of that very call (LS-7), under an id of the session's and
//! in the words of its revision. It stays there until it is answered: a client whose stream broke finds it again when it
//! resumes, within the time that it has for an answer. What the client did not declare, or its revision has no words for, it is not asked (LS-2). When a question
//! is over without an answer, because the backend withdrew it, the call ended or it took too long, the client is told.

use std::task::{Context, Poll};

use bytes::Bytes;
use isthmus_exchange::{Answer, Error, ErrorKind, Outcome, Question};
use isthmus_protocol::convert::downgrade_question;
use isthmus_protocol::message::{write_notification, write_request};
use isthmus_protocol::{Id, JsonRpcError, Method, RawJson, code, object};
use isthmus_session::{OpenQuestion, Session};
use tokio::time::Instant;

use super::call::Outlet;
use crate::respond::takes_url_elicitations;

/// The questions of one call.
pub(crate) struct Asking<'a, Out> {
    session: &'a Session,
    outlet: &'a Out,
    /// Oldest first.
    open: Vec<Pending<'a>>,
    /// Elicitations that got their ids here, and to whose page the user agreed to go.
    visited: Vec<String>,
}

/// A question that the client has before it.
pub(crate) struct Pending<'a> {
    question: Question,
    open: OpenQuestion<'a>,
    /// Where it stands in the stream.
    place: u64,
    /// When the client has had time enough.
    deadline: Instant,
    /// The id of an elicitation whose backend has none, and will not tell when it is done.
    minted: Option<String>,
}

/// How the wait for an answer ended.
pub(crate) enum Settled<'a> {
    /// The client has answered.
    Answered(Pending<'a>, Answer),
    /// The backend no longer wants an answer.
    Withdrawn(Pending<'a>),
    /// The client took too long for the oldest one.
    TooLate,
    /// No answer can come any more.
    Lost,
}

impl<'a, Out: Outlet> Asking<'a, Out> {
    pub(crate) const fn new(session: &'a Session, outlet: &'a Out) -> Self {
        Self {
            session,
            outlet,
            open: Vec::new(),
            visited: Vec::new(),
        }
    }

    /// Whether there is anything to wait for.
    pub(crate) const fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Asks the client, or answers for it if it cannot be asked this.
    pub(crate) async fn ask(&mut self, question: Question) {
        let params = match self.words_for(&question) {
            Ok(params) => params,
            Err(answer) => return question.answer(answer),
        };
        let open = match self.session.questions().open() {
            Ok(open) => open,
            // Dropping a question tells the backend rim that nobody could be asked.
            Err(error) => return tracing::debug!(backend = %question.backend, "{error}"),
        };
        let (params, minted) = self.with_elicitation_id(&question, params);
        let message = write_request(&open.id(), &question.method, &params);
        if let Some(place) = self.outlet.question(message).await {
            self.open.push(Pending {
                question,
                open,
                place,
                deadline: Instant::now() + self.outlet.patience(),
                minted,
            });
        }
    }

    /// Waits until one of the questions is over. Dropping the future loses nothing; [`Asking::settle`] has to follow.
    pub(crate) async fn settled(&mut self) -> Settled<'a> {
        let outlet = self.outlet;
        let deadline = self.open.first().map(|oldest| oldest.deadline);
        let too_late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            settled = std::future::poll_fn(|context| self.poll_settled(context)) => settled,
            () = outlet.lost() => Settled::Lost,
            () = too_late => Settled::TooLate,
        }
    }

    /// Tells whoever has to know how a question ended.
    pub(crate) async fn settle(&mut self, settled: Settled<'a>) {
        match settled {
            Settled::Answered(pending, answer) => {
                self.outlet.retract(pending.place);
                if accepts(&answer) {
                    self.visited.extend(pending.minted);
                }
                pending.question.answer(checked(answer));
            }
            Settled::Withdrawn(pending) => self.cancel(&pending).await,
            Settled::TooLate => {
                let oldest = self.open.remove(0);
                tracing::debug!(backend = %oldest.question.backend, "a client did not answer in time");
                self.cancel(&oldest).await;
            }
            Settled::Lost => self.give_up().await,
        }
    }

    /// Tells the client that none of the open questions needs an answer any more.
    pub(crate) async fn give_up(&mut self) {
        for pending in std::mem::take(&mut self.open) {
            self.cancel(&pending).await;
        }
    }

    /// The call has ended: what is still to be said of its questions is said before its response.
    pub(crate) async fn end(&mut self, outcome: &Result<Outcome, Error>) {
        self.give_up().await;
        match outcome {
            Ok(Outcome::Complete(_)) => {
                for elicitation in std::mem::take(&mut self.visited) {
                    self.outlet.event(completed(&elicitation)).await;
                }
            }
            Err(error) => self.expect_completions(error),
            Ok(_) => {}
        }
    }

    /// The question's parameters as this client understands them, or the answer that it gets without being asked.
    fn words_for(&self, question: &Question) -> Result<RawJson, Answer> {
        let (method, params) = (&question.method, &question.params);
        let caller = self.session.caller();
        let capabilities = &caller.capabilities;
        if let Some(missing) = capabilities.missing_for(method, params) {
            let text = format!("the client did not declare what this needs: {missing}");
            return Err(Err(JsonRpcError::new(code::METHOD_NOT_FOUND, text)));
        }
        let tools = capabilities.sampling_tools();
        downgrade_question(method, params, self.session.revision(), tools).map_err(|error| {
            tracing::debug!(backend = %question.backend, %error, "a question was not asked");
            if *method == Method::ElicitationCreate {
                let declined = object::assemble([("action", RawJson::string("decline"))]);
                return Ok(declined);
            }
            Err(JsonRpcError::new(code::INVALID_PARAMS, error.to_string()))
        })
    }

    /// 2025-11-25 names each elicitation by URL: by the id under which its end will be told, or, where nobody tells, by a
    /// fresh one, which is returned (digest §3.2).
    fn with_elicitation_id(
        &self,
        question: &Question,
        params: RawJson,
    ) -> (RawJson, Option<String>) {
        let by_url = question.method == Method::ElicitationCreate
            && object::string_member(&params, "mode").as_deref() == Some("url");
        if !by_url {
            return (params, None);
        }
        let (id, minted) = match &question.elicitation_id {
            Some(id) => {
                self.session.questions().expect_completion(id);
                (id.clone(), None)
            }
            None => {
                let id = format!("{:032x}", isthmus_seal::random_id());
                (id.clone(), Some(id))
            }
        };
        let edit = object::ObjectEdit::new(&params).set("elicitationId", RawJson::string(&id));
        (edit.finish(), minted)
    }

    /// A refusal that sends the user to pages (`-32042`) names elicitations, and their end may be told later.
    fn expect_completions(&self, error: &Error) {
        let ErrorKind::Answered { error, .. } = error.kind() else {
            return;
        };
        let caller = self.session.caller();
        if error.code != code::URL_ELICITATION_REQUIRED
            || !takes_url_elicitations(caller.revision, &caller.capabilities)
        {
            return;
        }
        let data = error.data.as_ref();
        let elicitations = data.and_then(|data| object::member(data, "elicitations"));
        let elicitations = elicitations.as_ref().and_then(object::elements);
        for elicitation in elicitations.unwrap_or_default() {
            if let Some(id) = object::string_member(&elicitation, "elicitationId") {
                self.session.questions().expect_completion(&id);
            }
        }
    }

    async fn cancel(&self, pending: &Pending<'_>) {
        // What nobody has read can be taken back without a word.
        if self.outlet.retract(pending.place) {
            self.outlet.event(cancelled(&pending.open.id())).await;
        }
    }

    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<Settled<'a>> {
        for index in 0..self.open.len() {
            let pending = &mut self.open[index];
            if let Poll::Ready(answer) = pending.open.poll_answer(context) {
                let pending = self.open.remove(index);
                return Poll::Ready(Settled::Answered(pending, answer));
            }
            if pending.question.poll_withdrawn(context).is_ready() {
                let pending = self.open.remove(index);
                return Poll::Ready(Settled::Withdrawn(pending));
            }
        }
        Poll::Pending
    }
}

/// Results are objects; what is none would only break whoever reads it next.
fn checked(answer: Answer) -> Answer {
    match answer {
        Ok(result) if !result.is_object() => Err(JsonRpcError::new(
            code::INTERNAL_ERROR,
            "the client's answer is not an object",
        )),
        answer => answer,
    }
}

fn accepts(answer: &Answer) -> bool {
    let action = answer.as_ref().ok();
    let action = action.and_then(|result| object::string_member(result, "action"));
    action.as_deref() == Some("accept")
}

fn cancelled(id: &Id) -> Bytes {
    let reason = RawJson::string("the answer is not needed any more");
    let params = object::assemble([("requestId", id.raw().clone()), ("reason", reason)]);
    write_notification(&Method::Cancelled, Some(&params))
}

/// `notifications/elicitation/complete` (2025-11-25): what the user was sent to a page for is done.
pub(crate) fn completed(elicitation: &str) -> Bytes {
    let params = object::assemble([("elicitationId", RawJson::string(elicitation))]);
    write_notification(&Method::ElicitationComplete, Some(&params))
}
