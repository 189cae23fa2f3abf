//! Who may call a route, and how they show who they are.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Uri};

use super::{Located, Location};

/// How callers of a route show who they are, in the order in which it is tried. Empty: nobody is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Authentication {
    /// The methods. The first one that finds its kind of credential in a request decides.
    pub methods: Vec<AuthenticationMethod>,
    /// Scopes that every caller needs.
    pub required_scopes: Vec<String>,
}

/// One way to show who one is.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthenticationMethod {
    /// A key that the gateway has issued.
    ApiKeys(ApiKeys),
    /// A token that an authorization server has signed.
    Jwt(Box<Jwt>),
    /// A client certificate that the listener has verified.
    Certificate(Located<Certificate>),
    /// Nothing: whoever shows no credential at all is let in as nobody. Always the last one.
    Nothing,
}

/// Keys that the gateway has issued.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApiKeys {
    /// The keys that are taken.
    pub keys: Vec<ApiKey>,
    /// The header in which they are taken, beside `Authorization: Bearer`.
    pub header: Option<HeaderName>,
}

/// One key: what is needed to recognise it, not the key itself.
#[derive(Clone)]
pub struct ApiKey {
    /// Its name in the document. Unique.
    pub name: String,
    /// Whom it belongs to.
    pub principal: String,
    /// SHA-256 of the whole key, prefix included.
    pub sha256: [u8; 32],
    /// What it grants.
    pub scopes: Vec<String>,
    /// From when on it is worth nothing.
    pub expires: Option<SystemTime>,
    /// Where it was written. Does not count in equality.
    pub location: Option<Location>,
}

/// Tokens of one issuer.
#[derive(Debug, Clone, PartialEq)]
pub struct Jwt {
    /// The `iss` that tokens must have, compared as text.
    pub issuer: String,
    /// One of these must be in `aud`. Empty: the route's public URL.
    pub audiences: Vec<String>,
    /// Where the keys are.
    pub jwks: Jwks,
    /// Algorithms that signatures may have.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The claim that tells tenants of the issuer apart; part of the identity.
    pub tenant_claim: Option<String>,
    /// What is announced to clients as the place to get a token; `None`: the issuer, if it is a URL.
    pub authorization_server: Option<String>,
    /// Where it was written. Does not count in equality.
    pub location: Option<Location>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq)]
pub enum Jwks {
    /// Where the issuer's metadata says (RFC 8414, OpenID Connect Discovery).
    Discovered,
    /// At this URL.
    Url(Located<Uri>),
    /// In a file: its text, which is a JWK set.
    Text(Located<String>),
}

/// An asymmetric signature algorithm (RFC 7518). Symmetric ones, and `none`, cannot be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are names")]
pub enum JwtAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// Client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Which name of a certificate says who it is: the first of these that it has.
    pub names: Vec<CertificateName>,
    /// What a certificate grants.
    pub scopes: Vec<String>,
}

/// A kind of name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    /// A URI among the alternative names, such as a SPIFFE id.
    Uri,
    /// A DNS name among the alternative names.
    Dns,
    /// A mail address among the alternative names.
    Email,
    /// The subject's distinguished name.
    Subject,
}

impl Authentication {
    /// Whether somebody may call who shows no credential.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.methods.is_empty() || self.methods.contains(&AuthenticationMethod::Nothing)
    }
}

impl Jwt {
    /// Tokens of `issuer`, with every setting at its default.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            jwks: Jwks::Discovered,
            algorithms: JwtAlgorithm::ALL.to_vec(),
            leeway: Duration::from_secs(30),
            tenant_claim: None,
            authorization_server: None,
            location: None,
        }
    }
}

impl JwtAlgorithm {
    /// Every algorithm that can be allowed.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];
}

impl Default for Certificate {
    fn default() -> Self {
        Self {
            names: vec![
                CertificateName::Uri,
                CertificateName::Dns,
                CertificateName::Email,
                CertificateName::Subject,
            ],
            scopes: Vec::new(),
        }
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a field added later cannot be forgotten here.
        let Self {
            name,
            principal,
            sha256,
            scopes,
            expires,
            location: _,
        } = self;
        *name == other.name
            && *principal == other.principal
            && *sha256 == other.sha256
            && *scopes == other.scopes
            && *expires == other.expires
    }
}

/// The hash does not print: it is no secret, and nobody needs it in a log.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("principal", &self.principal)
            .field("scopes", &self.scopes)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
