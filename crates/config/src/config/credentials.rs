//! What is shown to a backend.

use std::fmt;

use http::{HeaderName, Uri};

use super::{Located, Location, Secret};

/// What is shown to a backend: what belongs to the operator, what belongs to each caller, or both.
///
/// The operator's credential is for the gateway's own requests, such as listing. It is for everybody's unless callers have
/// credentials of their own.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The operator's own.
    pub own: Option<OwnCredential>,
    /// Each caller's.
    pub callers: Option<CallersCredential>,
    /// What the backend is called at authorization servers; `None`: its first URL in canonical form.
    pub resource: Option<String>,
    /// Where it was written. Does not count in equality.
    pub location: Option<Location>,
}

/// A credential that belongs to the operator.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnCredential {
    /// A header with a value that stays as it is.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: Secret,
    },
    /// Tokens that the gateway gets as a client of its own (RFC 6749 §4.4).
    ClientCredentials(Box<ClientCredentials>),
    /// Tokens that the operator gets by logging in to the backend with an account of his own (RFC 6749 §4.1).
    Login(Box<Login>),
}

/// The login of a person to a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// The client that the operator has registered; `None`: the gateway names itself, or registers.
    pub client: Option<LoginClient>,
    /// With which authorization server: never [`AuthorizationServer::TokenEndpoint`].
    pub server: AuthorizationServer,
    /// What is asked for; empty: what the backend says that it takes.
    pub scopes: Vec<String>,
}

/// A client that the operator has registered for logins.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginClient {
    /// Its id.
    pub id: String,
    /// The secret that it shares with the server; `None` for one that cannot keep any.
    pub secret: Option<Secret>,
    /// Where the secret is sent; `None`: as the server's metadata says, and in the header if it says nothing.
    pub place: Option<SecretPlace>,
}

/// A credential that belongs to a caller.
#[derive(Debug, Clone, PartialEq)]
pub enum CallersCredential {
    /// What an authorization server gives for the caller's own token (RFC 8693).
    Exchange(Box<TokenExchange>),
}

/// Tokens that the gateway gets as a client of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCredentials {
    /// As which client.
    pub client: OAuthClient,
    /// What is asked for; empty: what the backend says that it takes.
    pub scopes: Vec<String>,
}

/// The exchange of a caller's token for one that is made for the backend.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenExchange {
    /// As which client.
    pub client: OAuthClient,
    /// What is asked for; empty: what the backend says that it takes.
    pub scopes: Vec<String>,
    /// The logical name of the backend at the authorization server, sent beside the resource.
    pub audience: Option<String>,
    /// What kind of token is asked for.
    pub requested_token_type: Option<String>,
    /// What kind of token callers show.
    pub subject_token_type: String,
}

/// A client that is registered with an authorization server.
#[derive(Debug, Clone, PartialEq)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// How it shows who it is.
    pub proof: ClientProof,
    /// Which authorization server.
    pub server: AuthorizationServer,
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientProof {
    /// By a secret that it shares with the server.
    Secret {
        /// The secret.
        value: Secret,
        /// Where it is sent; `None`: as the server's metadata says, and in the header if it says nothing.
        place: Option<SecretPlace>,
    },
    /// By an assertion that it signs (RFC 7523).
    PrivateKey {
        /// PEM: PKCS#8.
        key: Secret,
        /// How it signs.
        algorithm: super::JwtAlgorithm,
        /// The name of the key.
        id: Option<String>,
        /// Where it was written. Does not count in equality.
        location: IgnoredLocation,
    },
}

/// Where a client's secret is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPlace {
    /// In the `Authorization` header (`client_secret_basic`).
    Header,
    /// In the form (`client_secret_post`).
    Form,
}

/// Which authorization server tokens come from.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthorizationServer {
    /// The one with this issuer, letter by letter. If the backend publishes whom it trusts, this one must be among them.
    Issuer(Located<String>),
    /// The one with this token endpoint; nothing is discovered.
    TokenEndpoint(Located<Uri>),
    /// The first one that the backend names. Only for clients whose proof is of no use to anybody else.
    NamedByBackend,
}

/// A location that does not count in equality.
#[derive(Debug, Clone)]
pub struct IgnoredLocation(pub Option<Location>);

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a field added later cannot be forgotten here.
        let Self {
            own,
            callers,
            resource,
            location: _,
        } = self;
        *own == other.own && *callers == other.callers && *resource == other.resource
    }
}

impl PartialEq for IgnoredLocation {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl fmt::Display for IgnoredLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(location) => write!(f, "{location}  "),
            None => Ok(()),
        }
    }
}
