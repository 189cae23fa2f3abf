//! From `gateway.yaml` to settings that cannot be wrong.
//!
//! A *document* is exactly what may be written; resolving it gives the [`Config`]: durations, names that exist, limits
//! above zero, secrets fetched. Whoever holds a `Config` checks nothing again. All complaints about a document are
//! gathered before any is reported, each with file, line and column. This is the only crate that reads the
//! process's environment. It knows nothing of anything that runs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod diagnostics;
mod document;
mod environment;
mod import;
mod locate;
mod moment;
mod reference;
mod resolve;
mod yaml;

pub use config::{
    Alphabet, ApiKey, ApiKeys, Audit, AuditArguments, AuditSink, Authentication,
    AuthenticationMethod, Authorization, AuthorizationDefault, AuthorizationEffect,
    AuthorizationRule, AuthorizationServer, Backend, BackendBounds, BackendTls, Bounds,
    CallersCredential, Certificate, CertificateName, ClientCertificates, ClientCredentials,
    ClientProof, Config, Credentials, EraSetting, Glob, HostPattern, HttpWire, IgnoredLocation,
    Jwks, Jwt, JwtAlgorithm, KeyPair, Listener, ListenerTls, Located, Location, Log, LogFormat,
    Login, LoginClient, Names, Network, OAuthClient, OriginPattern, Override, OwnCredential,
    Process, ProcessLimits, PublicUrl, Restart, Roots, Route, SealKey, Secret, SecretPlace,
    SessionPolicy, Shaping, SseWire, StdioWire, Timeouts, TlsVersion, TokenExchange, WhenFull,
    Wire,
};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use document::json_schema;
pub use environment::Environment;
pub use import::{Imported, Remark, import};
pub use locate::{NotFound, locate};
pub use moment::expiry;
pub use reference::reference_page;
pub use resolve::{load, parse};
