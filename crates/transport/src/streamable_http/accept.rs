//! What the client can read, and what it says its body is.
//!
//! As lenient as HTTP allows and no more: wildcards count, and a client that says nothing takes anything.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::answer::TurnedAway;

/// What the official SDKs send.
const USUAL: &[u8] = b"application/json, text/event-stream";

/// A POST may be answered with JSON or with an event stream, and the client cannot choose: it must take both.
pub(crate) fn check_post(headers: &HeaderMap) -> Result<(), TurnedAway> {
    // A media type that is not JSON's is how pages of other sites post without a preflight.
    if !is_json(headers) {
        return Err(TurnedAway::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "`Content-Type` must be `application/json`",
        ));
    }
    let usual = headers
        .get(ACCEPT)
        .is_some_and(|value| value.as_bytes() == USUAL);
    if usual || accepts(headers, "application", "json") && accepts(headers, "text", "event-stream")
    {
        return Ok(());
    }
    Err(TurnedAway::new(
        StatusCode::NOT_ACCEPTABLE,
        "`Accept` must list `application/json` and `text/event-stream`",
    ))
}

/// A GET is answered with an event stream.
pub(crate) fn check_get(headers: &HeaderMap) -> Result<(), TurnedAway> {
    if accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    Err(TurnedAway::new(
        StatusCode::NOT_ACCEPTABLE,
        "`Accept` must list `text/event-stream`",
    ))
}

/// Whether the client would rather have a stream: of two types with equal weight it names that one first.
pub(crate) fn prefers_stream(headers: &HeaderMap) -> bool {
    let first = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split([',', ';']).next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("text/event-stream"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    value.to_str().is_ok_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

fn accepts(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                let weight = part.strip_prefix("q=").or(part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.parse() == Ok(0.0))
            });
            let (offered, exact) = essence.split_once('/').unwrap_or_default();
            let fits = offered == "*" || offered.eq_ignore_ascii_case(kind);
            fits && (exact == "*" || exact.eq_ignore_ascii_case(subtype)) && !refused
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(accept: Option<&str>, content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        headers
    }

    #[test]
    fn a_post_needs_json_and_a_client_that_takes_both_answers() {
        let check = |accept, content_type, status: Option<u16>| {
            let answer = check_post(&headers(accept, content_type));
            let got = answer
                .err()
                .map(|refused| refused.response().status().as_u16());
            assert_eq!(got, status, "{accept:?} {content_type}");
        };
        let both = "application/json, text/event-stream";
        check(Some(both), "application/json", None);
        check(Some(both), "Application/JSON; charset=utf-8", None);
        check(Some("*/*"), "application/json", None);
        check(None, "application/json", None);
        check(
            Some("text/*;q=0.5, application/json"),
            "application/json",
            None,
        );
        check(Some("application/json"), "application/json", Some(406));
        check(
            Some("application/json, text/event-stream;q=0"),
            "application/json",
            Some(406),
        );
        check(Some("text/event-stream"), "application/json", Some(406));
        check(Some(both), "text/plain; a=application/json", Some(415));
        check(Some(both), "", Some(415));
    }
}
