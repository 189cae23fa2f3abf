//! One request and what comes back for it, in either era.
//!
//! Reads the answer as it arrives: progress, logs and questions of the request become events in their order, everything
//! else that is not the response goes to the conversation. Owns the request's end: when it is dropped before that, the
//! conversation is told to cancel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use isthmus_exchange::{BackendName, BoxFuture, Error, Event, Outcome, Question, Reply, Step};
use isthmus_protocol::message::{Incoming, Message, MessageError, parse_incoming};
use isthmus_protocol::sse::SseEvent;
use isthmus_protocol::{JsonRpcError, Method, RawJson};

use super::answer::{Answered, Content};
use super::event_stream::{EventStream, StreamEnd};
use super::failure::{self, Failure};
use crate::asking::is_question;
use crate::call_buffer::{self, CallBuffer};
use crate::questions::{Asked, Interactive};
use crate::traffic;

/// What differs between the eras.
pub(super) trait Hop: Send + Sync + 'static {
    /// Who answers.
    fn backend(&self) -> &BackendName;

    /// Reads a result.
    fn outcome(&self, method: &Method, result: &RawJson) -> Result<Outcome, Error>;

    /// What the head of a response says about the request, where it says more than the body: credentials, a session
    /// that is gone.
    fn refusal(&self, answered: &Answered) -> Option<Error>;

    /// A question on the stream of `call`; to be asked if it is returned.
    fn asked(self: &Arc<Self>, call: Option<&Interactive>, asked: Asked) -> Option<Question>;

    /// A message that is neither the response nor belongs to the request.
    fn aside(self: &Arc<Self>, message: Message);

    /// How to go on where a stream broke off; `None` if the era or the backend has no such way.
    fn resume(self: &Arc<Self>, from: &Place) -> Option<Resuming>;

    /// The request is over: it ended by itself, or (`finished` is false) nobody waits for it any more.
    fn ended(self: &Arc<Self>, id: u64, finished: bool);
}

/// A response on its way.
pub(super) type Awaiting = BoxFuture<'static, Result<Answered, Failure>>;
/// A stream that is being opened again; `Err` holds the reason and whether trying once more makes sense.
pub(super) type Resuming = BoxFuture<'static, Result<EventStream, (Error, bool)>>;

/// Where a stream stands.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The id of the last event that had one.
    pub(super) last_event_id: Option<String>,
    /// How long the backend wants us to wait before we come back.
    pub(super) retry: Option<Duration>,
    /// How often the stream was opened since the last event.
    pub(super) fruitless: u32,
}

impl Place {
    /// Takes note of what an event says about the stream.
    pub(super) fn pass(&mut self, event: &SseEvent) {
        self.fruitless = 0;
        if let Some(id) = &event.id {
            // An empty id takes the last one back.
            self.last_event_id = (!id.is_empty()).then(|| id.clone());
        }
        if let Some(retry) = event.retry {
            self.retry = Some(retry.min(LONGEST_RETRY));
        }
    }
}

/// One request in flight.
pub(super) struct Call<H: Hop> {
    hop: Arc<H>,
    method: Method,
    id: u64,
    wants_progress: bool,
    /// What arrived on another stream.
    strayed: Option<Arc<CallBuffer>>,
    /// Present while the backend may ask.
    interactive: Option<Interactive>,
    /// Its stream was opened again.
    resumed: bool,
    stage: Stage,
    arrived: VecDeque<Result<Message, MessageError>>,
    place: Place,
    finished: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "one per call in flight, which lies on the heap already"
)]
enum Stage {
    Awaiting(Awaiting),
    Streaming(EventStream),
    Resuming(Resuming),
    /// The body was one text; what it held has arrived.
    Read,
}

impl<H: Hop> Call<H> {
    /// A request whose response is `awaiting`.
    pub(super) fn new(hop: Arc<H>, method: Method, id: u64, awaiting: Awaiting) -> Self {
        Self {
            hop,
            method,
            id,
            wants_progress: false,
            strayed: None,
            interactive: None,
            resumed: false,
            stage: Stage::Awaiting(awaiting),
            arrived: VecDeque::new(),
            place: Place::default(),
            finished: false,
        }
    }

    /// The same call for a caller who wants progress.
    pub(super) const fn with_progress(mut self, wanted: bool) -> Self {
        self.wants_progress = wanted;
        self
    }

    /// The same call, of which some may arrive at `strayed`, and during which the backend may ask.
    pub(super) fn with_strayed(
        mut self,
        strayed: Option<Arc<CallBuffer>>,
        interactive: Option<Interactive>,
    ) -> Self {
        self.strayed = strayed;
        self.interactive = interactive;
        self
    }

