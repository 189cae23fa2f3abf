//! `authentication` and `api_keys`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::WaitText;
use crate::config;
use crate::yaml::Spanned;

/// One way to show who one is: one of `api_keys`, `jwt`, `certificate` and `none`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["api_keys"]}, {"required": ["jwt"]}, {"required": ["certificate"]}, {"required": ["none"]}
]))]
pub(crate) struct Method {
    /// Keys made by `isthmus key new`, of which `api_keys` holds the hashes.
    pub(crate) api_keys: Option<ApiKeys>,
    /// Tokens that an authorization server has signed. If the route has a public URL, it is an OAuth 2.1 protected
    /// resource: it publishes its metadata (RFC 9728) and tells clients where to get a token.
    pub(crate) jwt: Option<Spanned<Jwt>>,
    /// Client certificates that the listener has verified.
    pub(crate) certificate: Option<Spanned<Certificate>>,
    /// Nothing: whoever shows no credential is let in as nobody in particular, and all of them are one principal. Who shows a
    /// wrong one is refused. A listener that others can reach has to say `allow_unauthenticated` too.
    pub(crate) none: Option<Spanned<Nothing>>,
}

/// Which keys are taken, and where.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeys {
    /// Names from `api_keys`. Default: all.
    #[schemars(length(min = 1))]
    pub(crate) only: Option<Vec<Spanned<String>>>,
    /// A header in which a key is taken too, such as `X-API-Key`. Always taken: `Authorization: Bearer`.
    pub(crate) header: Option<Spanned<String>>,
}

/// Tokens of one issuer.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// Who signs: the `iss` of the tokens, letter by letter.
    #[schemars(extend("examples" = ["https://id.example"]))]
    pub(crate) issuer: Spanned<String>,
    /// For whom tokens are made: one of these must be in their `aud`. Default: the public URL of the route, so that a token
    /// for another service is not taken here.
    #[schemars(length(min = 1))]
    pub(crate) audience: Option<Vec<Spanned<String>>>,
    /// Where the issuer's keys are. Default: where its metadata says, at the well-known places below the issuer's URL.
    pub(crate) jwks: Option<Spanned<Jwks>>,
    /// Algorithms that signatures may have. Default: every one of these.
    #[schemars(length(min = 1))]
    pub(crate) algorithms: Option<Vec<AlgorithmName>>,
    /// How far the issuer's clock and ours may differ, at most `5min`.
    #[schemars(extend("default" = WaitText(config::Jwt::new("").leeway)))]
    pub(crate) leeway: Option<Spanned<WaitText>>,
    /// The claim that tells the issuer's tenants apart, such as `tid`. It becomes part of who the caller is, and has to be
    /// there.
    pub(crate) tenant: Option<String>,
    /// What clients are told as the place to get a token. Default: the issuer.
    pub(crate) authorization_server: Option<Spanned<String>>,
}

/// Where an issuer's keys are: one of `url` and `file`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["file"]}]))]
pub(crate) struct Jwks {
    /// Where the JWK set is: `https`, or `http` on this machine. It is fetched at the start, every ten minutes, and when a
    /// token names a key that is not known.
    pub(crate) url: Option<Spanned<String>>,
    /// A file with the JWK set. A change of it takes effect at once.
    pub(crate) file: Option<Spanned<String>>,
}

/// The name of a signature algorithm (RFC 7518).
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "SignatureAlgorithm")]
pub(crate) enum AlgorithmName {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Client certificates.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientCertificate")]
pub(crate) struct Certificate {
    /// Which name in a certificate says who it is: the first of these that it has. Default: `[uri, dns, email, subject]`.
    #[schemars(length(min = 1))]
    pub(crate) names: Option<Vec<CertificateName>>,
    /// Scopes that a certificate grants.
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CertificateName {
    /// The first URI among the alternative names, such as a SPIFFE id.
    Uri,
    /// The first DNS name among the alternative names.
    Dns,
    /// The first mail address among the alternative names.
    Email,
    /// The subject's distinguished name.
    Subject,
}

/// Nothing to set.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A key that somebody may call with. `isthmus key new NAME` makes one and prints this.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// SHA-256 of the key, as 64 hexadecimal digits. The key itself is random enough that its hash gives nothing away.
    pub(crate) sha256: Spanned<String>,
    /// Whom the key belongs to. Two keys of one principal are the same caller: give the new key the name of the old one here
    /// when you replace it. Default: the name of the key.
    pub(crate) principal: Option<Spanned<String>>,
    /// Scopes that the key grants.
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
    /// When the key ends, as in `2027-01-31` (at its first moment, UTC) or `2027-01-31T12:00:00Z`. Default: never.
    pub(crate) expires: Option<Spanned<String>>,
}
