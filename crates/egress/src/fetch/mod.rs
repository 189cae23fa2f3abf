//! Fetches documents that somebody else has named: metadata, key sets (S2).
//!
//! A URL that a peer names may point anywhere, also at what only this machine can reach. So each hop is looked at anew:
//! scheme, then every address that the name leads to, and the connection goes to one of the addresses that were looked
//! at, never to what the name means a moment later. Redirects are followed a few times, each as a URL that a peer has
//! named. Time and size are limited. Nothing is kept between two fetches: no connection, no cookie, no credential.

mod addresses;
mod error;
mod exchange;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use hyper_util::client::legacy::connect::dns::Name;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tower::Service;

pub use error::FetchError;

use crate::loopback::Resolver;
use crate::tls::{LazyTls, TlsSettings};

/// Fetches documents. Cloning is cheap.
#[derive(Clone)]
pub struct Fetcher {
    tls: Arc<LazyTls>,
    http1: Arc<OnceLock<Arc<ClientConfig>>>,
    lookup: Lookup,
    limits: FetchLimits,
}

/// How long, how much, how often.
#[derive(Debug, Clone)]
pub struct FetchLimits {
    /// From the look-up of the name to the end of the body, all redirects together.
    pub time: Duration,
    /// Longest body, in bytes.
    pub body: usize,
    /// Most redirects.
    pub redirects: usize,
}

/// Who has named a URL, and so what it may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The operator wrote it himself: any address is meant, and `http` will do for loopback.
    Operator,
    /// Somebody on the network did: `https` and public addresses only.
    Peer,
}

/// What came back.
#[derive(Clone)]
pub struct Fetched {
    /// Any status but a redirect that was followed.
    pub status: StatusCode,
    /// The headers of the last response.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            body: 1 << 20,
            redirects: 3,
        }
    }
}

impl Fetcher {
    /// A fetcher that trusts `extra_roots` beside those of the platform.
    #[must_use]
    pub fn new(extra_roots: Vec<CertificateDer<'static>>, limits: FetchLimits) -> Self {
        Self {
            tls: Arc::new(LazyTls::new(
                TlsSettings::default().with_extra_roots(extra_roots),
            )),
            http1: Arc::default(),
            lookup: Arc::new(by_system),
            limits,
        }
    }

    /// Gets the document at `url`.
    ///
    /// # Errors
    ///
    /// [`FetchError`]: the URL, or where a redirect leads, may not be fetched; or it cannot be, within the limits. A
    /// response of any status is not an error here.
    pub async fn get(
        &self,
        url: &Uri,
        named_by: NamedBy,
        accept: &'static str,
    ) -> Result<Fetched, FetchError> {
        let limit = self.limits.time;
        match tokio::time::timeout(limit, self.follow(url, named_by, accept)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TimedOut { limit }),
        }
    }

    /// Posts a form to `url`, with `authorization` if there is one, and takes JSON. A redirect is not followed: what the form
    /// says is for this place.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::get`]. A redirect is a response like any other.
    pub async fn post_form(
        &self,
        url: &Uri,
        named_by: NamedBy,
        form: Bytes,
        authorization: Option<HeaderValue>,
    ) -> Result<Fetched, FetchError> {
        self.post(url, named_by, FORM, form, authorization).await
    }

    /// Posts a JSON document to `url` and takes JSON. As [`Fetcher::post_form`] otherwise.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::post_form`].
    pub async fn post_json(
        &self,
        url: &Uri,
        named_by: NamedBy,
        document: Bytes,
    ) -> Result<Fetched, FetchError> {
        self.post(url, named_by, "application/json", document, None)
            .await
    }

    async fn post(
        &self,
        url: &Uri,
        named_by: NamedBy,
        kind: &'static str,
        body: Bytes,
        authorization: Option<HeaderValue>,
    ) -> Result<Fetched, FetchError> {
        let limit = self.limits.time;
        let ask = Ask::Post {
            kind,
            body,
            authorization,
        };
        match tokio::time::timeout(limit, self.hop(url, named_by, &ask)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TimedOut { limit }),
        }
    }

    async fn follow(
        &self,
        url: &Uri,
        mut named_by: NamedBy,
        accept: &'static str,
    ) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=self.limits.redirects {
            let fetched = self.hop(&url, named_by, &Ask::Get { accept }).await?;
            let Some(next) = redirect(&url, &fetched)? else {
                return Ok(fetched);
            };
            // What the operator wrote goes for the place that he wrote, not for where it sends us.
            if !same_origin(&url, &next) {
                named_by = NamedBy::Peer;
            }
            url = next;
        }
        Err(FetchError::TooManyRedirects {
            limit: self.limits.redirects,
        })
    }

    /// One request to one of the addresses that `url` may mean.
    async fn hop(&self, url: &Uri, named_by: NamedBy, ask: &Ask) -> Result<Fetched, FetchError> {
        let target = Target::of(url)?;
        if !target.secure && named_by == NamedBy::Peer {
            return Err(FetchError::NotHttps);
        }
        let found = match target.literal() {
            Some(ip) => vec![SocketAddr::new(ip, target.port)],
            None => (self.lookup)(target.host.clone(), target.port)
                .await
                .map_err(|source| FetchError::Lookup {
                    host: target.host.clone(),
                    source,
                })?,
        };
        let allowed = |address: &SocketAddr| match (named_by, target.secure) {
            (NamedBy::Peer, _) => addresses::is_public(address.ip()),
            (NamedBy::Operator, false) => address.ip().to_canonical().is_loopback(),
            (NamedBy::Operator, true) => true,
        };
        let addresses: Vec<SocketAddr> = found.into_iter().filter(allowed).collect();
        if addresses.is_empty() {
            return Err(match (named_by, target.secure) {
                (NamedBy::Operator, false) => FetchError::NotHttps,
                _ => FetchError::Forbidden { host: target.host },
            });
        }
        let tls = if target.secure {
            Some(self.client_config().await?)
        } else {
            None
        };
        exchange::run(url, &target, &addresses, tls, ask, self.limits.body).await
    }

    async fn client_config(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(made) = self.http1.get() {
            return Ok(Arc::clone(made));
        }
        let made = match self.tls.ready() {
            Some(made) => made,
            None => {
                let tls = Arc::clone(&self.tls);
                tokio::task::spawn_blocking(move || tls.make())
                    .await
                    .map_err(io::Error::other)
                    .map_err(FetchError::Connect)?
            }
        };
        let mut config = ClientConfig::clone(&*made.map_err(io::Error::other)?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.http1.get_or_init(|| Arc::new(config))))
    }
}

