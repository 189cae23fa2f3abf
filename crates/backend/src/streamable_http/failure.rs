//! What goes wrong on HTTP, in words a person can act on.
//!
//! A status of the backend is never the gateway's own towards a client (digest §3.8): everything ends here as one of the
//! kinds of [`Error`].

use http::StatusCode;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use isthmus_egress::EgressError;
use isthmus_exchange::{BackendName, Error, ErrorKind, Fault};

use super::endpoint::NotAnswered;

/// An error, and whether the backend may be at work on the request all the same.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What is reported.
    pub(crate) error: Error,
    /// The request may have been accepted: it has to be cancelled.
    pub(crate) may_run: bool,
    /// The backend could not be reached at all.
    pub(crate) unreachable: bool,
}

impl Failure {
    /// The backend refused the request, or never saw it.
    pub(crate) const fn refused(error: Error) -> Self {
        Self {
            error,
            may_run: false,
            unreachable: false,
        }
    }

    /// The answer was lost or cannot be read.
    pub(crate) const fn lost(error: Error) -> Self {
        Self {
            error,
            may_run: true,
            unreachable: false,
        }
    }

    /// No response came, for whatever reason.
    pub(crate) fn not_answered(backend: &BackendName, error: NotAnswered) -> Self {
        match error {
            NotAnswered::Egress(error) => Self::egress(backend, error),
            NotAnswered::Credentials(error) => Self::refused(error),
        }
    }

    /// No response came.
    fn egress(backend: &BackendName, error: EgressError) -> Self {
        let unreachable = matches!(error, EgressError::Connect { .. });
        let may_run = !error.never_left();
        let text = format!("`{backend}` is not reachable: {error}");
        Self {
            error: unavailable(backend, text).caused_by(error),
            may_run,
            unreachable,
        }
    }
}

/// The backend does not answer, or not in a way that says anything about the request.
pub(crate) fn unavailable(backend: &BackendName, text: impl Into<String>) -> Error {
    Error::new(ErrorKind::BackendUnavailable(backend.clone()), text)
}

/// The backend said something that the protocol does not allow.
pub(crate) fn misbehaved(backend: &BackendName, text: impl Into<String>) -> Error {
    Error::new(ErrorKind::BackendMisbehaved(backend.clone()), text)
}

/// The backend ended the session the request was sent in, and so did not accept the request (digest §3.3).
///
/// Never leaves the backend crate: the pool opens a new session and sends the request once more.
pub(crate) fn session_gone(backend: &BackendName) -> Error {
    Error::new(
        ErrorKind::SessionUnknown,
        format!("`{backend}` ended its session"),
    )
    .with_fault(Fault::Backend)
}

/// Opening took too long.
pub(crate) fn timed_out(backend: &BackendName, what: &str, limit: std::time::Duration) -> Error {
    let text = format!(
        "`{backend}` did not {what} within {} s",
        limit.as_secs_f32()
    );
    Error::new(ErrorKind::TimedOut(Some(backend.clone())), text)
}

/// Whether a status alone decides, whatever the body says: credentials, redirects, and "not now".
pub(crate) fn says_it_all(status: StatusCode) -> bool {
    status.is_redirection()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
        )
}

/// What a status without a JSON-RPC message in its body means.
pub(crate) fn status(backend: &BackendName, status: StatusCode, headers: &HeaderMap) -> Error {
    let operator = |text: String| unavailable(backend, text).with_fault(Fault::Operator);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => operator(format!(
            "`{backend}` asks the gateway for credentials (HTTP {status}); set `headers` or `credentials` of the backend"
        )),
        StatusCode::FORBIDDEN => operator(format!(
            "`{backend}` refuses the gateway's credentials (HTTP {status})"
        )),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => operator(
            format!("`{backend}` does not serve MCP at its URL (HTTP {status})"),
        ),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let wait = headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok());
            let wait = wait
                .map(|wait| format!(", try again after {wait}"))
                .unwrap_or_default();
            unavailable(
                backend,
                format!("`{backend}` takes no requests now (HTTP {status}{wait})"),
            )
        }
        _ if status.is_redirection() => {
            let target = headers
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("elsewhere");
            operator(format!(
                "`{backend}` redirects to `{}`, which is not followed; configure that URL if it is right",
                shortened(target)
            ))
        }
        _ => unavailable(backend, format!("`{backend}` answered HTTP {status}")),
    }
}

/// As much of a backend's text as may stand in an error.
pub(crate) fn shortened(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(300)
        .map_or(text.len(), |(end, _)| end);
    &text[..end]
}
