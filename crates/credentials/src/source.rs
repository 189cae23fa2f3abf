//! Where the tokens of one kind of credential come from.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use isthmus_exchange::{BoxFuture, CallersToken, Error};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Holder;
use crate::challenge::Challenge;

/// Gets tokens for one backend. Who asks, how often, and how long a token is used is [`crate::tokens`]' business.
pub(crate) trait Source: Send + Sync + fmt::Debug {
    /// Gets a token.
    ///
    /// # Errors
    ///
    /// Why there is none, as the caller is told.
    fn obtain(&self, want: Want) -> BoxFuture<'static, Result<Token, Error>>;

    /// How long to wait at most before it is asked again after a failure.
    fn longest_pause(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// What token is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    /// For whom.
    pub(crate) holder: Holder,
    /// The newest token that the holder has shown to us.
    pub(crate) subject: Option<CallersToken>,
    /// What the backend said that a request lacks: to be asked for beside whatever is asked for anyway.
    pub(crate) further_scopes: Vec<String>,
    /// What the backend said when it refused a token last.
    pub(crate) challenge: Challenge,
    /// The backend has refused the last token: it is not to be got from a cache or store again.
    pub(crate) rejected: bool,
}

/// A bearer token for a backend.
pub(crate) struct Token {
    value: SecretString,
    /// How long it is good; `None` if nobody says.
    pub(crate) lifetime: Option<Duration>,
    /// What it grants, as far as is known.
    pub(crate) scopes: Vec<String>,
}

impl Token {
    /// `None` if `value` cannot stand in a header.
    pub(crate) fn new(
        value: &str,
        lifetime: Option<Duration>,
        scopes: Vec<String>,
    ) -> Option<Self> {
        let sound = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Self {
            value: SecretString::from(value),
            lifetime,
            scopes,
        })
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> HeaderValue {
        let text = format!("Bearer {}", self.value.expose_secret());
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer")); // Never: `new` looked at it.
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("lifetime", &self.lifetime)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
