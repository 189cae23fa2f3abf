//! Who is calling, or why nobody is let in: between a route's authenticator and HTTP.

use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use isthmus_exchange::{Challenge, Credentials, Field, HeaderFields, Principal};
use isthmus_telemetry::audit::Refusal;

use crate::answer::{HttpResponse, TurnedAway, json, set_retry_after};
use crate::face::RouteFace;
use crate::peer::Peer;

/// Asks the route's authenticator who is calling.
///
/// # Errors
///
/// The response to send instead of looking at the request any further.
pub(crate) async fn admit(
    face: &RouteFace,
    parts: &Parts,
    peer: &Peer,
) -> Result<Principal, HttpResponse> {
    let Some(authenticator) = &face.authenticator else {
        return Ok(Principal::anonymous());
    };
    let credentials = Credentials {
        headers: &Fields(&parts.headers),
        certificate: peer.certificate.as_deref(),
        address: peer.address,
    };
    match authenticator.authenticate(credentials).await {
        Ok(principal) => Ok(principal),
        Err(challenge) => {
            tracing::debug!(
                route = face.route.as_str(),
                peer = ?peer.address,
                status = challenge.status,
                reason = challenge.message,
                "a caller was not let in"
            );
            if let Some(audit) = &face.audit {
                audit.refused(&Refusal {
                    route: face.route.as_str(),
                    address: peer.address,
                    status: challenge.status,
                    reason: &challenge.message,
                });
            }
            Err(challenged(challenge))
        }
    }
}

/// The response that a challenge is.
pub(crate) fn challenged(challenge: Challenge) -> HttpResponse {
    let status = StatusCode::from_u16(challenge.status).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = TurnedAway::new(status, challenge.message).response();
    show_schemes(response.headers_mut(), challenge.headers);
    set_retry_after(response.headers_mut(), challenge.retry_after);
    response
}

/// The response to a request for which the credential lacks some of `scopes`, with a body that says so.
pub(crate) fn insufficient(face: &RouteFace, scopes: &[String], body: Bytes) -> HttpResponse {
    let mut response = json(StatusCode::FORBIDDEN, body);
    let authenticator = face.authenticator.as_ref();
    if let Some(challenge) = authenticator.map(|asked| asked.insufficient_scope(scopes)) {
        show_schemes(response.headers_mut(), challenge.headers);
    }
    response
}

fn show_schemes(headers: &mut HeaderMap, schemes: Vec<String>) {
    for scheme in schemes {
        if let Ok(scheme) = HeaderValue::try_from(scheme) {
            headers.append(WWW_AUTHENTICATE, scheme);
        }
    }
}

struct Fields<'a>(&'a HeaderMap);

impl HeaderFields for Fields<'_> {
    fn field(&self, name: &str) -> Field<'_> {
        let mut values = self.0.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Field::Absent,
            (Some(value), None) => value.to_str().map_or(Field::Unreadable, Field::Text),
            (Some(_), Some(_)) => Field::Unreadable,
        }
    }
}
