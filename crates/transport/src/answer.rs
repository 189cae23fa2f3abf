//! HTTP responses: every one that is not plain success carries a JSON-RPC body.

use bytes::Bytes;
use futures_core::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use isthmus_exchange::{Error, ErrorKind};
use isthmus_protocol::headers::X_ACCEL_BUFFERING;
use isthmus_protocol::{Era, Id};

use crate::body::ResponseBody;
use crate::respond::{Answer, answer_outside_of_calls};

pub(crate) type HttpResponse = Response<ResponseBody>;

/// A JSON body with a status.
pub(crate) fn json(status: StatusCode, body: Bytes) -> HttpResponse {
    let mut response = Response::new(ResponseBody::Whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response
}

/// One line of text.
pub(crate) fn text(status: StatusCode, line: &str) -> HttpResponse {
    let body = Bytes::from(format!("{line}\n"));
    let mut response = Response::new(ResponseBody::Whole(body));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// An event stream.
pub(crate) fn event_stream(events: impl Stream<Item = Bytes> + Send + 'static) -> HttpResponse {
    let mut response = Response::new(ResponseBody::Stream(Box::pin(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The answer to a message that was refused before anything ran.
pub(crate) fn refusal(era: Era, id: Option<&Id>, error: &Error) -> HttpResponse {
    refusal_with(&answer_outside_of_calls(error, era), id)
}

/// Turned away before anybody looked at a message: a status that HTTP has for it, and why.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    status: StatusCode,
    error: Error,
}

impl TurnedAway {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let error = Error::new(ErrorKind::InvalidRequest, message);
        Self { status, error }
    }

    pub(crate) fn response(&self) -> HttpResponse {
        refusal_as(self.status, Era::Stateful, None, &self.error)
    }
}

/// The same with another status, where HTTP has a better one than the table.
pub(crate) fn refusal_as(
    status: StatusCode,
    era: Era,
    id: Option<&Id>,
    error: &Error,
) -> HttpResponse {
    let mut answer = answer_outside_of_calls(error, era);
    answer.status = status;
    refusal_with(&answer, id)
}

fn refusal_with(answer: &Answer, id: Option<&Id>) -> HttpResponse {
    let mut response = json(answer.status, answer.write(id));
    set_retry_after(response.headers_mut(), answer.retry_after);
    response
}

/// `Retry-After` in whole seconds, rounded up.
pub(crate) fn set_retry_after(headers: &mut HeaderMap, after: Option<std::time::Duration>) {
    if let Some(after) = after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// 405 with the methods that would do.
pub(crate) fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let message = format!("this path takes {allowed}");
    let mut response = TurnedAway::new(StatusCode::METHOD_NOT_ALLOWED, message).response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
