//! The one table from errors to JSON-RPC codes, HTTP status and headers, per era (style guide §6; digest §1.5, §3.8).
//!
//! `tests/error_table.txt` shows it whole. Codes that the specification reserves leave only where they mean what they
//! say (MS-12); a backend's own codes are kept where the caller can tell them from ours.

mod table;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use isthmus_exchange::{BackendName, ClientCapabilities, Error, ErrorKind};
use isthmus_protocol::message::{write_error, write_result};
use isthmus_protocol::{Era, Id, JsonRpcError, Method, RawJson, Revision, code, object};
use serde_json::json;

/// How an error leaves the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status, if headers have not left yet.
    pub(crate) status: StatusCode,
    /// A result that says `isError`, or a JSON-RPC error.
    pub(crate) body: Result<RawJson, JsonRpcError>,
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
}

/// What the caller asked and how it speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) revision: Revision,
    pub(crate) method: &'a Method,
    /// What the caller can be asked for: decides whether "you lack a capability" is true.
    pub(crate) capabilities: &'a ClientCapabilities,
}

impl Asked<'_> {
    const fn is_stateless(&self) -> bool {
        matches!(self.revision.era(), Era::Stateless)
    }
}

impl Answer {
    /// The JSON-RPC response. Without an id it can only be an error.
    pub(crate) fn write(&self, id: Option<&Id>) -> Bytes {
        match (&self.body, id) {
            (Ok(result), Some(id)) => write_result(id, result),
            (Ok(_), None) => write_error(
                None,
                &JsonRpcError::new(code::INTERNAL_ERROR, "a result without an id"),
            ),
            (Err(error), id) => write_error(id, error),
        }
    }
}

/// The answer to a request that failed.
pub(crate) fn answer(error: &Error, asked: Asked<'_>) -> Answer {
    log(error, asked.method);
    match error.kind() {
        ErrorKind::Answered { backend, error } => answered(backend, error, asked),
        ErrorKind::MissingCapability(required) => {
            missing_capability(None, required, error.message(), asked)
        }
        kind => match explained(kind) {
            Some(explained) => refused(error, explained, asked),
            None => plain(error, asked),
        },
    }
}

/// The answer to what never became a request.
pub(crate) fn answer_outside_of_calls(error: &Error, era: Era) -> Answer {
    let capabilities = ClientCapabilities::none();
    let asked = Asked {
        revision: match era {
            Era::Stateless => Revision::LATEST,
            Era::Stateful => Revision::LATEST_STATEFUL,
        },
        method: &Method::Ping,
        capabilities: &capabilities,
    };
    answer(error, asked)
}

/// Whether a client can be told of elicitations by URL: by a question, or by `-32042` (LS-19).
pub(crate) fn takes_url_elicitations(
    revision: Revision,
    capabilities: &ClientCapabilities,
) -> bool {
    revision == Revision::V2025_11_25 && capabilities.elicitation_url()
}

fn plain(error: &Error, asked: Asked<'_>) -> Answer {
    let stateless = asked.is_stateless();
    let pick = |modern: StatusCode, legacy: StatusCode| if stateless { modern } else { legacy };
    let bad = StatusCode::BAD_REQUEST;
    let (status, code, data) = match error.kind() {
        ErrorKind::Malformed => (bad, code::PARSE_ERROR, None),
        ErrorKind::InvalidRequest => (bad, code::INVALID_REQUEST, None),
        ErrorKind::HeaderMismatch if stateless => (bad, code::HEADER_MISMATCH, None),
        ErrorKind::HeaderMismatch => (bad, code::INVALID_REQUEST, None),
        ErrorKind::UnsupportedRevision { requested } => {
            let data = json!({"supported": served(), "requested": requested});
            let code = if stateless {
                code::UNSUPPORTED_PROTOCOL_VERSION
            } else {
                code::INVALID_REQUEST
            };
            (bad, code, Some(data))
        }
        ErrorKind::MethodNotFound => (
            pick(StatusCode::NOT_FOUND, StatusCode::OK),
            code::METHOD_NOT_FOUND,
            None,
        ),
        ErrorKind::InvalidParams => (StatusCode::OK, code::INVALID_PARAMS, None),
        ErrorKind::IncompleteEnvelope => (bad, code::INVALID_PARAMS, None),
        ErrorKind::ResourceNotFound { uri } => {
            let code = if stateless {
                code::INVALID_PARAMS
            } else {
                code::RESOURCE_NOT_FOUND
            };
            (StatusCode::OK, code, Some(json!({"uri": uri})))
        }
        ErrorKind::InsufficientScope { scopes } => (
            StatusCode::FORBIDDEN,
            code::INVALID_REQUEST,
            Some(json!({"kind": "insufficientScope", "scopes": scopes})),
        ),
        ErrorKind::SessionUnknown => (StatusCode::NOT_FOUND, code::INVALID_REQUEST, None),
        ErrorKind::Limited { retry_after } => (
            pick(StatusCode::TOO_MANY_REQUESTS, StatusCode::OK),
            code::INTERNAL_ERROR,
            Some(later("limited", *retry_after)),
        ),
        ErrorKind::Overloaded { retry_after } => (
            pick(StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK),
            code::INTERNAL_ERROR,
            Some(later("overloaded", *retry_after)),
        ),
        // Stateful clients take 500 for a broken transport (digest §1.5: ordinary errors travel at 200).
        _ => (
            pick(StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK),
            code::INTERNAL_ERROR,
            None,
        ),
    };
    let retry_after = match error.kind() {
        ErrorKind::Limited { retry_after } | ErrorKind::Overloaded { retry_after } => {
            Some(*retry_after).filter(|_| stateless)
        }
        _ => None,
    };
    let mut body = JsonRpcError::new(code, error.message());
    if let Some(data) = data {
        body = body.with_data(&data);
    }
    Answer {
        status,
        body: Err(body),
        retry_after,
    }
}

