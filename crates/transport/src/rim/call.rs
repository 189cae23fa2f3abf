//! Runs a request of the core and writes what comes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_exchange::{BoxStage, Error, ErrorKind, Event, Outcome, Reply, Request, Step};
use isthmus_session::{NotStarted, Session};

use super::asking::Asking;
use super::encode::Encoder;
use super::stateful::Dispatch;

/// Where the messages of a call go.
pub(crate) trait Outlet: Send + Sync {
    /// A message on the way. Waits while the client is far behind.
    fn event(&self, message: Bytes) -> impl Future<Output = ()> + Send;

    /// A message that needs an answer; otherwise as [`Outlet::event`]. Yields its place in the stream; `None` if the
    /// client cannot be asked any more.
    fn question(&self, message: Bytes) -> impl Future<Output = Option<u64>> + Send;

    /// Takes a question back, so that nobody finds it in the stream from now on. Whether the client may have read it.
    fn retract(&self, place: u64) -> bool;

    /// How long the client may take to answer one question.
    fn patience(&self) -> Duration;

    /// Completes when no answer can come any more.
    fn lost(&self) -> impl Future<Output = ()> + Send;

    /// The response will say that the credential lacks some of these scopes. Where it can still have a status of its own, it
    /// should.
    fn lacks(&self, _scopes: &Arc<[String]>) {}
}

/// Runs one call of a session to its end and returns its response; `None` if the client cancelled it.
///
/// The call ends with the session, and when the client cancels it by its id; not with any connection (LS-8).
pub(crate) async fn run(
    session: &Arc<Session>,
    stage: &BoxStage,
    encoder: &Encoder,
    dispatch: Dispatch,
    outlet: &impl Outlet,
) -> Option<Bytes> {
    let request = match dispatch {
        Dispatch::Here(answer) => return Some(here(encoder, answer)),
        Dispatch::Call(request) => *request,
    };
    let running = match session
        .in_flight()
        .begin(encoder.id(), session.scope().ended())
    {
        Ok(running) => running,
        Err(refused) => return Some(here(encoder, Err(not_started(refused)))),
    };
    let mut asking = Asking::new(session, outlet);
    let response = tokio::select! {
        biased;
        () = running.cancelled().cancelled() => None,
        response = drive(stage, request, encoder, outlet, Some(&mut asking)) => Some(response),
    };
    if response.is_none() && asking.is_open() {
        // A client that reads nothing is not waited for when its session ends.
        tokio::select! {
            biased;
            () = session.scope().ended().cancelled() => {}
            () = asking.give_up() => {}
        }
    }
    response
}

/// Runs a request and writes its events; returns the response. Dropping the future cancels the request.
///
/// `asking`: `None` for a client that cannot be asked in place.
pub(crate) async fn drive<Out: Outlet>(
    stage: &BoxStage,
    request: Request,
    encoder: &Encoder,
    outlet: &Out,
    mut asking: Option<&mut Asking<'_, Out>>,
) -> Bytes {
    let outcome = match stage.run(request).await {
        Ok(reply) => relay(reply, encoder, outlet, asking.as_deref_mut()).await,
        Err(error) => Err(error),
    };
    if let Some(asking) = asking {
        asking.end(&outcome).await;
    }
    let encoded = encoder.outcome(outcome);
    if let Some(scopes) = &encoded.lacking {
        outlet.lacks(scopes);
    }
    encoded.message
}

async fn relay<Out: Outlet>(
    mut reply: Reply,
    encoder: &Encoder,
    outlet: &Out,
    mut asking: Option<&mut Asking<'_, Out>>,
) -> Result<Outcome, Error> {
    loop {
        let step = match asking.as_deref_mut().filter(|asking| asking.is_open()) {
            None => reply.next().await,
            Some(asking) => tokio::select! {
                step = reply.next() => step,
                settled = asking.settled() => {
                    asking.settle(settled).await;
                    continue;
                }
            },
        };
        match (step, asking.as_deref_mut()) {
            (Step::Event(Event::Question(question)), Some(asking)) => asking.ask(question).await,
            (Step::Event(event), _) => {
                if let Some(message) = encoder.event(event) {
                    outlet.event(message).await;
                }
            }
            (Step::Done(outcome), _) => return outcome,
        }
    }
}

/// The response to what the rim answers itself.
pub(crate) fn here(encoder: &Encoder, answer: Result<isthmus_protocol::RawJson, Error>) -> Bytes {
    match answer {
        Ok(result) => isthmus_protocol::message::write_result(encoder.id(), &result),
        Err(error) => encoder.outcome(Err(error)).message,
    }
}

fn not_started(refused: NotStarted) -> Error {
    let kind = match refused {
        NotStarted::DuplicateId => ErrorKind::InvalidRequest,
        NotStarted::TooMany => ErrorKind::Overloaded {
            retry_after: Duration::from_secs(1),
        },
    };
    Error::new(kind, refused.to_string())
}