    /// Waits for the first sign of an answer. One that is complete by then is ready and needs no stream.
    pub(super) async fn begin(mut self) -> Result<Reply, Error> {
        match self.step().await {
            Step::Done(outcome) => outcome.map(Reply::ready),
            first @ Step::Event(_) => {
                let rest = stream::unfold(Some(self), |call| async {
                    let mut call = call?;
                    let step = call.step().await;
                    let goes_on = matches!(step, Step::Event(_));
                    Some((step, goes_on.then_some(call)))
                });
                Ok(Reply::running(
                    stream::once(std::future::ready(first)).chain(rest),
                ))
            }
        }
    }

    async fn step(&mut self) -> Step {
        match self.next_event().await {
            Ok(Next::Event(event)) => Step::Event(event),
            Ok(Next::Response(outcome)) => {
                self.finished = true;
                self.interactive = None;
                if let Stage::Streaming(stream) = std::mem::replace(&mut self.stage, Stage::Read) {
                    stream.finish();
                }
                Step::Done(match outcome {
                    Ok(result) => self.hop.outcome(&self.method, &result),
                    Err(error) => Err(Error::answered(self.hop.backend().clone(), error)),
                })
            }
            Err(failure) => {
                self.finished = !failure.may_run;
                Step::Done(Err(failure.error))
            }
        }
    }

    async fn next_event(&mut self) -> Result<Next, Failure> {
        loop {
            while let Some(message) = self.arrived.pop_front() {
                if let Some(next) = self.sort(message)? {
                    return Ok(next);
                }
            }
            let arrival = tokio::select! {
                biased;
                event = next_strayed(self.strayed.as_deref()) => return Ok(Next::Event(event)),
                arrival = self.stage.arrival() => arrival,
            };
            match arrival {
                Arrival::Answer(answered) => self.admit(answered?)?,
                Arrival::Event(Ok(event)) => {
                    self.place.pass(&event);
                    self.read(&event.data);
                }
                Arrival::Event(Err(end)) => self.go_on_after(end)?,
                Arrival::Resumed(Ok(stream)) => {
                    self.resumed = true;
                    self.stage = Stage::Streaming(stream);
                }
                Arrival::Resumed(Err((error, again))) => self.resume(error, again)?,
                Arrival::Nothing => {
                    return Err(Failure::lost(
                        self.misbehaved("answered without a response"),
                    ));
                }
            }
        }
    }

    /// Takes in a response whose head has arrived.
    fn admit(&mut self, answered: Answered) -> Result<(), Failure> {
        if let Some(error) = self.hop.refusal(&answered) {
            return Err(Failure::refused(error));
        }
        let Answered {
            status,
            headers,
            content,
        } = answered;
        match content {
            Content::Stream(stream) => self.stage = Stage::Streaming(stream),
            Content::Whole(text) => {
                self.stage = Stage::Read;
                self.read(&text);
                let answers = self.arrived.iter().any(|message| self.is_response(message));
                if !status.is_success() && !answers {
                    return Err(Failure::refused(failure::status(
                        self.hop.backend(),
                        status,
                        &headers,
                    )));
                }
            }
            Content::Nothing if status.is_success() => self.stage = Stage::Read,
            Content::Nothing => {
                return Err(Failure::refused(failure::status(
                    self.hop.backend(),
                    status,
                    &headers,
                )));
            }
        }
        Ok(())
    }

    /// Unpacks a body or the data of an event.
    fn read(&mut self, text: &bytes::Bytes) {
        if text.iter().all(u8::is_ascii_whitespace) {
            return; // The priming event of 2025-11-25 has no data.
        }
        match parse_incoming(text) {
            Ok(Incoming::Single(message)) => self.arrived.push_back(Ok(message)),
            Ok(Incoming::Batch(messages)) => self.arrived.extend(messages),
            Err(error) => self.arrived.push_back(Err(error)),
        }
    }

    fn is_response(&self, message: &Result<Message, MessageError>) -> bool {
        matches!(message, Ok(Message::Response { id, .. }) if self.is_ours(id.as_ref()))
    }

    /// An error without an id is about the only request this exchange knows.
    fn is_ours(&self, id: Option<&isthmus_protocol::Id>) -> bool {
        id.is_none_or(|id| id.as_number() == Some(self.id))
    }

