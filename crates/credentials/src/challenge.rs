//! What a backend says about credentials when it refuses a request (RFC 6750 §3, RFC 9728 §5.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// What a backend says about credentials. Everything in it was written by a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Where its metadata is.
    pub(crate) resource_metadata: Option<String>,
    /// What a request takes.
    pub(crate) scopes: Vec<String>,
    /// What was wrong: `invalid_token`, `insufficient_scope`.
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// The first challenge for a bearer token; an empty one if there is none that can be read.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut challenges = texts
            .filter(|text| text.len() <= LONGEST)
            .filter_map(bearer);
        challenges.next().unwrap_or_default()
    }

    /// Whether it says that the token is fine and does not reach.
    pub(crate) fn is_about_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope") && !self.scopes.is_empty()
    }
}

/// The parameters of a `Bearer` challenge. Several challenges may stand in one header (RFC 9110 §11.6.1).
fn bearer(text: &str) -> Option<Challenge> {
    let mut rest = text;
    loop {
        let (scheme, parameters) = rest
            .trim_start()
            .split_once(' ')
            .unwrap_or((rest.trim(), ""));
        let (challenge, next) = parameters_of(parameters);
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(challenge);
        }
        rest = next.filter(|next| next.len() < rest.len())?;
    }
}

/// Reads `name=value` pairs up to the next scheme, and says where that begins.
fn parameters_of(text: &str) -> (Challenge, Option<&str>) {
    let mut challenge = Challenge::default();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (challenge, None);
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            // No value: the name of the next scheme.
            return (challenge, (!name.is_empty()).then_some(rest));
        };
        let (value, after) = value_of(value.trim_start());
        rest = after;
        match name.to_ascii_lowercase().as_str() {
            "resource_metadata" => challenge.resource_metadata = Some(value),
            "scope" => {
                let scopes = value.split(' ').filter(|scope| is_scope(scope));
                challenge.scopes = scopes.take(MOST_SCOPES).map(str::to_owned).collect();
            }
            "error" => challenge.error = Some(value),
            _ => {}
        }
    }
}

/// A token or a quoted text, and what follows.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// RFC 6749 §3.3.
pub(crate) fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// A longer header says nothing to us.
const LONGEST: usize = 8 * 1024;
/// Scopes that are taken from one challenge.
const MOST_SCOPES: usize = 64;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(header: &str, metadata: Option<&str>, scopes: &[&str], error: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(header).unwrap());
        let challenge = Challenge::of(&headers);
        assert_eq!(challenge.resource_metadata.as_deref(), metadata, "{header}");
        assert_eq!(challenge.scopes, scopes, "{header}");
        assert_eq!(challenge.error.as_deref(), error, "{header}");
    }

    #[test]
    fn a_bearer_challenge_is_found_among_others() {
        check("Bearer", None, &[], None);
        check(
            r#"Bearer resource_metadata="https://a/b", scope="x y""#,
            Some("https://a/b"),
            &["x", "y"],
            None,
        );
        check(
            r#"bearer error=insufficient_scope,scope=x"#,
            None,
            &["x"],
            Some("insufficient_scope"),
        );
        check(
            r#"Basic realm="a, \"Bearer\" b", Bearer scope = "x""#,
            None,
            &["x"],
            None,
        );
        check(r#"Digest a=b, Basic realm=x"#, None, &[], None);
        check(r#"Negotiate, Bearer error="a\"b""#, None, &[], Some("a\"b"));
    }

    #[test]
    fn whatever_a_peer_writes_is_read_in_one_go() {
        for header in [
            "",
            "\"",
            "Bearer scope=\"",
            "=,=,=",
            "a b c d",
            "Bearer ,,,=",
            "é=1",
        ] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(header) {
                headers.insert(WWW_AUTHENTICATE, value);
            }
            let _ = Challenge::of(&headers);
        }
    }
}
