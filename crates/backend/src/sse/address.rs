//! The address to post to, which the backend names in its `endpoint` event.

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

/// Why an address is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    /// It cannot be read as a URI reference.
    #[error("`{0}` is no address")]
    Unreadable(String),
    /// It leads to another server, which has no business with our credentials (LC-8).
    #[error("`{0}` leads to another origin")]
    OtherOrigin(String),
}

/// Resolves `reference` against the URL of the stream (RFC 3986 §5.2); the origin must stay the same.
pub(super) fn resolve(base: &Uri, reference: &str) -> Result<Uri, AddressError> {
    let reference = reference.trim();
    let unreadable = || AddressError::Unreadable(reference.chars().take(200).collect());
    let without_fragment = reference.split('#').next().unwrap_or_default();
    let (scheme, authority, rest) = split(without_fragment);
    let scheme: Option<Scheme> = scheme
        .map(str::parse)
        .transpose()
        .map_err(|_| unreadable())?;
    let authority: Option<Authority> = authority
        .map(str::parse)
        .transpose()
        .map_err(|_| unreadable())?;
    if scheme.is_some() && authority.is_none() {
        return Err(unreadable());
    }
    let path = if authority.is_some() && !rest.starts_with('/') {
        format!("/{rest}")
    } else {
        merged_path(base, rest)
    };
    let mut parts = Parts::default();
    parts.scheme = scheme.or_else(|| base.scheme().cloned());
    parts.authority = authority.or_else(|| base.authority().cloned());
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| unreadable())?);
    let resolved = Uri::from_parts(parts).map_err(|_| unreadable())?;
    if origin(&resolved) == origin(base) {
        Ok(resolved)
    } else {
        Err(AddressError::OtherOrigin(
            reference.chars().take(200).collect(),
        ))
    }
}

/// Scheme, authority and the rest of a reference.
fn split(reference: &str) -> (Option<&str>, Option<&str>, &str) {
    let (scheme, after_scheme) = match reference.split_once("://") {
        // A colon and slashes may also stand in a query.
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (Some(scheme), &reference[scheme.len() + 1..])
        }
        _ => (None, reference),
    };
    let Some(after_slashes) = after_scheme.strip_prefix("//") else {
        return (scheme, None, after_scheme);
    };
    let end = after_slashes
        .find(['/', '?'])
        .unwrap_or(after_slashes.len());
    (scheme, Some(&after_slashes[..end]), &after_slashes[end..])
}

fn merged_path(base: &Uri, reference: &str) -> String {
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let merged = if path.is_empty() {
        base.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        without_dots(&format!("{directory}/{path}"))
    };
    match query {
        Some(query) => format!("{merged}?{query}"),
        None => merged,
    }
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default = match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme_str(), host, uri.port_u16().or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &str, expected: &str) {
        let base = Uri::from_static("http://Host.example/a/sse?x=1");
        assert_eq!(
            resolve(&base, reference).unwrap().to_string(),
            expected,
            "{reference}"
        );
    }

    #[test]
    fn a_reference_is_resolved_against_the_stream() {
        check(
            "/messages/?session_id=1",
            "http://Host.example/messages/?session_id=1",
        );
        check(
            "messages?u=http://z",
            "http://Host.example/a/messages?u=http://z",
        );
        check("./m", "http://Host.example/a/m");
        check("../m/./n/..", "http://Host.example/m/");
        check("?s=1", "http://Host.example/a/sse?s=1");
        check("http://host.example:80/m", "http://host.example:80/m");
        check("//host.example/m", "http://host.example/m");
        check("http://host.example?s=1", "http://host.example/?s=1");
        check(" /m#part ", "http://Host.example/m");
    }

    #[test]
    fn another_origin_is_refused() {
        let base = Uri::from_static("http://host.example/sse");
        for reference in [
            "http://other.example/m",
            "https://host.example/m",
            "http://host.example:8080/m",
            "//other.example/m",
            "http://host.example@other.example/m",
        ] {
            assert!(
                matches!(resolve(&base, reference), Err(AddressError::OtherOrigin(_))),
                "{reference}"
            );
        }
        for reference in ["http:m", "ht tp://x/", "/a b"] {
            let resolved = resolve(&base, reference);
            assert!(
                resolved
                    .as_ref()
                    .is_ok_and(|uri| uri.host() == Some("host.example"))
                    || resolved.is_err(),
                "{reference}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_stays_at_the_origin(reference in "[a-z:/?#@.\\[\\]0-9 %\u{e9}-]{0,24}") {
            let base = Uri::from_static("https://host.example:8443/a/sse");
            if let Ok(resolved) = resolve(&base, &reference) {
                proptest::prop_assert_eq!(origin(&resolved), origin(&base));
            }
        }
    }
}
