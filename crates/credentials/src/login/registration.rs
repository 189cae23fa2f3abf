//! As which client the gateway logs in: one that the operator has registered, else one that is named by a document of its own
//! (CIMD), else one that registers by itself (RFC 7591).

use bytes::Bytes;
use isthmus_config::{LoginClient, PublicUrl};
use isthmus_egress::Fetcher;
use isthmus_exchange::PublicDocument;
use isthmus_protocol::RawJson;
use serde::Deserialize;
use serde_json::json;

use super::LoginError;
use crate::client::Client;
use crate::discovery::{Found, endpoint};
use crate::store::GrantClient;
use crate::token_endpoint::words;
use crate::trouble::Trouble;

/// The document by which the gateway tells authorization servers who it is. Its URL is the client's id.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    url: PublicUrl,
}

impl Introduction {
    /// `None` if only this machine could read it.
    pub(super) fn new(public_url: &PublicUrl) -> Option<Self> {
        // At the top of the host, as every well-known place.
        let url = PublicUrl::parse(public_url.origin()).ok()?.join(PLACE);
        let outside = url.origin().starts_with("https://") && !url.is_local();
        outside.then_some(Self { url })
    }

    pub(super) fn document(&self) -> PublicDocument {
        PublicDocument {
            path: self.url.path().to_owned(),
            authority: self.url.authority().to_owned(),
            content: RawJson::from_serialize(&json!({
                "client_id": self.url.to_string(),
                "client_name": NAME,
                "redirect_uris": [LOOPBACK],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "application_type": "native",
            })),
        }
    }
}

/// What a server says of a client that it has registered (RFC 7591 §3.2.1).
#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Becomes a client of `server`, which sends browsers back to `redirect`.
pub(super) async fn client(
    configured: Option<&LoginClient>,
    introduction: Option<&Introduction>,
    server: &Found,
    issuer: &str,
    redirect: &str,
    fetcher: &Fetcher,
) -> Result<GrantClient, LoginError> {
    if let Some(client) = configured {
        return Ok(GrantClient {
            id: client.id.clone(),
            secret: None,
            in_form: false,
            configured: true,
        });
    }
    let metadata = server.server.as_ref();
    let by_document =
        metadata.is_some_and(|(server, _)| server.client_id_metadata_document_supported);
    if let Some(introduction) = introduction.filter(|_| by_document) {
        return Ok(public(introduction.url.to_string()));
    }
    let place = metadata.and_then(|(server, named_by)| {
        let place = server.registration_endpoint.as_deref()?;
        Some(endpoint(server, place, *named_by))
    });
    let (issuer, redirect) = (issuer.to_owned(), redirect.to_owned());
    let Some(place) = place else {
        return Err(LoginError::NoRegistration { issuer, redirect });
    };
    let (place, named_by) = place?;
    let wanted = json!({
        "client_name": NAME,
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        // Without it some take a client for a web site and refuse to send browsers to this machine (digest §4B).
        "application_type": "native",
    });
    let wanted = Bytes::from(wanted.to_string());
    let what = "a registration";
    let posted = fetcher.post_json(&place, named_by, wanted).await;
    let fetched = posted.map_err(|source| Trouble::Fetch { what, source })?;
    if fetched.status.is_success() {
        let status = fetched.status;
        let registered: Registered = serde_json::from_slice(&fetched.body)
            .map_err(|_| Trouble::Unreadable { what, status })?;
        return Ok(registered.client());
    }
    let code = match serde_json::from_slice::<Refused>(&fetched.body) {
        Ok(refused) => words(&refused.error),
        Err(_) => format!("HTTP {}", fetched.status.as_u16()),
    };
    Err(LoginError::NotRegistered {
        issuer,
        code,
        redirect,
    })
}

/// The same with what shows that it is the client; `None` if the config does not have it any more.
pub(super) fn proven(client: &GrantClient, configured: Option<&LoginClient>) -> Option<Client> {
    if !client.configured {
        let (secret, place) = (client.secret.as_ref(), client.place());
        return Some(Client::new_shared(&client.id, secret, place));
    }
    let known = configured.filter(|configured| configured.id == client.id)?;
    Some(Client::new_shared(
        &known.id,
        known.secret.as_ref(),
        known.place,
    ))
}

impl Registered {
    fn client(self) -> GrantClient {
        let method = self.token_endpoint_auth_method.as_deref();
        // RFC 7591 §2: without a word it is the header.
        let secret = self.client_secret.filter(|_| method != Some("none"));
        GrantClient {
            in_form: method == Some("client_secret_post"),
            secret: secret.map(isthmus_config::Secret::new),
            ..public(self.client_id)
        }
    }
}

const fn public(id: String) -> GrantClient {
    GrantClient {
        id,
        secret: None,
        in_form: false,
        configured: false,
    }
}

/// Where the document stands below a public URL.
const PLACE: &str = "/.well-known/isthmus-client";
/// Authorization servers take any port of it (RFC 8252 §7.3).
const LOOPBACK: &str = "http://127.0.0.1/callback";
/// What people read when they are asked for their consent.
const NAME: &str = "isthmus";
