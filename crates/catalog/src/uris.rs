//! The prefixed form of a URI, and back.
//!
//! Any URI (or template) of a backend can also be written with the backend in front, so that it can be read whatever
//! the lists show. `{backend}+{uri}` is a valid scheme prefix (RFC 3986), literal also in a template; `ui://` must stay
//! `ui://` (MCP Apps), so the backend becomes its first segment.

use std::borrow::Cow;

use isthmus_exchange::BackendName;

/// `{backend}+{uri}`, or `ui://{backend}/…` for a URI that starts with `ui://`.
#[must_use]
pub fn prefixed_uri(backend: &BackendName, uri: &str) -> String {
    match uri.strip_prefix(UI) {
        Some(rest) => format!("{UI}{backend}/{rest}"),
        None => format!("{backend}+{uri}"),
    }
}

/// The backend's name and the native URI, if `uri` has the form that [`prefixed_uri`] gives. Whether there is such a
/// backend is for the caller to say.
#[must_use]
pub fn split_prefixed_uri(uri: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some(rest) = uri.strip_prefix(UI) {
        let (backend, rest) = rest.split_once('/')?;
        return is_backend_name(backend).then(|| (backend, format!("{UI}{rest}").into()));
    }
    let (backend, native) = uri.split_once('+')?;
    (is_backend_name(backend) && !native.is_empty()).then_some((backend, native.into()))
}

fn is_backend_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

const UI: &str = "ui://";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_is_a_scheme_or_for_apps_a_segment() {
        let check = |native: &str, expected: &str| {
            let backend = BackendName::parse("files").unwrap();
            let prefixed = prefixed_uri(&backend, native);
            assert_eq!(prefixed, expected);
            assert_eq!(
                split_prefixed_uri(&prefixed),
                Some(("files", native.into()))
            );
        };
        check("file:///a", "files+file:///a");
        check("git+https://x", "files+git+https://x");
        check("test://{+path}", "files+test://{+path}");
        check("ui://app/page?x=1", "ui://files/app/page?x=1");
        check("ui://", "ui://files/");
        check("no scheme at all", "files+no scheme at all");
    }

    #[test]
    fn other_uris_are_not_taken_apart() {
        for uri in [
            "file:///a+b",
            "ui://app",
            "ui://App/x",
            "Files+x:y",
            "a_b+x:y",
            "files+",
            "+x:y",
            "",
        ] {
            assert_eq!(split_prefixed_uri(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_prefixed_uri_gives_back_what_went_in(backend in "[a-z][a-z0-9-]{0,31}", native in "(ui://)?\\PC{1,40}") {
            let backend = BackendName::parse(&backend).unwrap();
            let prefixed = prefixed_uri(&backend, &native);
            prop_assert_eq!(split_prefixed_uri(&prefixed), Some((backend.as_str(), native.as_str().into())));
        }
    }
}
