//! URLs and headers.

use ::http::{HeaderName, HeaderValue, Uri};

use super::Resolver;
use crate::config::{Located, Secret};
use crate::document;
use crate::yaml::{Entries, Spanned};

impl Resolver<'_> {
    /// Reads an endpoint. Complains without repeating it: URLs often hold keys.
    pub(super) fn url(&mut self, written: &Spanned<String>, path: &str) -> Option<Located<Uri>> {
        match url(written) {
            Ok(uri) => Some(Located::new(uri, self.complaints.location(written.mark))),
            Err((message, help)) => {
                self.complaints
                    .add_with_help(written.mark, path, message, help);
                None
            }
        }
    }

    pub(super) fn headers(
        &mut self,
        written: Option<Entries<Spanned<document::Secret>>>,
        path: &str,
    ) -> Vec<(HeaderName, Secret)> {
        let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
        for (name, value) in written.map(|entries| entries.0).unwrap_or_default() {
            let path = format!("{path}.headers.{}", name.value);
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                let message = "not the name of a header";
                self.complaints.add(name.mark, path, message);
                continue;
            };
            if OURS.contains(&header.as_str()) {
                let message = "the gateway sets this header itself";
                self.complaints.add(name.mark, path.as_str(), message);
            }
            if headers.iter().any(|(known, _)| *known == header) {
                let message = "this header is already set: case does not count in their names";
                self.complaints.add(name.mark, path.as_str(), message);
            }
            self.not_forwarded(&value, &path);
            let Some(secret) = self.secret(&value, &path) else {
                continue;
            };
            if HeaderValue::from_str(secret.expose()).is_err() {
                let message = "a header cannot hold this value: visible ASCII and spaces only";
                self.complaints.add(value.mark, path, message);
            }
            headers.push((header, secret));
        }
        headers
    }
}

fn url(text: &str) -> Result<Uri, (&'static str, &'static str)> {
    const EXAMPLE: &str = "write it as `https://mcp.example/mcp`";
    if text.contains('#') {
        return Err(("a URL with a fragment (`#…`), which is never sent", EXAMPLE));
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return Err(("not a URL", EXAMPLE));
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(("not an absolute URL", EXAMPLE));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(("neither `http` nor `https`", EXAMPLE));
    }
    if authority.as_str().contains('@') {
        return Err((
            "a URL with a user or password in it",
            "send them as a header: `headers: {Authorization: {env: NAME}}`",
        ));
    }
    if authority.host().is_empty()
        || (authority.as_str() != authority.host() && authority.port_u16().is_none())
    {
        return Err(("a URL without a proper host and port", EXAMPLE));
    }
    Ok(uri)
}

/// Headers that belong to the connection or to MCP's transport.
pub(super) const OURS: [&str; 19] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_url_without_secrets_of_its_own() {
        for good in [
            "http://127.0.0.1:1/mcp",
            "https://mcp.example",
            "https://mcp.example/mcp?tenant=a",
            "http://[::1]:8080/",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mcp.example",
            "mcp.example/mcp",
            "/mcp",
            "ftp://mcp.example",
            "https://user:password@mcp.example",
            "https://mcp.example/#x",
            "https://mcp.example:99999/",
            "https:///mcp",
            "https://a b/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
