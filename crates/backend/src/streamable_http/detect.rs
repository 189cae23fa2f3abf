//! Finds out how an HTTP backend wants to be spoken to (digest E-3, E-6, E-7, E-8).

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderMap;
use isthmus_exchange::{Error, PeerFacts};
use isthmus_protocol::{Era, JsonRpcError, RawJson, Revision, code, headers, object};

use super::endpoint::Endpoint;
use super::failure;
use super::stateful::StatefulHttp;
use super::stateless::discover;
use crate::greeting::{self, Discovered};
use crate::sse;

/// How an HTTP backend wants to be spoken to.
#[derive(Debug)]
pub(crate) enum Detected {
    /// Each request describes itself; the backend said this of itself.
    Stateless(PeerFacts),
    /// With a handshake; it was made to find out, and the session is open.
    Stateful(Arc<StatefulHttp>),
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// Nothing can be concluded from what was seen: no network, no credentials, an overloaded backend (E-6).
    Inconclusive(Error),
}

/// Probes the backend. A session that has to be opened on the way declares `capabilities`.
///
/// Takes at most the endpoint's limit for opening, and never longer.
pub(crate) async fn detect(endpoint: &Arc<Endpoint>, capabilities: &RawJson) -> Detected {
    let limit = endpoint.limits().open;
    tokio::time::timeout(limit, probe(endpoint, capabilities))
        .await
        .unwrap_or_else(|_| {
            Detected::Inconclusive(failure::timed_out(
                endpoint.backend(),
                "answer the first request",
                limit,
            ))
        })
}

async fn probe(endpoint: &Arc<Endpoint>, capabilities: &RawJson) -> Detected {
    let backend = endpoint.backend();
    let answered = match discover(endpoint).await {
        Ok(answered) => answered,
        Err(failure) => return Detected::Inconclusive(failure.error),
    };
    let status = answered.status;
    if failure::says_it_all(status)
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
    {
        return Detected::Inconclusive(failure::status(backend, status, &answered.headers));
    }
    forget_session(endpoint, &answered.headers);
    match answered.response {
        Some(Ok(result)) => match greeting::read_discovered(backend, &result) {
            Ok(Discovered::Stateless(facts)) => Detected::Stateless(facts),
            Ok(Discovered::Stateful) | Err(_) => handshake(endpoint, capabilities).await,
        },
        Some(Err(error)) => match Evidence::of(status, &error) {
            Evidence::None | Evidence::OffersHandshake => handshake(endpoint, capabilities).await,
            // Never `initialize` after one of these (MC-9), and nothing to go on with either.
            Evidence::Stateless => Detected::Inconclusive(Error::answered(backend.clone(), error)),
        },
        None => handshake(endpoint, capabilities).await,
    }
}

async fn handshake(endpoint: &Arc<Endpoint>, capabilities: &RawJson) -> Detected {
    let refusal = match StatefulHttp::try_open(endpoint, capabilities).await {
        Ok(conversation) => return Detected::Stateful(conversation),
        Err(refusal) => refusal,
    };
    let may_be_sse = matches!(
        refusal.status,
        Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
    );
    if may_be_sse && sse::is_offered(endpoint).await {
        return Detected::Sse;
    }
    Detected::Inconclusive(refusal.error)
}

/// What an error to `server/discover` says about the era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Nothing: any server may answer so to a method it does not know (E-2).
    None,
    /// Only a stateless server answers so.
    Stateless,
    /// A stateless server that also names revisions with a handshake (digest §8).
    OffersHandshake,
}

impl Evidence {
    /// Reads a code together with the shape it must have: the codes alone were used otherwise before (E-8).
    fn of(status: StatusCode, error: &JsonRpcError) -> Self {
        let member = |key| {
            error
                .data
                .as_ref()
                .and_then(|data| object::member(data, key))
        };
        match error.code {
            code::HEADER_MISMATCH if status == StatusCode::BAD_REQUEST => Self::Stateless,
            code::MISSING_REQUIRED_CLIENT_CAPABILITY
                if member("requiredCapabilities").is_some() =>
            {
                Self::Stateless
            }
            code::UNSUPPORTED_PROTOCOL_VERSION => {
                let supported =
                    member("supported").and_then(|supported| supported.read::<Vec<String>>().ok());
                let Some(supported) = supported else {
                    return Self::None;
                };
                let has_handshake = |version: &String| {
                    version
                        .parse::<Revision>()
                        .is_ok_and(|revision| revision.era() == Era::Stateful)
                };
                if supported.iter().any(has_handshake) {
                    Self::OffersHandshake
                } else {
                    Self::Stateless
                }
            }
            _ => Self::None,
        }
    }
}

/// Some stateful servers open a session for any first request: it is ended again, for nobody will use it.
fn forget_session(endpoint: &Arc<Endpoint>, answered: &HeaderMap) {
    let Some(id) = answered.get(headers::MCP_SESSION_ID).cloned() else {
        return;
    };
    let endpoint = Arc::clone(endpoint);
    let background = endpoint.background().clone();
    // Owned by the connector's own time limit: whether it works does not matter to anybody.
    background.spawn(async move {
        let mut headers = endpoint.stream_headers();
        headers.insert(headers::MCP_SESSION_ID, id);
        let url = endpoint.first_url();
        let deleted = endpoint.send(http::Method::DELETE, url, headers, bytes::Bytes::new());
        let _ = tokio::time::timeout(endpoint.limits().open, deleted).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, error: &str, expected: Evidence) {
        let error: JsonRpcError = serde_json::from_str(error).unwrap();
        assert_eq!(
            Evidence::of(StatusCode::from_u16(status).unwrap(), &error),
            expected,
            "{error:?}"
        );
    }

    #[test]
    fn a_code_proves_an_era_only_together_with_its_shape() {
        check(400, r#"{"code":-32020,"message":""}"#, Evidence::Stateless);
        check(200, r#"{"code":-32020,"message":""}"#, Evidence::None);
        check(
            400,
            r#"{"code":-32021,"message":"","data":{"requiredCapabilities":{}}}"#,
            Evidence::Stateless,
        );
        check(400, r#"{"code":-32021,"message":""}"#, Evidence::None);
        check(
            400,
            r#"{"code":-32022,"message":"","data":{"supported":["2027-01-01"]}}"#,
            Evidence::Stateless,
        );
        check(
            400,
            r#"{"code":-32022,"message":"","data":{"supported":["2025-11-25"]}}"#,
            Evidence::OffersHandshake,
        );
        check(400, r#"{"code":-32022,"message":""}"#, Evidence::None);
        for pre_release in ["-32001", "-32003", "-32004", "-32601", "-32000", "-32602"] {
            check(
                400,
                &format!(r#"{{"code":{pre_release},"message":""}}"#),
                Evidence::None,
            );
        }
    }
}
