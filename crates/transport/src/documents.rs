//! Documents that anybody may read, such as the metadata of routes as protected resources (RFC 9728).
//!
//! They are served before anybody is asked who he is: they say how to find that out.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use isthmus_exchange::PublicDocument;

use crate::answer::{HttpResponse, json, method_not_allowed};
use crate::cors;
use crate::face::RouteFace;

/// The documents of one listener, by path.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    by_path: HashMap<String, Vec<PublicDocument>>,
}

impl Documents {
    /// What the routes of a listener have to say.
    pub(crate) fn of(faces: &[RouteFace]) -> Self {
        let mut documents = Self::default();
        let of_authenticators = faces
            .iter()
            .filter_map(|face| face.authenticator.as_ref())
            .flat_map(|authenticator| authenticator.documents());
        let all = faces.iter().flat_map(|face| &face.documents);
        for document in all.chain(of_authenticators) {
            let places = documents.by_path.entry(document.path.clone()).or_default();
            places.push(document.clone());
        }
        documents
    }

    /// The answer to a request for a document; `None` if there is none at its path.
    pub(crate) fn answer(&self, parts: &Parts) -> Option<HttpResponse> {
        let documents = self.by_path.get(parts.uri.path())?;
        let asked = asked_host(parts);
        let meant = |document: &&PublicDocument| {
            asked.is_some_and(|host| document.authority.eq_ignore_ascii_case(host))
        };
        let document = documents.iter().find(meant).or(documents.first())?;
        Some(match parts.method {
            Method::GET | Method::HEAD => {
                let body = Bytes::copy_from_slice(document.content.as_bytes());
                let mut response = json(StatusCode::OK, body);
                // Who learns late that a route has another authorization server asks the old one.
                let short = HeaderValue::from_static("max-age=60");
                response.headers_mut().insert(CACHE_CONTROL, short);
                response
            }
            Method::OPTIONS => cors::preflight(&parts.headers, METHODS),
            _ => method_not_allowed(METHODS),
        })
    }
}

/// The host that a request names. It chooses between documents of the config; nothing is made of it.
fn asked_host(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    authority.or_else(|| parts.headers.get(HOST)?.to_str().ok())
}

const METHODS: &str = "GET, HEAD, OPTIONS";
