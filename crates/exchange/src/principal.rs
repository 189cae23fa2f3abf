//! Who is asking.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use isthmus_protocol::RawJson;
use secrecy::{ExposeSecret as _, SecretString};

/// What identifies a principal: part of every key of every cache, pool, session, park and cursor (design §7).
///
/// Claims are not part of it: a refreshed token must not empty the caches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(Arc<str>);

impl PrincipalId {
    /// The identity as one text, unambiguous across methods: for keys and for associated data of sealed tokens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// An authenticated identity and what came with it.
///
/// Only the identity is a key. Claims, scopes and expiry belong to the credential of one request: the next one may come
/// with others.
#[derive(Debug, Clone)]
pub struct Principal {
    id: PrincipalId,
    identity: Option<Arc<Identity>>,
    claims: Option<RawJson>,
    scopes: Arc<[String]>,
    expires: Option<SystemTime>,
    credential: CredentialId,
    token: Option<CallersToken>,
}

/// The token by which a caller showed who it is. Never prints, and is wiped from memory when the last copy goes.
///
/// It was made for the gateway, so nothing is done with it but one thing: an authorization server may give another one for
/// it that is made for a backend (RFC 8693).
#[derive(Clone)]
pub struct CallersToken(Arc<SecretString>);

/// Tells credentials apart that may do different things: the same for the same principal with the same scopes and claims,
/// for as long as the process runs. A key of what is remembered about a credential, never of what belongs to a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialId(u128);

/// What a [`PrincipalId`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How it was authenticated: `jwt`, `api_key`, `certificate`.
    pub method: String,
    /// Who vouches for the subject; empty if the gateway itself does.
    pub issuer: String,
    /// Who it is.
    pub subject: String,
    /// Which of the issuer's tenants knows the subject; empty if it has none.
    pub tenant: String,
}

impl Principal {
    /// Whoever comes through a listener without authentication. All of them are one principal.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            id: PrincipalId("anonymous".into()),
            identity: None,
            claims: None,
            scopes: Arc::default(),
            expires: None,
            credential: CredentialId(0),
            token: None,
        }
    }

    /// A principal that `method` has authenticated: `subject` as `issuer` and `tenant` know it.
    #[must_use]
    pub fn authenticated(method: &str, issuer: &str, subject: &str, tenant: &str) -> Self {
        // Lengths in front make the joined text unambiguous whatever the parts contain.
        let id = format!(
            "{method}:{}:{issuer}:{}:{subject}:{tenant}",
            issuer.len(),
            subject.len()
        );
        let credential = CredentialId(0).and('i', &id);
        let identity = Identity {
            method: method.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            tenant: tenant.to_owned(),
        };
        Self {
            id: PrincipalId(id.into()),
            identity: Some(Arc::new(identity)),
            credential,
            ..Self::anonymous()
        }
    }

    /// The same principal with the claims that came with the credential. Inputs to decisions, never keys.
    #[must_use]
    pub fn with_claims(mut self, claims: RawJson) -> Self {
        self.credential = self.credential.and('c', claims.as_bytes());
        self.claims = Some(claims);
        self
    }

    /// The same principal with the scopes that its credential grants.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl Into<Arc<[String]>>) -> Self {
        self.scopes = scopes.into();
        self.credential = self.credential.and('s', &self.scopes);
        self
    }

    /// The same principal with the time after which its credential is worth nothing.
    #[must_use]
    pub const fn with_expiry(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The same principal with the token that it showed, where some backend needs another one in exchange for it.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(CallersToken(Arc::new(SecretString::from(token))));
        self
    }

    /// What identifies the principal.
    #[must_use]
    pub const fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// What the id is made of; `None` if nobody was authenticated.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The claims, a JSON object.
    #[must_use]
    pub const fn claims(&self) -> Option<&RawJson> {
        self.claims.as_ref()
    }

    /// The scopes that the credential grants.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// What tells this credential from others that may do other things.
    #[must_use]
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    /// When the credential ends. A stream that lasts longer has to end then.
    #[must_use]
    pub const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The token that the principal showed; `None` if it showed none, or no backend has a use for it.
    #[must_use]
    pub const fn token(&self) -> Option<&CallersToken> {
        self.token.as_ref()
    }

    /// Whether nobody was authenticated.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.identity.is_none()
    }
}

impl CallersToken {
    /// The token, for the one place that sends it to an authorization server.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for CallersToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.expose() == other.expose()
    }
}

impl Eq for CallersToken {}

impl fmt::Debug for CallersToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallersToken(…)")
    }
}

impl CredentialId {
    fn and(self, what: char, value: impl Hash) -> Self {
        // Two keyed hashes: whoever writes a token can neither know nor try out which others it would meet.
        let [low, high] = &*HASHERS;
        let hash = |hasher: &RandomState| u128::from(hasher.hash_one((self.0, what, &value)));
        Self(hash(high) << 64 | hash(low))
    }
}

static HASHERS: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_principals_are_one_only_if_every_part_is_the_same() {
        let id = |method, issuer, subject, tenant| {
            Principal::authenticated(method, issuer, subject, tenant)
                .id()
                .clone()
        };
        let anna = id("jwt", "https://id.example", "anna", "a");
        assert_eq!(anna, id("jwt", "https://id.example", "anna", "a"));
        for other in [
            id("api_key", "https://id.example", "anna", "a"),
            id("jwt", "https://other.example", "anna", "a"),
            id("jwt", "https://id.example", "bob", "a"),
            id("jwt", "https://id.example", "anna", "b"),
            id("jwt", "https://id.example", "anna:a", ""),
            id("jwt", "https://id.example:4:anna", "a", ""),
            Principal::anonymous().id().clone(),
        ] {
            assert_ne!(anna, other);
        }
    }

    #[test]
    fn claims_scopes_and_expiry_do_not_change_who_it_is() {
        let plain = Principal::authenticated("jwt", "i", "s", "");
        let rich = plain
            .clone()
            .with_claims(RawJson::empty_object())
            .with_scopes(vec!["read".to_owned()])
            .with_expiry(SystemTime::UNIX_EPOCH);
        assert_eq!(plain.id(), rich.id());
        assert_eq!(rich.scopes(), ["read"]);
        assert_ne!(plain.credential(), rich.credential());
        let again = plain
            .with_claims(RawJson::empty_object())
            .with_scopes(vec!["read".to_owned()]);
        assert_eq!(again.credential(), rich.credential());
    }

    #[test]
    fn a_principal_does_not_print_its_token() {
        let anna = Principal::authenticated("jwt", "i", "anna", "").with_token("s3cret");
        assert!(!format!("{anna:?}").contains("s3cret"));
        assert_eq!(anna.token().unwrap().expose(), "s3cret");
    }
}
