//! `credentials` of backends.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AlgorithmName, Login, Secret};
use crate::yaml::Spanned;

/// What is shown to a backend. `header`, `client_credentials` and `login` belong to the operator, `exchange` belongs to each
/// caller.
/// There may be one of each: then the operator's is for what the gateway asks by itself, such as lists. The token, cookies
/// and identity headers that callers show to the gateway are never sent to a backend.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// A header whose value stays as it is.
    pub(crate) header: Option<Spanned<CredentialHeader>>,
    /// Tokens that the gateway gets as a client of its own (OAuth client credentials).
    pub(crate) client_credentials: Option<Spanned<ClientCredentials>>,
    /// Tokens of an account that the operator logs in to with a browser, by `isthmus login` (OAuth authorization code).
    pub(crate) login: Option<Spanned<Login>>,
    /// A token for the backend in exchange for the caller's own (RFC 8693). Callers have to come with a token, so it takes
    /// `authentication` by `jwt`.
    pub(crate) exchange: Option<Spanned<TokenExchange>>,
    /// What the backend is called at authorization servers (RFC 8707). Default: its first URL, without query.
    #[schemars(extend("examples" = ["https://mcp.example/mcp"]))]
    pub(crate) resource: Option<Spanned<String>>,
}

/// A header that is the operator's credential.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialHeader {
    /// Its name.
    #[schemars(extend("examples" = ["Authorization"]))]
    pub(crate) name: Spanned<String>,
    /// Its whole value.
    pub(crate) value: Spanned<Secret>,
}

/// Tokens that the gateway gets as a client of its own.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCredentials {
    /// The id under which the gateway is registered.
    pub(crate) client_id: Spanned<String>,
    /// The secret that it shares with the authorization server. This or `private_key`.
    pub(crate) client_secret: Option<Spanned<Secret>>,
    /// Where the secret is sent. Default: as the server's metadata says, and in the header if it says nothing.
    pub(crate) client_secret_in: Option<SecretPlaceWord>,
    /// The PEM text (PKCS#8) of the key that it signs with (`private_key_jwt`).
    pub(crate) private_key: Option<Spanned<Secret>>,
    /// How it signs. Needed with `private_key`.
    pub(crate) algorithm: Option<AlgorithmName>,
    /// The name of the key, if the server knows several.
    pub(crate) key_id: Option<String>,
    /// The authorization server, letter by letter. A backend that names others is not trusted with a token.
    #[schemars(extend("examples" = ["https://id.example"]))]
    pub(crate) issuer: Option<Spanned<String>>,
    /// Where to get tokens, if nothing is to be discovered. This or `issuer`; with `private_key` it may be neither, and the
    /// backend names the server.
    #[schemars(extend("examples" = ["https://id.example/token"]))]
    pub(crate) token_endpoint: Option<Spanned<String>>,
    /// Scopes to ask for. Default: those that the backend says it takes.
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
}

/// A token for the backend in exchange for the caller's own.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenExchange {
    /// The id under which the gateway is registered.
    pub(crate) client_id: Spanned<String>,
    /// The secret that it shares with the authorization server. This or `private_key`.
    pub(crate) client_secret: Option<Spanned<Secret>>,
    /// Where the secret is sent. Default: as the server's metadata says, and in the header if it says nothing.
    pub(crate) client_secret_in: Option<SecretPlaceWord>,
    /// The PEM text (PKCS#8) of the key that it signs with (`private_key_jwt`).
    pub(crate) private_key: Option<Spanned<Secret>>,
    /// How it signs. Needed with `private_key`.
    pub(crate) algorithm: Option<AlgorithmName>,
    /// The name of the key, if the server knows several.
    pub(crate) key_id: Option<String>,
    /// The authorization server that gets the callers' tokens, letter by letter. This or `token_endpoint`.
    #[schemars(extend("examples" = ["https://id.example"]))]
    pub(crate) issuer: Option<Spanned<String>>,
    /// Where the callers' tokens are exchanged, if nothing is to be discovered.
    #[schemars(extend("examples" = ["https://id.example/token"]))]
    pub(crate) token_endpoint: Option<Spanned<String>>,
    /// The name under which the authorization server knows the backend, if it wants one beside the `resource`.
    pub(crate) audience: Option<Spanned<String>>,
    /// Scopes to ask for. Default: those that the backend says it takes.
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
    /// What kind of token to ask for, as a URI. Default: what the server gives.
    #[schemars(extend("examples" = ["urn:ietf:params:oauth:token-type:access_token"]))]
    pub(crate) requested_token_type: Option<Spanned<String>>,
    /// What kind of token callers show, as a URI.
    #[schemars(extend("default" = "urn:ietf:params:oauth:token-type:access_token"))]
    pub(crate) subject_token_type: Option<Spanned<String>>,
}

/// Where a client's secret is sent.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SecretPlace")]
pub(crate) enum SecretPlaceWord {
    /// In the `Authorization` header (`client_secret_basic`).
    Header,
    /// In the form (`client_secret_post`).
    Form,
}
