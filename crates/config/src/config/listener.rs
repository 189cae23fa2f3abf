//! Where clients are accepted.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{ListenerTls, Location, Network, PublicUrl, Route};

/// Where clients are accepted.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The key in the document.
    pub name: String,
    /// Where to bind. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// What the `Host` header may name, defaults included.
    pub allowed_hosts: Vec<HostPattern>,
    /// From which origins browsers may call, defaults included; also the origins that CORS answers.
    pub allowed_origins: Vec<OriginPattern>,
    /// By which URL clients know it; routes stand below.
    pub public_url: Option<PublicUrl>,
    /// How it speaks TLS; `None`: it does not.
    pub tls: Option<ListenerTls>,
    /// Proxies that are believed when they say who is asking.
    pub trusted_proxies: Vec<Network>,
    /// Whether the operator accepts that everybody who reaches the listener may call the routes that ask nobody who they
    /// are.
    pub allow_unauthenticated: bool,
    /// Where it was written, for messages. Does not count in equality.
    pub location: Option<Location>,
}

/// What a `Host` header may say: a host with any port, a host with one port, or anything (`*`).
#[derive(Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Option<String>,
    port: Option<u16>,
}

/// What an `Origin` header may say: scheme, host and a port or any port (`http://localhost:*`), or anything (`*`).
#[derive(Clone, PartialEq, Eq)]
pub struct OriginPattern(Option<OriginParts>);

#[derive(Clone, PartialEq, Eq)]
struct OriginParts {
    scheme: String,
    host: HostPattern,
}

impl Listener {
    /// A listener with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, address: SocketAddr) -> Self {
        let mut allowed_hosts: Vec<_> = LOOPBACK_HOSTS
            .into_iter()
            .filter_map(HostPattern::parse)
            .collect();
        let ip = address.ip().to_canonical();
        if !ip.is_loopback() && !ip.is_unspecified() {
            allowed_hosts.extend(HostPattern::parse(&literal(ip)));
        }
        let allowed_origins = if ip.is_loopback() {
            LOOPBACK_HOSTS
                .into_iter()
                .flat_map(|host| [format!("http://{host}:*"), format!("https://{host}:*")])
                .filter_map(|origin| OriginPattern::parse(&origin))
                .collect()
        } else {
            Vec::new()
        };
        Self {
            name: name.into(),
            address,
            allowed_hosts,
            allowed_origins,
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            allow_unauthenticated: false,
            location: None,
        }
    }

    /// Whether others than this machine reach `route` here: the address is not on loopback, or a public URL says that
    /// something passes requests on to it from elsewhere.
    #[must_use]
    pub fn lets_others_reach(&self, route: &Route) -> bool {
        !self.address.ip().to_canonical().is_loopback()
            || self.url_of(route).is_some_and(|url| !url.is_local())
    }

    /// By which URL clients know `route` when they reach it here.
    #[must_use]
    pub fn url_of(&self, route: &Route) -> Option<PublicUrl> {
        let below = || Some(self.public_url.as_ref()?.join(&route.path));
        route.public_url.clone().or_else(below)
    }

    /// Whether a request with this `Host` header (or HTTP/2 authority) may be answered.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        self.allowed_hosts
            .iter()
            .any(|pattern| pattern.matches(host))
    }

    /// Whether a browser may call from this `Origin`. `null` and malformed origins only by `*`.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins
            .iter()
            .any(|pattern| pattern.matches(origin))
    }
}

impl PartialEq for Listener {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a field added later cannot be forgotten here.
        let Self {
            name,
            address,
            allowed_hosts,
            allowed_origins,
            public_url,
            tls,
            trusted_proxies,
            allow_unauthenticated,
            location: _,
        } = self;
        *name == other.name
            && *address == other.address
            && *allowed_hosts == other.allowed_hosts
            && *allowed_origins == other.allowed_origins
            && *public_url == other.public_url
            && *tls == other.tls
            && *trusted_proxies == other.trusted_proxies
            && *allow_unauthenticated == other.allow_unauthenticated
    }
}

