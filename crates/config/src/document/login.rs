//! `credentials.login` of backends.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Secret, SecretPlaceWord};
use crate::yaml::Spanned;

/// Tokens of an account that the operator logs in to with a browser. Nothing has to be written here where the backend says
/// of itself what a login takes: the gateway then introduces itself by its metadata document (if a listener has a
/// `public_url` with `https`), or registers.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The id of a client that was registered by hand with the `issuer`.
    pub(crate) client_id: Option<Spanned<String>>,
    /// The secret of that client, if it has one.
    pub(crate) client_secret: Option<Spanned<Secret>>,
    /// Where the secret is sent. Default: as the server's metadata says, and in the header if it says nothing.
    pub(crate) client_secret_in: Option<SecretPlaceWord>,
    /// The authorization server, letter by letter. A backend that names others is not logged in to. Default: the first one
    /// that the backend names. Needed with `client_id`, and where the server has no public address.
    #[schemars(extend("examples" = ["https://id.example"]))]
    pub(crate) issuer: Option<Spanned<String>>,
    /// Scopes to ask for. Default: those that the backend says it takes.
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
}
