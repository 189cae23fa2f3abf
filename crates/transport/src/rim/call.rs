//! Runs a request of the core and writes what comes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_exchange::{BoxStage, Error, ErrorKind, Request, Step};
use isthmus_session::{EventLog, NotStarted, Session};

use super::encode::Encoder;
use super::stateful::Dispatch;

/// Where the messages of a call go.
pub(crate) trait Outlet: Send + Sync {
    /// A message on the way. Waits while the client is far behind.
    fn event(&self, message: Bytes) -> impl Future<Output = ()> + Send;
}

impl Outlet for EventLog {
    async fn event(&self, message: Bytes) {
        self.write(message).await;
    }
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
    tokio::select! {
        biased;
        () = running.cancelled().cancelled() => None,
        response = drive(stage, request, encoder, outlet) => Some(response),
    }
}

/// Runs a request and writes its events; returns the response. Dropping the future cancels the request.
pub(crate) async fn drive(
    stage: &BoxStage,
    request: Request,
    encoder: &Encoder,
    outlet: &impl Outlet,
) -> Bytes {
    let mut reply = match stage.run(request).await {
        Ok(reply) => reply,
        Err(error) => return encoder.outcome(Err(error)).message,
    };
    loop {
        match reply.next().await {
            Step::Event(event) => {
                if let Some(message) = encoder.event(event) {
                    outlet.event(message).await;
                }
            }
            Step::Done(outcome) => return encoder.outcome(outcome).message,
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
