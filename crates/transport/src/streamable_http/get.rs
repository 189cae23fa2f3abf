//! GET: a standing stream of a session, or the rest of a broken one. DELETE: the end of a session.

use http::StatusCode;
use isthmus_exchange::{Error, ErrorKind};
use isthmus_protocol::Era;
use isthmus_protocol::headers::LAST_EVENT_ID;
use isthmus_session::EventId;

use super::stream::SessionStream;
use super::{accept, session_header, stateful};
use crate::answer::{HttpResponse, TurnedAway, empty, event_stream, refusal};
use crate::entry::Visit;

/// Answers GET.
pub(crate) fn get(visit: &Visit) -> HttpResponse {
    if let Err(refused) = accept::check_get(&visit.parts.headers) {
        return refused.response();
    }
    let session = match session_header::find(visit) {
        Ok(session) => session,
        Err(error) => return refusal(Era::Stateful, None, &error),
    };
    let last = match last_event_id(visit) {
        Ok(last) => last.filter(|_| session.is_resumable()),
        Err(error) => return refusal(Era::Stateful, None, &error),
    };
    // A stream that is not kept any more has nothing to replay; what comes from now on is still worth hearing.
    let resumed = last.and_then(|id| Some((session.streams().resume(id)?, id.sequence)));
    let (reader, from) = match resumed {
        // A client that never got a response, because it cancelled, would come back for ever; this status is how event
        // streams say that there is no point (WHATWG HTML, server-sent events).
        Some((reader, _)) if reader.is_at_end() => return empty(StatusCode::NO_CONTENT),
        Some(resumed) => resumed,
        None => match session.streams().open_standing(session.is_resumable()) {
            Ok(reader) => (reader, 0),
            Err(error) => {
                return TurnedAway::new(StatusCode::CONFLICT, error.to_string()).response();
            }
        },
    };
    stateful::listen(visit, &session);
    let clients = &visit.listener.clients;
    let closing = Some(clients.closing().clone());
    let keep_alive = clients.bounds().keep_alive;
    event_stream(SessionStream::new(
        session, reader, from, keep_alive, closing,
    ))
}

/// Answers DELETE.
pub(crate) fn delete(visit: &Visit) -> HttpResponse {
    match session_header::find(visit) {
        Ok(session) => {
            visit.listener.clients.sessions().end(&session);
            empty(StatusCode::NO_CONTENT)
        }
        Err(error) => refusal(Era::Stateful, None, &error),
    }
}

fn last_event_id(visit: &Visit) -> Result<Option<EventId>, Error> {
    let Some(value) = visit.parts.headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    // Clients that have no id yet send an empty one.
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error: isthmus_session::InvalidEventId| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("`Last-Event-ID` is {error}"),
            )
        })
}
