//! A message within a session.

use std::sync::Arc;

use isthmus_exchange::{Answer, Error, ErrorKind, Request, Wants};
use isthmus_protocol::params::{ParamsError, SplitParams};
use isthmus_protocol::{Id, Method, RawJson, Revision, object};
use isthmus_session::Session;

use super::encode::Encoder;
use super::stateless::{method_not_found, parse_level};
use super::{subject, tasks};

/// What a request within a session leads to.
#[derive(Debug)]
pub(crate) enum Dispatch {
    /// An answer of the rim's own.
    Here(Result<RawJson, Error>),
    /// A request of the core.
    Call(Box<Request>),
}

/// Answers what the rim answers itself, or makes a request of the core; with the encoder for whatever comes of it.
pub(crate) fn request(
    session: &Session,
    id: Id,
    method: Method,
    split: Result<SplitParams, ParamsError>,
) -> (Encoder, Dispatch) {
    let token = split
        .as_ref()
        .ok()
        .and_then(|split| split.meta.progress_token.clone());
    let encoder = Encoder::stateful(
        id,
        method.clone(),
        token,
        session.revision(),
        Arc::clone(&session.caller().capabilities),
        Arc::clone(session.scope()),
    );
    if method != Method::Ping {
        // Some clients never send `notifications/initialized`; one that works is ready.
        session.ready();
    }
    let dispatch = match split {
        Ok(split) => dispatch(session, method, split),
        Err(_) if is_of_no_session(&method, session.revision()) => {
            Dispatch::Here(Err(method_not_found(&method)))
        }
        Err(error) => Dispatch::Here(Err(Error::invalid_params(error.to_string()))),
    };
    (encoder, dispatch)
}

fn dispatch(session: &Session, method: Method, mut split: SplitParams) -> Dispatch {
    match method {
        Method::Ping => Dispatch::Here(Ok(RawJson::empty_object())),
        Method::LoggingSetLevel => Dispatch::Here(set_level(session, &split.params)),
        Method::Initialize => Dispatch::Here(Err(Error::new(
            ErrorKind::InvalidRequest,
            "the session is initialized already",
        ))),
        method if is_served(&method, session.revision()) => {
            let wants = Wants {
                progress: split.meta.progress_token.is_some(),
                log_level: session.scope().log_level(),
            };
            let request = Request {
                subject: subject::of(&mut split),
                wants,
                // Other revisions have no such parameter, and mean nothing by it.
                task: split
                    .task
                    .take()
                    .filter(|_| session.revision() == Revision::V2025_11_25),
                trace: subject::trace(&mut split.meta),
                ..Request::new(method, split.params, session.caller())
            };
            Dispatch::Call(Box::new(request))
        }
        method => Dispatch::Here(Err(method_not_found(&method))),
    }
}

/// Takes a notification of the client. What is unknown or too late is ignored, as JSON-RPC has it.
pub(crate) fn notification(session: &Session, method: &Method, params: Option<&RawJson>) {
    match method {
        Method::Initialized => session.ready(),
        Method::RootsListChanged => session.scope().roots_changed(),
        Method::Cancelled => {
            if let Some(id) = cancelled_id(params) {
                session.in_flight().cancel(&id);
            }
        }
        _ => {}
    }
}

/// Takes the client's response to one of our requests. One to nothing is ignored: the question may have been withdrawn.
pub(crate) fn response(session: &Session, id: Option<&Id>, answer: Answer) {
    if !id.is_some_and(|id| session.questions().answer(id, answer)) {
        tracing::debug!(?id, "a response to nothing was ignored");
    }
}

/// The request that a `notifications/cancelled` is about.
pub(crate) fn cancelled_id(params: Option<&RawJson>) -> Option<Id> {
    params
        .and_then(|params| object::member(params, "requestId"))
        .and_then(Id::from_raw)
}

fn set_level(session: &Session, params: &RawJson) -> Result<RawJson, Error> {
    let level = object::string_member(params, "level")
        .ok_or_else(|| Error::invalid_params("`level` is missing"))?;
    session.scope().set_log_level(parse_level(&level)?);
    Ok(RawJson::empty_object())
}

/// Whether no parameters would make this a request of a session.
fn is_of_no_session(method: &Method, revision: Revision) -> bool {
    let answered_here = matches!(
        method,
        Method::Ping | Method::LoggingSetLevel | Method::Initialize
    );
    !answered_here && !is_served(method, revision)
}

/// What a session may ask of the core. What only stateless clients know is as unknown as any other method (LS-2).
fn is_served(method: &Method, revision: Revision) -> bool {
    matches!(
        method,
        Method::ToolsList
            | Method::ToolsCall
            | Method::PromptsList
            | Method::PromptsGet
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::CompletionComplete
    ) || tasks::is_of_session(method, revision)
}