/// Errors that a model can do something about if it is told: `data.kind`, the backend, what to do.
fn explained(kind: &ErrorKind) -> Option<(&'static str, Option<&BackendName>, &'static str)> {
    Some(match kind {
        ErrorKind::BackendUnavailable(backend) => (
            "backendUnavailable",
            Some(backend),
            "try again later; if it stays like this, its log or `isthmus` on the gateway's machine tells why",
        ),
        ErrorKind::TimedOut(backend) => (
            "timedOut",
            backend.as_ref(),
            "it may have been done all the same; look before you try again",
        ),
        ErrorKind::Expired => ("expired", None, "send the call again from the start"),
        ErrorKind::BackendMisbehaved(backend) => (
            "backendMisbehaved",
            Some(backend),
            "this is a defect of that server; its operator should know",
        ),
        ErrorKind::CannotAsk(backend) => (
            "cannotAsk",
            Some(backend),
            "it needs an answer that cannot be had from here; use it with arguments that need none",
        ),
        _ => return None,
    })
}

/// The gateway's own refusal, in words that say it is the gateway's (digest §1.5).
fn refused(
    error: &Error,
    (kind, backend, advice): (&str, Option<&BackendName>, &str),
    asked: Asked<'_>,
) -> Answer {
    let mut data = json!({"kind": kind});
    let mut text = String::new();
    if let Some(backend) = backend {
        data["backend"] = backend.as_str().into();
        let name = format!("`{backend}`");
        if !error.message().contains(&name) {
            let _ = write!(text, "backend {name}: ");
        }
    }
    let _ = write!(text, "{} ({advice})", error.message());
    let mut answer = told(text, &data, asked);
    // What the request refers to is not there: a parameter that names nothing (digest §3.8).
    if let (ErrorKind::Expired, Err(body)) = (error.kind(), &mut answer.body) {
        body.code = code::INVALID_PARAMS;
    }
    answer
}

/// A text that a model should read: an `isError` result where there is one, else an error.
fn told(text: String, data: &serde_json::Value, asked: Asked<'_>) -> Answer {
    let body = if *asked.method == Method::ToolsCall {
        Ok(is_error(&text))
    } else {
        Err(JsonRpcError::new(code::INTERNAL_ERROR, text).with_data(data))
    };
    Answer {
        status: StatusCode::OK,
        body,
        retry_after: None,
    }
}

fn is_error(text: &str) -> RawJson {
    RawJson::from_serialize(&json!({
        "content": [{"type": "text", "text": text}],
        "isError": true,
    }))
}

/// A JSON-RPC error of a backend (digest §3.3, §3.8).
fn answered(backend: &BackendName, error: &JsonRpcError, asked: Asked<'_>) -> Answer {
    let stateless = asked.is_stateless();
    let with = |status, code| Answer {
        status,
        body: Err(JsonRpcError {
            code,
            ..error.clone()
        }),
        retry_after: None,
    };
    match error.code {
        code::METHOD_NOT_FOUND if stateless => with(StatusCode::NOT_FOUND, error.code),
        code::RESOURCE_NOT_FOUND if stateless => with(StatusCode::OK, code::INVALID_PARAMS),
        code::INVALID_PARAMS if !stateless && says_not_found(error, asked.method) => {
            with(StatusCode::OK, code::RESOURCE_NOT_FOUND)
        }
        code::PARSE_ERROR | code::INTERNAL_ERROR..=code::INVALID_REQUEST => {
            with(StatusCode::OK, error.code)
        }
        code::MISSING_REQUIRED_CLIENT_CAPABILITY => {
            let required = error
                .data
                .as_ref()
                .and_then(|data| object::member(data, "requiredCapabilities"))
                .unwrap_or_else(RawJson::empty_object);
            missing_capability(Some(backend), &required, &error.message, asked)
        }
        code::URL_ELICITATION_REQUIRED => url_elicitation(backend, error, asked),
        // Stateful servers may mean something by these, and their clients may know what (digest §1.5).
        -32019..=-32000 if !stateless => with(StatusCode::OK, error.code),
        -32768..=-32000 => {
            let data =
                json!({"kind": "backendError", "backend": backend.as_str(), "original": error});
            let message = format!("`{backend}`: {}", error.message);
            Answer {
                status: StatusCode::OK,
                body: Err(JsonRpcError::new(code::INTERNAL_ERROR, message).with_data(&data)),
                retry_after: None,
            }
        }
        _ => with(StatusCode::OK, error.code),
    }
}

