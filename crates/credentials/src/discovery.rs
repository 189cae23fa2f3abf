//! Which authorization server gives tokens for a backend, and what it can do (RFC 9728, RFC 8414, digest §4B).
//!
//! A backend's metadata counts only if it is about that very backend, and a server's only if it names that very issuer.
//! Where the operator has named the server, the backend may confirm or contradict, never choose another one.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use isthmus_config::{AuthorizationServer, PublicUrl};
use isthmus_egress::{FetchError, Fetched, Fetcher, NamedBy};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::challenge::{Challenge, is_scope};
use crate::resource::{canonical, is_same, origin};
use crate::trouble::Trouble;

/// Finds out, and remembers for a while.
#[derive(Debug)]
pub(crate) struct Discovery {
    fetcher: Fetcher,
    server: AuthorizationServer,
    /// Where the backend is.
    url: Uri,
    /// What it is called.
    resource: String,
    /// The operator has named the resource: nothing else will do.
    resource_named: bool,
    found: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    found: Arc<Found>,
    since: Instant,
    /// Which metadata led here.
    metadata: Option<String>,
}

/// Where tokens come from.
#[derive(Debug)]
pub(crate) struct Found {
    /// What tokens are to be made for.
    pub(crate) resource: String,
    /// What the backend says that it takes; empty if it says nothing.
    pub(crate) scopes: Vec<String>,
    /// Where to ask.
    pub(crate) token_endpoint: Uri,
    /// Who has named that place.
    pub(crate) named_by: NamedBy,
    /// The server's issuer, if anybody knows.
    pub(crate) issuer: Option<String>,
    /// How clients may show who they are; `None` if nobody says.
    pub(crate) auth_methods: Option<Vec<String>>,
    /// What the server says of itself, and who has named the server; `None` if nothing was discovered.
    pub(crate) server: Option<(ServerMetadata, NamedBy)>,
}

/// What a backend says of itself (RFC 9728 §2).
#[derive(Debug, Deserialize)]
pub(crate) struct ResourceMetadata {
    pub(crate) resource: String,
    #[serde(default)]
    pub(crate) authorization_servers: Vec<String>,
    #[serde(default)]
    pub(crate) scopes_supported: Vec<String>,
}

/// What an authorization server says of itself (RFC 8414 §2), as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServerMetadata {
    pub(crate) issuer: String,
    pub(crate) token_endpoint: String,
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) registration_endpoint: Option<String>,
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) scopes_supported: Vec<String>,
    /// RFC 9207 §3.
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
    /// SEP-991.
    #[serde(default)]
    pub(crate) client_id_metadata_document_supported: bool,
}

impl Discovery {
    pub(crate) fn new(
        fetcher: Fetcher,
        server: AuthorizationServer,
        url: Uri,
        resource: String,
        resource_named: bool,
    ) -> Self {
        Self {
            fetcher,
            server,
            url,
            resource,
            resource_named,
            found: Mutex::default(),
        }
    }

    /// Where tokens come from. `metadata` is where the backend says that its own is, if it has said so.
    pub(crate) async fn find(&self, metadata: Option<&str>) -> Result<Arc<Found>, Trouble> {
        let mut known = self.found.lock().await;
        if let Some(known) = &*known
            && known.since.elapsed() < REMEMBERED
            && (metadata.is_none() || known.metadata.as_deref() == metadata)
        {
            return Ok(known.found.clone());
        }
        let found = Arc::new(self.look(metadata).await?);
        *known = Some(Known {
            found: found.clone(),
            since: Instant::now(),
            metadata: metadata.map(str::to_owned),
        });
        Ok(found)
    }

    /// Looks again the next time: something is not as it was.
    pub(crate) async fn forget(&self) {
        *self.found.lock().await = None;
    }

    async fn look(&self, metadata: Option<&str>) -> Result<Found, Trouble> {
        if let AuthorizationServer::TokenEndpoint(endpoint) = &self.server {
            return Ok(Found {
                resource: self.resource.clone(),
                scopes: Vec::new(),
                token_endpoint: endpoint.value.clone(),
                named_by: NamedBy::Operator,
                issuer: None,
                auth_methods: None,
                server: None,
            });
        }
        let mut resource = self.resource_metadata(metadata).await?;
        let left_to_backend = matches!(self.server, AuthorizationServer::NamedByBackend);
        if resource.is_none()
            && left_to_backend
            && let Some(place) = self.ask_backend().await
        {
            resource = self.resource_metadata(Some(&place)).await?;
        }
        let (issuer, named_by) = match (&self.server, &resource) {
            (AuthorizationServer::Issuer(issuer), resource) => {
                let trusts = |found: &ResourceMetadata| {
                    let servers = &found.authorization_servers;
                    servers.is_empty() || servers.contains(&issuer.value)
                };
                if !resource.as_ref().is_none_or(trusts) {
                    let issuer = issuer.value.clone();
                    return Err(Trouble::OtherServers { issuer });
                }
                (issuer.value.clone(), NamedBy::Operator)
            }
            (_, Some(found)) => {
                let first = found.authorization_servers.first();
                let issuer = first.ok_or(Trouble::NoServer)?.clone();
                let named_by = self.named_by(&issuer);
                (issuer, named_by)
            }
            // Until 2025-03-26 a backend's own origin was its authorization server (digest §4B).
            (_, None) => {
                let issuer = origin(&self.url);
                let found = server_metadata(&self.fetcher, &issuer, NamedBy::Operator).await;
                found.map_err(|_| Trouble::NoServer)?;
                (issuer, NamedBy::Operator)
            }
        };
        let server = server_metadata(&self.fetcher, &issuer, named_by).await?;
        let server_named_by = named_by;
        let (token_endpoint, named_by) = endpoint(&server, &server.token_endpoint, named_by)?;
        let (name, scopes) = match resource {
            Some(found) => (found.resource, found.scopes_supported),
            None => (self.resource.clone(), Vec::new()),
        };
        Ok(Found {
            resource: if self.resource_named {
                self.resource.clone()
            } else {
                name
            },
            scopes: scopes.into_iter().filter(|scope| is_scope(scope)).collect(),
            token_endpoint,
            named_by,
            issuer: Some(issuer),
            auth_methods: server.token_endpoint_auth_methods_supported.clone(),
            server: Some((server, server_named_by)),
        })
    }

