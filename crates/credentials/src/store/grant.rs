//! What a login has given.

use std::fmt;
use std::time::{Duration, SystemTime};

use isthmus_config::{Secret, SecretPlace};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::Token;
use crate::token_endpoint::Granted;
use crate::trouble::Trouble;

/// What a login has given, and everything that renewing it takes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Who has given it.
    pub(crate) issuer: String,
    /// What it is for: never shown to anything else.
    pub(crate) resource: String,
    /// Where the backend said that its metadata is, if it said so.
    pub(crate) metadata: Option<String>,
    /// As which client it was got.
    pub(crate) client: GrantClient,
    #[serde(with = "exposed")]
    access_token: Secret,
    #[serde(with = "exposed_option")]
    pub(crate) refresh_token: Option<Secret>,
    /// When it ends, in seconds since 1970; `None` if nobody says.
    ends: Option<u64>,
    /// How long it was good when it was given, in seconds.
    lifetime: Option<u64>,
    pub(crate) scopes: Vec<String>,
    /// What the backend has asked for beside them: the next login asks for it too.
    #[serde(default)]
    pub(crate) wanted: Vec<String>,
    /// When the access token was given, in seconds since 1970.
    pub(crate) since: u64,
    /// Tells one access token from the next.
    pub(crate) serial: String,
}

/// The client that a grant was given to.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GrantClient {
    pub(crate) id: String,
    /// Only of a client that has registered by itself: the operator's own stands in the config.
    #[serde(with = "exposed_option")]
    pub(crate) secret: Option<Secret>,
    /// It is sent in the form and not in the header.
    pub(crate) in_form: bool,
    /// It stands in the config.
    pub(crate) configured: bool,
}

impl Grant {
    /// What `granted` gives to `client`.
    pub(crate) fn new(
        issuer: &str,
        resource: &str,
        metadata: Option<String>,
        client: GrantClient,
        granted: &Granted,
        asked: Vec<String>,
    ) -> Result<Self, Trouble> {
        use secrecy::ExposeSecret as _;
        let token = granted.token(asked)?;
        let now = now();
        let lifetime = token.lifetime.map(|life| life.as_secs());
        let refresh_token = granted.refresh_token();
        Ok(Self {
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            metadata,
            client,
            access_token: Secret::new(granted.access_token().expose_secret()),
            refresh_token: refresh_token.map(|token| Secret::new(token.expose_secret())),
            ends: lifetime.map(|life| now.saturating_add(life)),
            lifetime,
            scopes: token.scopes,
            wanted: Vec::new(),
            since: now,
            serial: format!("{:032x}", isthmus_seal::random_id()),
        })
    }

    /// The grant after a refresh: what the server does not give anew stays as it was (RFC 6749 §6).
    pub(crate) fn refreshed(&self, granted: &Granted) -> Result<Self, Trouble> {
        let next = Self::new(
            &self.issuer,
            &self.resource,
            self.metadata.clone(),
            self.client.clone(),
            granted,
            self.scopes.clone(),
        )?;
        Ok(Self {
            refresh_token: next.refresh_token.or_else(|| self.refresh_token.clone()),
            wanted: self.wanted.clone(),
            ..next
        })
    }

    /// The access token, if it may still be used.
    pub(crate) fn token(&self) -> Option<Token> {
        let left = match self.ends {
            None => None,
            Some(ends) => Some(ends.checked_sub(now()).filter(|left| *left > 0)?),
        };
        let left = left.map(Duration::from_secs);
        Token::new(self.access_token.expose(), left, self.scopes.clone())
    }

    /// Whether the access token is worth using rather than renewing: it will do for a while.
    pub(crate) fn is_fresh(&self) -> bool {
        let early = self.lifetime.map_or(0, |life| (life / 5).min(EARLY) + 1);
        self.ends.is_none_or(|ends| ends > now() + early)
    }

    /// The access token, to be revoked.
    pub(crate) const fn access_token(&self) -> &Secret {
        &self.access_token
    }

    pub(super) fn write(&self) -> Vec<u8> {
        // Texts and numbers only: there is nothing that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl GrantClient {
    pub(crate) const fn place(&self) -> Option<SecretPlace> {
        match self.in_form {
            true => Some(SecretPlace::Form),
            false => Some(SecretPlace::Header),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("issuer", &self.issuer)
            .field("resource", &self.resource)
            .field("ends", &self.ends)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GrantClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantClient")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A secret that is written out: what is written is sealed at once.
mod exposed {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        secret.expose().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

mod exposed_option {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Option::<String>::deserialize(from).map(|text| text.map(Secret::new))
    }
}

/// How long before its end an access token is renewed, in seconds, unless a fifth of its life is less.
const EARLY: u64 = 60;
