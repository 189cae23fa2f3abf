//! One request to a token endpoint (RFC 6749 §4.4, §5).

use std::time::Duration;

use bytes::Bytes;
use isthmus_egress::Fetcher;
use isthmus_exchange::{BackendName, Error};
use secrecy::SecretString;
use serde::Deserialize;

use crate::client::Client;
use crate::discovery::Found;
use crate::form::encode;
use crate::source::Token;
use crate::trouble::{Described, Trouble};

/// What a token endpoint gives (RFC 6749 §5.1, RFC 8693 §2.2.1).
#[derive(Deserialize)]
pub(crate) struct Granted {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<serde_json::Number>,
    scope: Option<String>,
    refresh_token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// Asks for a token as `client`. `fields` are those of the grant; `scopes` are what is asked for and, if the server says
/// nothing else, granted.
pub(crate) async fn ask(
    backend: &BackendName,
    fetcher: &Fetcher,
    server: &Found,
    client: &Client,
    fields: &[(&str, &str)],
    scopes: &[String],
) -> Result<Granted, Asked> {
    let shows = client.shows(server).map_err(Asked::Defect)?;
    let scope = scopes.join(" ");
    let own = shows.fields.iter();
    let fields = fields.iter().copied();
    let mut all: Vec<(&str, &str)> = fields
        .chain(own.map(|(name, value)| (*name, value.as_str())))
        .collect();
    all.push(("resource", &server.resource));
    if !scope.is_empty() {
        all.push(("scope", &scope));
    }
    let form = Bytes::from(encode(all));
    let endpoint = &server.token_endpoint;
    let posted = fetcher.post_form(endpoint, server.named_by, form, shows.authorization);
    let what = "a token";
    let fetched = posted
        .await
        .map_err(|source| Asked::Trouble(Trouble::Fetch { what, source }))?;
    tracing::debug!(%backend, status = %fetched.status, "asked for a token");
    let status = fetched.status;
    if status.is_success() {
        let granted = serde_json::from_slice(&fetched.body);
        return granted.map_err(|_| Asked::Trouble(Trouble::Unreadable { what, status }));
    }
    Err(Asked::Trouble(
        match serde_json::from_slice::<Refused>(&fetched.body) {
            Ok(refused) => Trouble::Refused {
                code: words(&refused.error),
                described: refused
                    .error_description
                    .map(|text| Described(printable(&text))),
                of_caller: false,
            },
            Err(_) => Trouble::Unreadable { what, status },
        },
    ))
}

/// Why there is no token.
pub(crate) enum Asked {
    /// The server, or the way to it.
    Trouble(Trouble),
    /// Something that should not be.
    Defect(Error),
}

impl Asked {
    pub(crate) fn with(self, backend: &BackendName) -> Error {
        match self {
            Self::Trouble(trouble) => trouble.with(backend),
            Self::Defect(error) => error,
        }
    }
}

impl From<Trouble> for Asked {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Granted {
    /// The token, if it is one that can be shown.
    pub(crate) fn token(&self, asked: Vec<String>) -> Result<Token, Trouble> {
        use secrecy::ExposeSecret as _;
        if !self.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Trouble::NoBearer);
        }
        let lifetime = self.expires_in.as_ref().and_then(|seconds| {
            let whole = seconds.as_u64().map(Duration::from_secs);
            whole.or_else(|| Duration::try_from_secs_f64(seconds.as_f64()?).ok())
        });
        let scopes = match &self.scope {
            Some(scope) => scope
                .split(' ')
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect(),
            None => asked,
        };
        Token::new(self.access_token.expose_secret(), lifetime, scopes).ok_or(Trouble::NoBearer)
    }

    /// The token itself, for the store.
    pub(crate) const fn access_token(&self) -> &SecretString {
        &self.access_token
    }

    /// What gets the next token.
    pub(crate) const fn refresh_token(&self) -> Option<&SecretString> {
        self.refresh_token.as_ref()
    }

    /// Whether the token is `other`.
    pub(crate) fn is(&self, other: &str) -> bool {
        use secrecy::ExposeSecret as _;
        self.access_token.expose_secret() == other
    }
}

/// An error code as it may stand in a sentence.
pub(crate) fn words(code: &str) -> String {
    let letters = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c));
    let code: String = letters.take(64).collect();
    if code.is_empty() {
        "no reason given".to_owned()
    } else {
        code
    }
}

/// A server's own words as they may stand in a log. What is too long for a word may be the very token that it is about.
pub(crate) fn printable(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let sound = word.len() < TOO_LONG_FOR_A_WORD && !word.chars().any(char::is_control);
        if sound { word } else { "…" }
    });
    let text: Vec<&str> = words.take(60).collect();
    text.join(" ")
}

const TOO_LONG_FOR_A_WORD: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_repeats_a_token_does_not_bring_it_into_the_log() {
        let said = "the token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2ln\n has expired";
        assert_eq!(printable(said), "the token … has expired");
        assert_eq!(words("invalid_grant\r\nx: y"), "invalid_grantxy");
    }
}
