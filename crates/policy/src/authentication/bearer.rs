//! Bearer credentials in the `Authorization` header (RFC 6750 §2.1). In a query they are never looked for.

use isthmus_exchange::{Credentials, Field};

/// What the `Authorization` header has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer<'a> {
    /// There is none.
    Absent,
    /// A bearer credential.
    Token(&'a str),
    /// A credential of another scheme.
    OtherScheme,
    /// Several headers, or one that cannot be read.
    Unreadable,
}

impl<'a> Bearer<'a> {
    pub(super) fn of(credentials: Credentials<'a>) -> Self {
        let text = match credentials.headers.field("authorization") {
            Field::Absent => return Self::Absent,
            Field::Text(text) => text,
            Field::Unreadable => return Self::Unreadable,
        };
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::OtherScheme;
        }
        let token = rest.trim_matches(' ');
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Self::Unreadable;
        }
        Self::Token(token)
    }
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::HeaderFields;

    use super::*;

    struct Only(Option<&'static str>);

    impl HeaderFields for Only {
        fn field(&self, name: &str) -> Field<'_> {
            assert_eq!(name, "authorization");
            self.0.map_or(Field::Unreadable, Field::Text)
        }
    }

    #[test]
    fn a_bearer_credential_is_one_word_after_its_scheme() {
        let check = |header, expected: &Bearer<'_>| {
            let headers = Only(header);
            let credentials = Credentials {
                headers: &headers,
                certificate: None,
                address: None,
            };
            assert!(Bearer::of(credentials) == *expected, "{header:?}");
        };
        check(Some("Bearer abc"), &Bearer::Token("abc"));
        check(Some("bearer  abc "), &Bearer::Token("abc"));
        check(Some("Basic abc"), &Bearer::OtherScheme);
        check(Some("DPoP abc"), &Bearer::OtherScheme);
        check(Some("abc"), &Bearer::OtherScheme);
        for wrong in ["Bearer", "Bearer ", "Bearer a b", "Bearer a\tb"] {
            check(Some(wrong), &Bearer::Unreadable);
        }
        check(None, &Bearer::Unreadable);
    }
}
