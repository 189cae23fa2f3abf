//! What browsers need to hear (CORS), and who may call at all: `Origin` and `Host` (S10).
//!
//! A page on another site can make a user's browser call a gateway on the user's machine, by a name that it points
//! there (DNS rebinding). So both headers are checked on every face before anything else is looked at.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HOST,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::answer::{HttpResponse, TurnedAway, empty};

/// Whether the request names this gateway by a name that it goes by.
pub(crate) fn check_host(
    parts: &Parts,
    settings: &isthmus_config::Listener,
) -> Result<(), TurnedAway> {
    // HTTP/2 has the name in the URI, HTTP/1.1 in a header; two headers, or one that is not text, name nothing.
    let mut headers = parts.headers.get_all(HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match authority.or(header) {
        Some(host) if settings.allows_host(host) => Ok(()),
        Some(host) => Err(forbidden(format!(
            "the host `{}` is not one of this gateway's; its operator can add it to `allowed_hosts`",
            shown(host)
        ))),
        None => Err(forbidden(
            "a request needs exactly one `Host` header".to_owned(),
        )),
    }
}

/// Whether a page of this origin may call. `Ok(None)`: no browser, or none that says so.
pub(crate) fn check_origin(
    headers: &HeaderMap,
    settings: &isthmus_config::Listener,
) -> Result<Option<HeaderValue>, TurnedAway> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(None);
    };
    let text = origin.to_str().unwrap_or_default();
    if settings.allows_origin(text) {
        return Ok(Some(origin.clone()));
    }
    Err(forbidden(format!(
        "pages of the origin `{}` may not call; the gateway's operator can add it to `allowed_origins`",
        shown(text)
    )))
}

/// The answer to a preflight of an allowed origin.
pub(crate) fn preflight(request: &HeaderMap, allowed: &'static str) -> HttpResponse {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(allowed),
    );
    // Mirrored tool parameters have names that nobody can list beforehand.
    let wanted = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static(USUAL_HEADERS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    if request.contains_key(PRIVATE_NETWORK_ASKED) {
        headers.insert(PRIVATE_NETWORK_ALLOWED, HeaderValue::from_static("true"));
    }
    response
}

/// Tells the browser that the page may read the response.
pub(crate) fn admit(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED_HEADERS),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn forbidden(message: String) -> TurnedAway {
    TurnedAway::new(StatusCode::FORBIDDEN, message)
}

/// Enough of a peer's text for a message.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

const USUAL_HEADERS: &str = "accept, authorization, content-type, last-event-id, mcp-method, mcp-name, \
                             mcp-protocol-version, mcp-session-id";
const EXPOSED_HEADERS: &str = "mcp-session-id, mcp-protocol-version, retry-after, www-authenticate";
const PRIVATE_NETWORK_ASKED: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK_ALLOWED: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