    /// What the backend says of itself: where it said that this is, else at the path form, else at the root form.
    async fn resource_metadata(
        &self,
        named: Option<&str>,
    ) -> Result<Option<ResourceMetadata>, Trouble> {
        let origin = origin(&self.url);
        let path = self.url.path().trim_end_matches('/');
        let root = format!("{origin}{WELL_KNOWN}");
        let mut places: Vec<String> = named.map(str::to_owned).into_iter().collect();
        places.push(format!("{root}{path}"));
        places.push(root.clone());
        places.dedup();
        for place in places {
            let named_by = self.named_by(&place);
            let Some(found) = self.metadata_at(&place, named_by).await else {
                continue;
            };
            // Who serves the root speaks for the whole origin; anybody else for one resource only.
            let about_origin = place == root && is_same(&found.resource, &origin);
            let about_backend = is_same(&found.resource, &self.resource)
                || (!self.resource_named && is_same(&found.resource, &canonical(&self.url)));
            if about_backend || (about_origin && !self.resource_named) {
                return Ok(Some(found));
            }
            let expected = self.resource.clone();
            return Err(Trouble::OtherResource { expected });
        }
        Ok(None)
    }

    /// Where the backend says that its metadata is, to whoever asks without a credential.
    async fn ask_backend(&self) -> Option<String> {
        let asked = self.get(&self.url, NamedBy::Operator).await.ok()?;
        Challenge::of(&asked.headers).resource_metadata
    }

    /// A backend may take its time, or send an event stream without end, to whoever gets anything from it.
    async fn get(&self, url: &Uri, named_by: NamedBy) -> Result<Fetched, FetchError> {
        let getting = self.fetcher.get(url, named_by, "application/json");
        tokio::time::timeout(PATIENCE, getting)
            .await
            .unwrap_or(Err(FetchError::TimedOut { limit: PATIENCE }))
    }

    async fn metadata_at(&self, place: &str, named_by: NamedBy) -> Option<ResourceMetadata> {
        let url: Uri = place.parse().ok()?;
        match self.get(&url, named_by).await {
            Ok(fetched) if fetched.status.is_success() => {
                serde_json::from_slice(&fetched.body).ok()
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(place = shown(place), %error, "a backend's metadata cannot be fetched");
                None
            }
        }
    }

    /// The operator has named the backend's origin; everything else a peer has named.
    fn named_by(&self, place: &str) -> NamedBy {
        match place.parse::<Uri>() {
            Ok(url) if origin(&url) == origin(&self.url) => NamedBy::Operator,
            _ => NamedBy::Peer,
        }
    }
}

/// What the authorization server `issuer` says of itself: at the well-known places, in the order in which MCP asks for them
/// (26:basic/authorization). A document that names another issuer is not believed (RFC 8414 §3.3).
pub(crate) async fn server_metadata(
    fetcher: &Fetcher,
    issuer: &str,
    named_by: NamedBy,
) -> Result<ServerMetadata, Trouble> {
    const WHAT: &str = "the metadata of its authorization server";
    let mut last = Trouble::NoServer;
    for place in places(issuer).ok_or(Trouble::NoServer)? {
        let url: Uri = place.parse().map_err(|_| Trouble::NoServer)?;
        match fetcher.get(&url, named_by, "application/json").await {
            Ok(fetched) => match read(&fetched) {
                Some(found) if found.issuer == issuer => return Ok(found),
                Some(_) => {
                    let issuer = issuer.to_owned();
                    last = Trouble::OtherIssuer { issuer };
                }
                // That another document is another issuer's is worth more than that one is not there.
                None if matches!(last, Trouble::OtherIssuer { .. }) => {}
                None => {
                    let status = fetched.status;
                    last = Trouble::Unreadable { what: WHAT, status };
                }
            },
            Err(source) => last = Trouble::Fetch { what: WHAT, source },
        }
    }
    Err(last)
}

fn read(fetched: &Fetched) -> Option<ServerMetadata> {
    let found = fetched.status.is_success();
    found
        .then(|| serde_json::from_slice(&fetched.body).ok())
        .flatten()
}

/// A place that a server's metadata names, and who has named it: whoever named the server vouches for its origin only.
pub(crate) fn endpoint(
    server: &ServerMetadata,
    place: &str,
    named_by: NamedBy,
) -> Result<(Uri, NamedBy), Trouble> {
    let url: Uri = place.parse().map_err(|_| Trouble::NoServer)?;
    let issuer: Uri = server.issuer.parse().map_err(|_| Trouble::NoServer)?;
    let same = origin(&url) == origin(&issuer);
    Ok((url, if same { named_by } else { NamedBy::Peer }))
}

fn places(issuer: &str) -> Option<Vec<String>> {
    let url = PublicUrl::parse(issuer).ok()?;
    let (origin, path) = (url.origin(), url.path());
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    Some(places)
}

/// As much of a peer's text as may stand in a log.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// How long a backend may take to say something about itself.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long is remembered what was found.
const REMEMBERED: Duration = Duration::from_secs(3600);
