//! The door: what every HTTP request meets before anybody reads its body.
//!
//! Health, then host and origin, then for whom a proxy speaks, then the path, then who is calling, then the method.
//! Everything refused here has a JSON-RPC body, so that a client can show why.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use isthmus_exchange::Principal;

use crate::admission::admit;
use crate::answer::{HttpResponse, TurnedAway, method_not_allowed, text};
use crate::cors;
use crate::expiry::end_with;
use crate::face::RouteFace;
use crate::forwarded::client_address;
use crate::listener::{Endpoint, Listener, View};
use crate::peer::Peer;
use crate::{http_sse, streamable_http};

/// One authenticated request on its way to an endpoint.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) listener: Arc<Listener>,
    pub(crate) face: Arc<RouteFace>,
    pub(crate) principal: Principal,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) parts: Parts,
}

/// Answers one HTTP request.
pub(crate) async fn answer(
    listener: Arc<Listener>,
    mut peer: Peer,
    request: Request<Incoming>,
) -> HttpResponse {
    let (parts, body) = request.into_parts();
    if let Some(response) = health(&listener, &parts) {
        return response;
    }
    let view = listener.view();
    if let Err(refused) = cors::check_host(&parts, &view.settings) {
        return refused.response();
    }
    let origin = match cors::check_origin(&parts.headers, &view.settings) {
        Ok(origin) => origin,
        Err(refused) => return refused.response(),
    };
    match client_address(peer.address, &parts.headers, &view.settings.trusted_proxies) {
        Ok(address) => peer.address = address,
        Err(refused) => return refused.response(),
    }
    let mut response = admitted(listener, &view, peer, parts, body).await;
    if let Some(origin) = origin {
        cors::admit(response.headers_mut(), origin);
    }
    response
}

async fn admitted(
    listener: Arc<Listener>,
    view: &View,
    peer: Peer,
    parts: Parts,
    body: Incoming,
) -> HttpResponse {
    if let Some(document) = view.documents.answer(&parts) {
        return document;
    }
    let Some(endpoint) = view.endpoint(parts.uri.path()) else {
        return no_such_path(view);
    };
    let allowed = endpoint.methods();
    if parts.method == Method::OPTIONS {
        return cors::preflight(&parts.headers, allowed);
    }
    let face = endpoint.face();
    let principal = match admit(face, &parts, &peer).await {
        Ok(principal) => principal,
        Err(refused) => return refused,
    };
    let visit = Visit {
        listener,
        face: Arc::clone(face),
        principal,
        peer: peer.address,
        parts,
    };
    match (endpoint, visit.parts.method.as_str()) {
        (Endpoint::Streamable(_), "POST") => streamable_http::post(visit, body).await,
        (Endpoint::Streamable(_), "GET") => {
            end_with(streamable_http::get(&visit), &visit.principal)
        }
        (Endpoint::Streamable(_), "DELETE") => streamable_http::delete(&visit),
        (Endpoint::SseStream(_), "GET") => end_with(http_sse::open(&visit), &visit.principal),
        (Endpoint::SseMessages(_), "POST") => http_sse::message(visit, body).await,
        _ => method_not_allowed(allowed),
    }
}

fn health(listener: &Listener, parts: &Parts) -> Option<HttpResponse> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return None;
    }
    match parts.uri.path() {
        "/healthz" => Some(text(StatusCode::OK, "ok")),
        "/readyz" => {
            let readiness = listener.clients.readiness();
            let status = if readiness.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            Some(text(status, &readiness.message))
        }
        _ => None,
    }
}

fn no_such_path(view: &View) -> HttpResponse {
    let mut message = "no MCP endpoint at this path".to_owned();
    let open = view.routes();
    if !open.is_empty() {
        message.push_str(&format!("; there is one at {}", open.join(", ")));
    }
    TurnedAway::new(StatusCode::NOT_FOUND, message).response()
}

impl Endpoint {
    const fn face(&self) -> &Arc<RouteFace> {
        match self {
            Self::Streamable(face) | Self::SseStream(face) | Self::SseMessages(face) => face,
        }
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Streamable(_) => "GET, POST, DELETE, OPTIONS",
            Self::SseStream(_) => "GET, OPTIONS",
            Self::SseMessages(_) => "POST, OPTIONS",
        }
    }
}
