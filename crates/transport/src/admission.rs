//! Who is calling, or why nobody is let in: between a route's authenticator and HTTP.

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use isthmus_exchange::{Challenge, Credentials, Field, HeaderFields, Principal};

use crate::answer::{HttpResponse, TurnedAway, set_retry_after};
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
            Err(challenged(challenge))
        }
    }
}

/// The response that a challenge is.
pub(crate) fn challenged(challenge: Challenge) -> HttpResponse {
    let status = StatusCode::from_u16(challenge.status).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = TurnedAway::new(status, challenge.message).response();
    for header in challenge.headers {
        if let Ok(header) = HeaderValue::try_from(header) {
            response.headers_mut().append(WWW_AUTHENTICATE, header);
        }
    }
    set_retry_after(response.headers_mut(), challenge.retry_after);
    response
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