impl HostPattern {
    /// Reads `*`, `host`, `host:port` or `host:*`; an IPv6 address stands in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self {
                host: None,
                port: None,
            });
        }
        let (host, port) = split_port(text.strip_suffix(":*").unwrap_or(text))?;
        Some(Self {
            host: Some(host),
            port,
        })
    }

    /// Whether a `Host` header fits. Letters are compared without case (RFC 9110 §4.2.3).
    #[must_use]
    pub fn matches(&self, header: &str) -> bool {
        let Some(wanted) = &self.host else {
            return true;
        };
        split_port(header).is_some_and(|(host, port)| {
            host == *wanted && (self.port.is_none() || self.port == port)
        })
    }
}

impl OriginPattern {
    /// Reads `*`, `scheme://host`, `scheme://host:port` or `scheme://host:*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self(None));
        }
        let (scheme, rest) = split_scheme(text)?;
        let any_port = rest.ends_with(":*");
        let mut host = HostPattern::parse(rest)?;
        host.host.as_ref()?;
        if !any_port && host.port.is_none() {
            host.port = Some(default_port(&scheme)?);
        }
        Some(Self(Some(OriginParts { scheme, host })))
    }

    /// Whether an `Origin` header fits.
    #[must_use]
    pub fn matches(&self, header: &str) -> bool {
        let Some(wanted) = &self.0 else {
            return true;
        };
        let Some((scheme, rest)) = split_scheme(header) else {
            return false;
        };
        let Some((host, port)) = split_port(rest) else {
            return false;
        };
        let port = port.or_else(|| default_port(&scheme));
        scheme == wanted.scheme
            && wanted.host.host.as_deref() == Some(host.as_str())
            && (wanted.host.port.is_none() || wanted.host.port == port)
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; lower case.
fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    let end_of_host = match text.find(']') {
        Some(bracket) if text.starts_with('[') => bracket + 1,
        Some(_) => return None,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end_of_host);
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    let plausible = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/\\?#@*,".contains(&byte));
    plausible.then(|| (host.to_ascii_lowercase(), port))
}

fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let plausible = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !scheme.is_empty();
    plausible.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_deref().unwrap_or("*"))?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("*"),
            Some(parts) if parts.host.port.is_none() => {
                write!(f, "{}://{}:*", parts.scheme, parts.host)
            }
            Some(parts) => write!(f, "{}://{}", parts.scheme, parts.host),
        }
    }
}

/// The names under which a loopback listener is reached.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_answers_to_its_names_with_any_port_and_to_no_other() {
        let listener = Listener::new("main", "127.0.0.1:8080".parse().unwrap());
        for good in ["localhost", "LocalHost:1", "127.0.0.1:8080", "[::1]:80"] {
            assert!(listener.allows_host(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:x",
            "localhost:",
            "localhost:1:2",
            "user@localhost",
            "[::1",
        ] {
            assert!(!listener.allows_host(bad), "{bad}");
        }
        let mut route = Route::new("/mcp");
        assert!(!listener.lets_others_reach(&route));
        let world = Listener::new("main", "0.0.0.0:80".parse().unwrap());
        assert!(world.lets_others_reach(&route));
        route.public_url = PublicUrl::parse("https://mcp.example/mcp").ok();
        assert!(listener.lets_others_reach(&route));
    }

    #[test]
    fn a_loopback_listener_takes_loopback_origins_only() {
        let listener = Listener::new("main", "127.0.0.1:8080".parse().unwrap());
        for good in [
            "http://localhost:6274",
            "http://127.0.0.1",
            "http://[::1]:1",
        ] {
            assert!(listener.allows_origin(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost:1/x",
            "localhost",
        ] {
            assert!(!listener.allows_origin(bad), "{bad}");
        }
    }

    #[test]
    fn an_origin_without_a_port_means_the_port_of_its_scheme() {
        let pattern = OriginPattern::parse("https://app.example").unwrap();
        assert!(pattern.matches("https://app.example"));
        assert!(pattern.matches("https://APP.example:443"));
        assert!(!pattern.matches("https://app.example:8443"));
        assert!(!pattern.matches("http://app.example"));
        assert_eq!(OriginPattern::parse("app.example"), None);
        assert_eq!(OriginPattern::parse("https://*"), None);
    }
}