/// The user has to visit pages first. The ids in it are ours already; only who knows the code gets it (LS-19), and the
/// addresses go to nobody else: a link that a model reads is a link that a model may follow (S13).
fn url_elicitation(backend: &BackendName, error: &JsonRpcError, asked: Asked<'_>) -> Answer {
    if takes_url_elicitations(asked.revision, asked.capabilities) {
        return Answer {
            status: StatusCode::OK,
            body: Err(error.clone()),
            retry_after: None,
        };
    }
    let text = format!(
        "`{backend}` needs its user to visit a page first, and this client did not declare that it can show one: {}",
        error.message
    );
    let data = json!({"kind": "cannotAsk", "backend": backend.as_str()});
    told(text, &data, asked)
}

/// "You did not declare this" is told only to a caller of whom it is true (digest §3.4): others could do nothing about it.
fn missing_capability(
    backend: Option<&BackendName>,
    required: &RawJson,
    message: &str,
    asked: Asked<'_>,
) -> Answer {
    let required = if required.is_object() {
        required.clone()
    } else {
        RawJson::empty_object()
    };
    if asked.is_stateless() && lacks(asked.capabilities, &required) {
        let data = json!({"requiredCapabilities": required});
        let error = JsonRpcError::new(code::MISSING_REQUIRED_CLIENT_CAPABILITY, message);
        return Answer {
            status: StatusCode::BAD_REQUEST,
            body: Err(error.with_data(&data)),
            retry_after: None,
        };
    }
    let data = json!({"kind": "missingCapability", "requiredCapabilities": required});
    let who = backend.map_or_else(String::new, |backend| format!("`{backend}`: "));
    let text = format!(
        "this needs {} of the client, which is not to be had here: {who}{message}",
        in_words(&required)
    );
    told(text, &data, asked)
}

/// Capabilities as a reader would name them: `elicitation.form`.
fn in_words(required: &RawJson) -> String {
    let mut names = Vec::new();
    for (key, needed) in object::members(required).unwrap_or_default() {
        let details = object::members(&needed).unwrap_or_default();
        if details.is_empty() {
            names.push(format!("`{key}`"));
        }
        names.extend(
            details
                .iter()
                .map(|(detail, _)| format!("`{key}.{detail}`")),
        );
    }
    if names.is_empty() {
        return "something".to_owned();
    }
    names.join(" and ")
}

/// Whether a required capability is absent from what the caller declared; members one level down count too.
fn lacks(declared: &ClientCapabilities, required: &RawJson) -> bool {
    let declared = declared.declared();
    object::members(required)
        .unwrap_or_default()
        .iter()
        .any(|(key, needed)| {
            let Some(have) = object::member(declared, key) else {
                return true;
            };
            object::members(needed)
                .unwrap_or_default()
                .iter()
                .any(|(key, _)| object::member(&have, key).is_none())
        })
}

/// Stateless servers say "no such resource" by the code for wrong parameters; only the text tells the two apart.
fn says_not_found(error: &JsonRpcError, method: &Method) -> bool {
    let message = error.message.to_ascii_lowercase();
    let words = ["not found", "no such", "unknown resource", "does not exist"];
    *method == Method::ResourcesRead && words.iter().any(|words| message.contains(words))
}

fn later(kind: &str, after: Duration) -> serde_json::Value {
    json!({"kind": kind, "retryAfterMs": u64::try_from(after.as_millis()).unwrap_or(u64::MAX)})
}

/// The revisions that clients may speak.
pub(crate) fn served() -> Vec<&'static str> {
    Revision::ALL.iter().rev().map(|r| r.as_str()).collect()
}

fn log(error: &Error, method: &Method) {
    use std::error::Error as _;
    let cause = error.source().map(tracing::field::display);
    if matches!(error.kind(), ErrorKind::Internal) {
        tracing::error!(%method, cause, "{error}");
    } else {
        tracing::debug!(%method, cause, fault = ?error.fault(), "{error}");
    }
}

/// The whole table as text, for documents and for the golden file of the tests.
#[must_use]
pub fn error_table() -> String {
    table::write()
}
