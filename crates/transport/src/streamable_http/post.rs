//! POST: one message, or a batch of 2025-03-26. What it is follows from the body (E-5).

use http::StatusCode;
use hyper::body::Incoming as IncomingBody;
use isthmus_exchange::Answer;
use isthmus_protocol::message::write_error;
use isthmus_protocol::{Era, Id, Incoming, Message, Method, RawJson, Revision, parse_incoming};

use super::{accept, batch, session_header, stateful, stateless};
use crate::answer::{HttpResponse, empty, json, refusal, refusal_as};
use crate::body;
use crate::entry::Visit;
use crate::rim::{self, stateless::Reading};

/// Answers a POST.
pub(crate) async fn post(visit: Visit, incoming: IncomingBody) -> HttpResponse {
    if let Err(refused) = accept::check_post(&visit.parts.headers) {
        return refused.response();
    }
    let clients = &visit.listener.clients;
    let text = match body::read(incoming, clients.bounds(), clients.calls()).await {
        Ok(text) => text,
        Err(error) => {
            let (status, error) = error.into_parts();
            return refusal_as(status, Era::Stateful, None, &error);
        }
    };
    match parse_incoming(&text) {
        Ok(Incoming::Single(Message::Request { id, method, params })) => {
            request(visit, id, method, params).await
        }
        Ok(Incoming::Single(Message::Notification { method, params })) => {
            notification(&visit, &method, params.as_ref())
        }
        Ok(Incoming::Single(Message::Response { id, outcome })) => {
            response(&visit, id.as_ref(), outcome)
        }
        Ok(Incoming::Batch(messages)) => batch::post(visit, messages).await,
        Err(error) => json(
            StatusCode::BAD_REQUEST,
            write_error(error.id.as_ref(), &error.to_json_rpc()),
        ),
    }
}

async fn request(visit: Visit, id: Id, method: Method, params: Option<RawJson>) -> HttpResponse {
    let split = match rim::stateless::read(&method, params.as_ref()) {
        Reading::Stateless(described) => {
            return stateless::post(visit, id, method, described).await;
        }
        Reading::Other(split) => *split,
    };
    if method == Method::Initialize {
        return stateful::initialize(visit, id, params.as_ref()).await;
    }
    let says_stateless =
        session_header::revision(&visit.parts.headers) == Some(Revision::V2026_07_28.as_str());
    if session_header::is_present(&visit.parts.headers) && !says_stateless {
        return match session_header::find(&visit) {
            Ok(session) => stateful::request(visit, &session, id, method, split).await,
            Err(error) => refusal(Era::Stateful, Some(&id), &error),
        };
    }
    if !says_stateless && method != Method::ServerDiscover {
        return refusal(Era::Stateful, Some(&id), &session_header::missing());
    }
    // A header alone makes no stateless request, and discovering is what only stateless clients do.
    let error = match split {
        Ok(_) => rim::stateless::no_envelope(),
        Err(error) => rim::stateless::params_error(&error),
    };
    refusal(Era::Stateless, Some(&id), &error)
}

/// 202, whatever it says: a notification has no answer (MS-7).
fn notification(visit: &Visit, method: &Method, params: Option<&RawJson>) -> HttpResponse {
    if session_header::is_present(&visit.parts.headers) {
        return match session_header::find(visit) {
            Ok(session) => {
                stateful::notification(visit, &session, method, params);
                empty(StatusCode::ACCEPTED)
            }
            Err(error) => refusal(Era::Stateful, None, &error),
        };
    }
    // Stateless clients cancel by closing; whatever else they notify of concerns nobody here.
    if session_header::revision(&visit.parts.headers) == Some(Revision::V2026_07_28.as_str()) {
        return empty(StatusCode::ACCEPTED);
    }
    refusal(Era::Stateful, None, &session_header::missing())
}

/// A client answers what it was asked. 202, whatever it says, if the session is known.
fn response(visit: &Visit, id: Option<&Id>, answer: Answer) -> HttpResponse {
    match session_header::find(visit) {
        Ok(session) => {
            rim::stateful::response(&session, id, answer);
            empty(StatusCode::ACCEPTED)
        }
        Err(error) => refusal(Era::Stateful, None, &error),
    }
}
