//! The URL by which clients know a listener or a route.

use std::fmt;

use http::Uri;

/// An absolute `https` URL (or `http` on loopback) without query, fragment, or a slash at its end: what clients call, and
/// the name under which a route is a protected resource (RFC 8707, RFC 9728).
///
/// It comes from the config, never from a `Host` header, which the caller chooses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicUrl {
    origin: String,
    path: String,
}

impl PublicUrl {
    /// Reads an absolute URL. Scheme and host become lower case, a port that is the scheme's own is left out, and so are
    /// slashes at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const NOT_A_URL: &str = "not an absolute URL such as `https://mcp.example`";
        if text.contains(['#', '?']) {
            return Err("a public URL has neither a query nor a fragment");
        }
        let uri: Uri = text.parse().map_err(|_| NOT_A_URL)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(NOT_A_URL);
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(NOT_A_URL);
        }
        let host = authority.host().to_ascii_lowercase();
        let own_port = match scheme {
            "https" => 443,
            "http" if is_loopback(&host) => 80,
            "http" => return Err("a public URL is `https`; `http` only on this machine"),
            _ => return Err(NOT_A_URL),
        };
        let port = match (authority.as_str().len() > host.len(), authority.port_u16()) {
            (false, _) => None,
            (true, Some(port)) => Some(port).filter(|port| *port != own_port),
            (true, None) => return Err(NOT_A_URL),
        };
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self {
            origin: format!("{scheme}://{host}{port}"),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The URL of something at `path`, which begins with a slash, below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        Self {
            origin: self.origin.clone(),
            path: format!("{}{}", self.path, path.trim_end_matches('/')),
        }
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host, and port unless it is the scheme's own: what a `Host` header says.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.origin
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    /// The path: empty, or beginning with a slash and not ending with one.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether only this machine can be meant.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let authority: Option<http::uri::Authority> = self.authority().parse().ok();
        authority.is_some_and(|authority| is_loopback(authority.host()))
    }
}

fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || literal
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_one_spelling() {
        for (text, expected) in [
            ("https://mcp.example", "https://mcp.example"),
            ("https://MCP.example:443/", "https://mcp.example"),
            ("https://mcp.example:8443/a/", "https://mcp.example:8443/a"),
            ("http://localhost:8080/mcp", "http://localhost:8080/mcp"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "mcp.example",
            "/mcp",
            "http://mcp.example",
            "ftp://mcp.example",
            "https://mcp.example?x=1",
            "https://mcp.example/#x",
            "https://user@mcp.example",
            "https://mcp.example:x",
            "https://",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_stands_below_its_listener() {
        let listener = PublicUrl::parse("https://example.org/gateway").unwrap();
        assert_eq!(
            listener.join("/mcp").to_string(),
            "https://example.org/gateway/mcp"
        );
        assert_eq!(
            listener.join("/").to_string(),
            "https://example.org/gateway"
        );
        assert_eq!(listener.authority(), "example.org");
        assert!(!listener.is_local());
        assert!(PublicUrl::parse("http://[::1]:1").unwrap().is_local());
    }
}
