//! Which session a request belongs to, and whether its revision header makes sense there (LS-6, LS-9).

use std::sync::Arc;

use http::HeaderMap;
use isthmus_exchange::{Error, ErrorKind};
use isthmus_protocol::Revision;
use isthmus_protocol::headers::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use isthmus_session::Session;

use crate::entry::Visit;
use crate::respond::served;

/// The session that the headers name.
///
/// # Errors
///
/// 400 if they name none or a revision that does not exist; 404 if the session is not known here.
pub(crate) fn find(visit: &Visit) -> Result<Arc<Session>, Error> {
    let headers = &visit.parts.headers;
    let Some(id) = headers.get(MCP_SESSION_ID) else {
        return Err(missing());
    };
    check_revision(headers)?;
    let sessions = visit.listener.clients.sessions();
    id.to_str()
        .ok()
        .and_then(|id| sessions.find(id, &visit.principal, &visit.face.route))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::SessionUnknown,
                "the session is not known, or has ended: send `initialize` without `Mcp-Session-Id`",
            )
        })
}

/// The complaint about a request without a session that needs one.
pub(crate) fn missing() -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "the `Mcp-Session-Id` header is missing: send `initialize` first",
    )
}

/// Whether the headers name a session.
pub(crate) fn is_present(headers: &HeaderMap) -> bool {
    headers.contains_key(MCP_SESSION_ID)
}

/// The revision that the headers name, whatever it is.
pub(crate) fn revision(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(MCP_PROTOCOL_VERSION)
        .and_then(|value| value.to_str().ok())
}

/// A header that is absent means the session's revision; another one that exists is let pass, as SDKs do.
fn check_revision(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(MCP_PROTOCOL_VERSION) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    if text.parse::<Revision>().is_ok() {
        return Ok(());
    }
    let requested: String = text.chars().take(100).collect();
    let message = format!(
        "revision `{requested}` is not served here, but {}",
        served().join(", ")
    );
    Err(Error::new(
        ErrorKind::UnsupportedRevision { requested },
        message,
    ))
}
