//! The checked settings: what everybody else codes against.
//!
//! Two configs are equal if they mean the same; where something was written does not count. A reload keeps every
//! backend that equals its predecessor.

mod audit;
mod authentication;
mod authorization;
mod backend;
mod bounds;
mod credentials;
mod glob;
mod listener;
mod location;
mod network;
mod process;
mod public_url;
mod route;
mod secret;
mod tls;

use std::path::PathBuf;

pub use audit::{Audit, AuditArguments, AuditSink, WhenFull};
pub(crate) use audit::{DEFAULT_AUDIT_KEEP, DEFAULT_AUDIT_SIZE};
pub use authentication::{
    ApiKey, ApiKeys, Authentication, AuthenticationMethod, Certificate, CertificateName, Jwks, Jwt,
    JwtAlgorithm,
};
pub use authorization::{
    Authorization, AuthorizationDefault, AuthorizationEffect, AuthorizationRule,
};
pub use backend::{
    Backend, BackendBounds, EraSetting, HttpWire, Restart, SessionPolicy, SseWire, StdioWire,
    Timeouts, Wire,
};
pub(crate) use backend::{DEFAULT_IDLE, DEFAULT_REFRESH};
pub use bounds::Bounds;
pub use credentials::{
    AuthorizationServer, CallersCredential, ClientCredentials, ClientProof, Credentials,
    IgnoredLocation, Login, LoginClient, OAuthClient, OwnCredential, SecretPlace, TokenExchange,
};
pub use glob::Glob;
pub use listener::{HostPattern, Listener, OriginPattern};
pub use location::{Located, Location};
pub use network::Network;
pub use process::{Process, ProcessLimits};
pub use public_url::PublicUrl;
pub use route::{Alphabet, Names, Override, Route, Shaping};
pub use secret::Secret;
pub use tls::{BackendTls, ClientCertificates, KeyPair, ListenerTls, Roots, TlsVersion};

/// Everything an operator decided, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Where clients are accepted, in the order of the document.
    pub listeners: Vec<Listener>,
    /// Which backends a request may reach, in the order of the document. Paths are unique.
    pub routes: Vec<Route>,
    /// The fleet, in the order of the document. Names and non-empty prefixes are unique.
    pub backends: Vec<Backend>,
    /// What limits everything that comes from the network.
    pub bounds: Bounds,
    /// Where files live that outlast a run, such as the seal keys; `None` if the user has no home either.
    pub state_directory: Option<PathBuf>,
    /// Keys of the tokens we hand out, newest first; empty: a file in `state_directory`.
    pub seal_keys: Vec<SealKey>,
    /// What is logged and how.
    pub log: Log,
    /// What is written down of every request; `None`: nothing.
    pub audit: Option<Audit>,
    /// Every file that was read to make this config, itself included: a change of any means to load again.
    pub files: Vec<PathBuf>,
}

/// One key for the tokens that clients hold for us.
#[derive(Debug, Clone, PartialEq)]
pub struct SealKey {
    /// Named in every token, so that older keys still open older tokens. Unique.
    pub id: u32,
    /// 32 bytes, as 64 hexadecimal digits.
    pub key: Secret,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives of the form `info` or `warn,isthmus_backend=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// The backend called `name`.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }

    /// The route whose path is `path`.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.path == path)
    }
}

impl SealKey {
    /// The bytes of the key; `None` cannot happen in a resolved config.
    #[must_use]
    pub fn bytes(&self) -> Option<[u8; 32]> {
        parse_hex(self.key.expose())
    }
}

/// 32 bytes from 64 hexadecimal digits.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::default(),
        }
    }
}
