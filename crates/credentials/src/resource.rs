//! What a backend is called at authorization servers (RFC 8707, 26:basic/authorization).

use http::Uri;

/// The canonical form of a URL: scheme and host in lower case, without the scheme's own port, query, fragment, and a slash at
/// its end.
pub(crate) fn canonical(url: &Uri) -> String {
    format!("{}{}", origin(url), url.path().trim_end_matches('/'))
}

/// Scheme, host and port.
pub(crate) fn origin(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("https").to_ascii_lowercase();
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    let own = if scheme == "http" { 80 } else { 443 };
    match url.port_u16().filter(|port| *port != own) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Whether two texts are the same URL, letter case of scheme and host and a slash at the end apart.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    match (a.parse::<Uri>(), b.parse::<Uri>()) {
        (Ok(a), Ok(b)) if a.host().is_some() && b.host().is_some() => {
            canonical(&a) == canonical(&b) && a.query() == b.query()
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_has_nothing_that_does_not_tell_resources_apart() {
        let check =
            |url: &str, expected: &str| assert_eq!(canonical(&url.parse().unwrap()), expected);
        check("HTTPS://MCP.Example:443/Mcp/", "https://mcp.example/Mcp");
        check("http://127.0.0.1:8080/", "http://127.0.0.1:8080");
        check("https://mcp.example/a?tenant=1", "https://mcp.example/a");
        assert!(is_same("https://A.example/x/", "https://a.example/x"));
        assert!(!is_same("https://a.example/x", "https://a.example/X"));
        assert!(!is_same("https://a.example/x?y", "https://a.example/x"));
    }
}
