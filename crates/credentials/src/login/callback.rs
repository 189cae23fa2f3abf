//! What a browser brings back from the authorization server (RFC 6749 §4.1.2, RFC 9207).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::LoginError;
use crate::form::decode;
use crate::token_endpoint::{printable, words};

/// What a browser brought back, as it stands there: nothing in it is believed yet.
#[derive(Default)]
pub(super) struct Callback {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
}

impl Callback {
    /// Reads a query. One that says something twice is none: two readers could believe different things.
    pub(super) fn parse(query: &str) -> Result<Self, LoginError> {
        let fields = (query.len() <= LONGEST).then(|| decode(query)).flatten();
        let mut callback = Self::default();
        for (name, value) in fields.ok_or(LoginError::Unreadable)? {
            let place = match name.as_str() {
                "state" => &mut callback.state,
                "code" => &mut callback.code,
                "iss" => &mut callback.iss,
                "error" => &mut callback.error,
                "error_description" => &mut callback.description,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(LoginError::Unreadable);
            }
        }
        Ok(callback)
    }

    /// Whether it answers the login with this state.
    pub(super) fn answers(&self, state: &str) -> bool {
        let given = self.state.as_deref().unwrap_or_default();
        verify_slices_are_equal(given.as_bytes(), state.as_bytes()).is_ok()
    }

    /// The code, if it answers the login with this `state` and comes from `issuer`. What anybody else wrote, also of an error,
    /// is not repeated. `advertised`: the server says that it names itself in each answer.
    pub(super) fn code(
        self,
        state: &str,
        issuer: &str,
        advertised: bool,
    ) -> Result<String, LoginError> {
        if !self.answers(state) {
            return Err(LoginError::OtherState);
        }
        let issuer_is_right = match &self.iss {
            // Letter by letter (RFC 9207 §2.4), after decoding the form and nothing else.
            Some(iss) => iss == issuer,
            None => !advertised,
        };
        let issuer = issuer.to_owned();
        if !issuer_is_right {
            return Err(LoginError::OtherIssuer { issuer });
        }
        match (self.error, self.code) {
            (Some(error), _) => Err(LoginError::Denied {
                issuer,
                code: words(&error),
                description: self.description.as_deref().map(printable),
            }),
            (None, Some(code)) if !code.is_empty() => Ok(code),
            (None, _) => Err(LoginError::Unreadable),
        }
    }
}

/// Longer than any answer.
const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example";

    fn read(query: &str, advertised: bool) -> Result<String, LoginError> {
        Callback::parse(query)?.code("s", ISSUER, advertised)
    }

    #[test]
    fn an_answer_with_everything_in_it_gives_the_code() {
        let query = "code=a%2Bb&state=s&iss=https%3A%2F%2Fid.example&session_state=x";
        assert_eq!(read(query, true).unwrap(), "a+b");
        assert_eq!(read(query, false).unwrap(), "a+b");
        assert_eq!(read("code=a&state=s", false).unwrap(), "a");
    }

    #[test]
    fn an_answer_to_another_login_is_thrown_away() {
        for query in [
            "code=a&state=t",
            "code=a",
            "code=a&state=",
            "error=x&state=t",
        ] {
            assert!(
                matches!(read(query, false), Err(LoginError::OtherState)),
                "{query}"
            );
        }
    }

    #[test]
    fn an_issuer_that_was_promised_has_to_be_there() {
        let answer = read("code=a&state=s", true);
        assert!(matches!(answer, Err(LoginError::OtherIssuer { .. })));
        let empty = read("code=a&state=s&iss=", false);
        assert!(matches!(empty, Err(LoginError::OtherIssuer { .. })));
    }

    #[test]
    fn another_issuer_is_nobody_even_if_none_was_promised_and_its_errors_are_not_repeated() {
        for other in [
            "https://evil.example",
            "https://id.example/",
            "https://ID.example",
            "https://id.example%2F",
        ] {
            for answer in ["code=a", "error=click_here&error_description=http://evil"] {
                let error = read(&format!("{answer}&state=s&iss={other}"), false).unwrap_err();
                assert!(matches!(error, LoginError::OtherIssuer { .. }), "{other}");
                assert!(!error.to_string().contains("evil"), "{error}");
                assert!(!error.to_string().contains("click"), "{error}");
            }
        }
    }

    #[test]
    fn a_refusal_is_said_in_words_that_cannot_harm_a_terminal() {
        let query = "error=access%1b[31m_denied&error_description=no%1b]0;x&state=s";
        let error = read(query, false).unwrap_err().to_string();
        assert!(error.contains("access31m_denied"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn what_says_something_twice_or_nothing_at_all_is_no_answer() {
        for query in [
            "code=a&code=b&state=s",
            "code=a&state=s&state=s",
            "code=&state=s",
            "state=s",
            "code=%zz&state=s",
            "code=%ff&state=s",
        ] {
            assert!(
                matches!(read(query, false), Err(LoginError::Unreadable)),
                "{query}"
            );
        }
        let long = format!("code={}&state=s", "a".repeat(9000));
        assert!(matches!(read(&long, false), Err(LoginError::Unreadable)));
    }
}
