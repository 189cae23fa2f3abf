//! Who is asking.

use std::fmt;
use std::sync::Arc;

use isthmus_protocol::RawJson;

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
#[derive(Debug, Clone)]
pub struct Principal {
    id: PrincipalId,
    claims: Option<RawJson>,
}

impl Principal {
    /// Whoever comes through a listener without authentication. All of them are one principal.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            id: PrincipalId("anonymous".into()),
            claims: None,
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
        Self {
            id: PrincipalId(id.into()),
            claims: None,
        }
    }

    /// The same principal with the claims that came with the credential. Inputs to decisions, never keys.
    #[must_use]
    pub fn with_claims(mut self, claims: RawJson) -> Self {
        self.claims = Some(claims);
        self
    }

    /// What identifies the principal.
    #[must_use]
    pub const fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// The claims, a JSON object.
    #[must_use]
    pub const fn claims(&self) -> Option<&RawJson> {
        self.claims.as_ref()
    }

    /// Whether nobody was authenticated.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        &*self.id.0 == "anonymous"
    }
}