/// What is asked of a place.
enum Ask {
    /// A document of this type.
    Get { accept: &'static str },
    /// To take a document of this type.
    Post {
        kind: &'static str,
        body: Bytes,
        authorization: Option<HeaderValue>,
    },
}

/// Whom a URL means.
pub(crate) struct Target {
    pub(crate) secure: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    fn of(url: &Uri) -> Result<Self, FetchError> {
        let secure = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(FetchError::NotHttps),
        };
        let authority = url.authority().ok_or(FetchError::NoHost)?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(FetchError::NoHost);
        }
        let port = port(authority, secure).ok_or(FetchError::NoHost)?;
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
        })
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// The port; `None` if what stands there is none.
fn port(authority: &Authority, secure: bool) -> Option<u16> {
    match authority.port_u16() {
        Some(port) => Some(port),
        None if authority.as_str().len() > authority.host().len() => None,
        None if secure => Some(443),
        None => Some(80),
    }
}

/// Where a response sends us; `None` if it is the answer.
fn redirect(from: &Uri, response: &Fetched) -> Result<Option<Uri>, FetchError> {
    let is_redirect = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers.get(LOCATION).filter(|_| is_redirect) else {
        return Ok(None);
    };
    let location: Uri = location
        .to_str()
        .ok()
        // Two slashes begin a host, which `Uri` would take for a path.
        .filter(|location| !location.starts_with("//"))
        .and_then(|location| location.parse().ok())
        .ok_or(FetchError::BadRedirect)?;
    if location.scheme().is_some() {
        return Ok(Some(location));
    }
    if location.authority().is_some() || !location.path().starts_with('/') {
        return Err(FetchError::BadRedirect);
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = location.into_parts().path_and_query;
    Uri::from_parts(parts)
        .map(Some)
        .map_err(|_| FetchError::BadRedirect)
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    match (Target::of(a), Target::of(b)) {
        (Ok(a), Ok(b)) => {
            a.secure == b.secure && a.port == b.port && a.host.eq_ignore_ascii_case(&b.host)
        }
        _ => false,
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Lookup = Arc<dyn Fn(String, u16) -> Addresses + Send + Sync>;

fn by_system(host: String, port: u16) -> Addresses {
    Box::pin(async move {
        let name: Name = host.parse().map_err(io::Error::other)?;
        let found = Resolver::new().call(name).await?;
        Ok(found
            .map(|address| SocketAddr::new(address.ip(), port))
            .collect())
    })
}

/// What came back may hold a token.
impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("status", &self.status)
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
