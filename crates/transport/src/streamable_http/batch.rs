//! Batches of 2025-03-26 (LS-11): an array of responses, or a stream with one event per message.

use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;
use isthmus_exchange::Error;
use isthmus_protocol::message::write_batch;
use isthmus_protocol::params::SplitParams;
use isthmus_protocol::{Era, Message, MessageError, Revision};
use isthmus_session::{EventReader, StoredEvent};

use super::stream::Hold;
use super::{session_header, stateful};
use crate::answer::{HttpResponse, empty, json, refusal, refusal_as};
use crate::entry::Visit;
use crate::rim::pipe::{batch_too_long, member_of_batch, no_batches};

/// Answers a batch.
pub(crate) async fn post(visit: Visit, batch: Vec<Result<Message, MessageError>>) -> HttpResponse {
    let bad = |error: &Error| refusal_as(StatusCode::BAD_REQUEST, Era::Stateful, None, error);
    let limit = visit.listener.clients.bounds().batch;
    if batch.len() > limit {
        return bad(&batch_too_long(limit));
    }
    if batch.iter().any(describes_itself) || !session_header::is_present(&visit.parts.headers) {
        return bad(&no_batches());
    }
    let session = match session_header::find(&visit) {
        Ok(session) => session,
        Err(error) => return refusal(Era::Stateful, None, &error),
    };
    if session.revision() != Revision::V2025_03_26 {
        return bad(&no_batches());
    }
    let answered = |member: &Result<Message, MessageError>| {
        matches!(member, Ok(Message::Request { .. }) | Err(_))
    };
    let has_answer = batch.iter().any(answered);
    let mut reader = session.streams().open_answer();
    let stream = stateful::AnswerStream::new(&visit, &reader);
    let owner = Arc::clone(&session);
    let face = Arc::clone(&visit.face);
    visit.listener.clients.calls().spawn(async move {
        join_all(batch.into_iter().map(|member| async {
            if let Some(response) = member_of_batch(&owner, &face, member, &stream).await {
                stream.log().write_answer(response).await;
            }
        }))
        .await;
    });
    if !has_answer {
        return empty(StatusCode::ACCEPTED);
    }
    stateful::listen(&visit, &session);
    let mut taken = Vec::new();
    let hold = Hold::new(stateful::hold_time(&session));
    match hold.wait(all_answers(&mut reader, &mut taken)).await {
        Some(true) => {
            let responses: Vec<_> = taken.into_iter().map(|event| event.message).collect();
            json(StatusCode::OK, write_batch(&responses))
        }
        Some(false) | None => stateful::stream(&visit, &session, reader, taken),
    }
}

/// Takes events until the end, or until one that is not a response.
async fn all_answers(reader: &mut EventReader, taken: &mut Vec<StoredEvent>) -> bool {
    while let Some(event) = reader.next().await {
        let is_answer = event.is_answer;
        taken.push(event);
        if !is_answer {
            return false;
        }
    }
    true
}

/// Stateless requests come alone (E-5).
fn describes_itself(member: &Result<Message, MessageError>) -> bool {
    let Ok(Message::Request { method, params, .. }) = member else {
        return false;
    };
    SplitParams::parse(method, params.as_ref()).is_ok_and(|split| split.has_envelope())
}