    fn sort(&self, message: Result<Message, MessageError>) -> Result<Option<Next>, Failure> {
        let message = match message {
            Ok(message) => message,
            // In a body of its own there is nothing else to wait for. In a stream the response may still come.
            Err(error)
                if matches!(self.stage, Stage::Read)
                    || error.id.as_ref().is_some_and(|id| self.is_ours(Some(id))) =>
            {
                let error = self
                    .misbehaved("sent an answer that is not a JSON-RPC message")
                    .caused_by(error);
                return Err(Failure::lost(error));
            }
            Err(error) => {
                tracing::debug!(backend = %self.hop.backend(), %error, "ignored what is not a message");
                return Ok(None);
            }
        };
        Ok(match message {
            Message::Response { id, outcome } if self.is_ours(id.as_ref()) => {
                Some(Next::Response(outcome))
            }
            Message::Notification {
                method: Method::Progress,
                params: Some(params),
            } => match traffic::progress(&params) {
                Some((token, progress)) if token == self.id => self
                    .wants_progress
                    .then_some(Next::Event(Event::Progress(progress))),
                _ => {
                    self.hop.aside(Message::Notification {
                        method: Method::Progress,
                        params: Some(params),
                    });
                    None
                }
            },
            Message::Notification {
                method: Method::LogMessage,
                params: Some(params),
            } => traffic::log_record(&params).map(|record| Next::Event(Event::Log(record))),
            Message::Request { id, method, params } if is_question(&method) => {
                let mut asked = Asked::new(id, method, params);
                asked.repeated = self.resumed;
                let question = self.hop.asked(self.interactive.as_ref(), asked);
                question.map(|question| Next::Event(Event::Question(question)))
            }
            other => {
                self.hop.aside(other);
                None
            }
        })
    }

    fn go_on_after(&mut self, end: StreamEnd) -> Result<(), Failure> {
        let backend = self.hop.backend();
        let error = match end {
            StreamEnd::Unreadable(error) => {
                return Err(Failure::lost(
                    self.misbehaved("sent an event stream that cannot be read")
                        .caused_by(error),
                ));
            }
            StreamEnd::Closed => failure::unavailable(
                backend,
                format!("`{backend}` ended its answer before the response"),
            ),
            StreamEnd::Broken(error) => {
                let text = format!("the connection to `{backend}` broke before the response");
                failure::unavailable(backend, text).caused_by(error)
            }
        };
        self.resume(error, true)
    }

    /// Opens the stream again where it broke off, or fails with `error`.
    fn resume(&mut self, error: Error, again: bool) -> Result<(), Failure> {
        self.place.fruitless += 1;
        let resuming = (again && self.place.fruitless <= FRUITLESS_RESUMES)
            .then(|| self.hop.resume(&self.place))
            .flatten();
        match resuming {
            Some(resuming) => {
                self.stage = Stage::Resuming(resuming);
                Ok(())
            }
            None => Err(Failure::lost(error)),
        }
    }

    fn misbehaved(&self, what: &str) -> Error {
        let backend = self.hop.backend();
        failure::misbehaved(backend, format!("`{backend}` {what}"))
    }
}

impl<H: Hop> Drop for Call<H> {
    fn drop(&mut self) {
        self.hop.ended(self.id, self.finished);
        if let Some(interactive) = self.interactive.take()
            && !self.finished
        {
            interactive.abandon();
        }
    }
}

enum Next {
    Event(Event),
    Response(Result<RawJson, JsonRpcError>),
}

enum Arrival {
    Answer(Result<Answered, Failure>),
    Event(Result<SseEvent, StreamEnd>),
    Resumed(Result<EventStream, (Error, bool)>),
    Nothing,
}

impl Stage {
    /// Waits for what comes next. Dropping the future loses nothing.
    async fn arrival(&mut self) -> Arrival {
        match self {
            Self::Awaiting(awaiting) => Arrival::Answer(awaiting.await),
            Self::Streaming(stream) => Arrival::Event(stream.next().await),
            Self::Resuming(resuming) => Arrival::Resumed(resuming.await),
            Self::Read => Arrival::Nothing,
        }
    }
}

async fn next_strayed(strayed: Option<&CallBuffer>) -> Event {
    std::future::poll_fn(|context| {
        match strayed.map(|strayed| strayed.poll_take(context)) {
            Some(Poll::Ready(call_buffer::Arrival::Event(event))) => Poll::Ready(event),
            // Nobody puts an answer there.
            Some(Poll::Ready(call_buffer::Arrival::Answer(_)) | Poll::Pending) | None => {
                Poll::Pending
            }
        }
    })
    .await
}

/// A backend that ends the stream as often as this without saying anything will not answer any more.
const FRUITLESS_RESUMES: u32 = 10;
/// The longest pause a backend may ask for before we come back.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
