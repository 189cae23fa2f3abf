//! Exactly what may be written in `gateway.yaml`.
//!
//! These types are the one description of the format: the JSON Schema, the check of a document, the reference page
//! and serde all follow them, and their comments are the operator's documentation. What is left out stays `None`;
//! defaults shown in the schema are taken from the checked settings, so neither can say something else.

mod audit;
mod authentication;
mod authorization;
mod backend;
mod bounds;
mod credentials;
mod listener;
mod login;
mod process;
mod route;
mod schema;
mod secret;
mod tls;
mod units;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use audit::{Audit, WhenFullWord};
pub(crate) use authentication::{
    AlgorithmName, ApiKey, ApiKeys, CertificateName, Jwks, Jwt, Method,
};
pub(crate) use authorization::{Authorization, DefaultWord, Rule as AuthorizationRule};
pub(crate) use backend::{Backend, BackendBounds, EraWord, Http, Restart, SessionsWord, Timeouts};
pub(crate) use bounds::Bounds;
pub(crate) use credentials::{
    ClientCredentials, CredentialHeader, Credentials, SecretPlaceWord, TokenExchange,
};
pub(crate) use listener::Listener;
pub(crate) use login::Login;
pub(crate) use process::{Process, ProcessLimits};
pub(crate) use route::{AlphabetWord, Names, Override, Route, Shaping};
pub use schema::json_schema;
pub(crate) use secret::Secret;
pub(crate) use tls::{BackendTls, KeyPair, ListenerTls, TlsVersionWord};
pub(crate) use units::{DurationText, SizeText, WaitText, parse_duration, parse_size};

use crate::yaml::{Entries, Spanned};

/// Settings of the isthmus MCP gateway.
///
/// Any text may hold `${X}` or `${X:-default}`: the value of an environment variable, put in after the file has been
/// read, so that it cannot change the shape of the document. Texts in single quotes are left alone, and `$${` means
/// `${`. Relative paths start at the folder of this file; `~/` is the home folder.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// Where clients are accepted, by a name of your choice.
    #[schemars(extend("default" = {"main": {"address": "127.0.0.1:8080"}}))]
    pub(crate) listeners: Option<Entries<Listener>>,
    /// MCP endpoints by path: which backends each reaches, and how their items look there.
    #[schemars(extend("default" = {"/mcp": {}}))]
    pub(crate) routes: Option<Entries<Route>>,
    /// The MCP servers behind the gateway, by name: `[a-z][a-z0-9-]*`, at most 32 characters. Where two offer the same,
    /// the one written first wins.
    pub(crate) backends: Option<Entries<Backend>>,
    /// How callers of routes show who they are, for every route that does not say so itself, in the order in which it is
    /// tried: the first method that finds its kind of credential in a request decides. Default: nobody is asked.
    #[schemars(length(min = 1))]
    pub(crate) authentication: Option<Vec<Spanned<Method>>>,
    /// Which callers may see and use which items, for every route that does not say so itself. Default: all of them
    /// everything.
    pub(crate) authorization: Option<Authorization>,
    /// Keys that callers may show, by a name of your choice.
    pub(crate) api_keys: Option<Entries<ApiKey>>,
    /// What limits everything that comes from the network.
    pub(crate) bounds: Option<Bounds>,
    /// The folder for files that outlast a run, such as the keys of session ids and cursors. Default:
    /// `$XDG_STATE_HOME/isthmus`, else `~/.local/state/isthmus`.
    pub(crate) state_directory: Option<Spanned<String>>,
    /// Keys of the tokens that clients hold for the gateway (session ids, cursors), newest first: the first one makes
    /// new tokens, all of them open old ones. Needed where several gateways serve the same clients. Default: one key, in
    /// a file of the state folder that is made on the first start.
    pub(crate) seal_keys: Option<Vec<SealKey>>,
    /// What is logged and how.
    pub(crate) log: Option<Log>,
    /// What is written down of every request, for whoever has to answer for it. Default: nothing.
    pub(crate) audit: Option<Audit>,
}

/// One key of the tokens that clients hold.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealKey {
    /// A number that stands in every token made with this key. Never use one twice.
    pub(crate) id: Spanned<u32>,
    /// 64 hexadecimal digits, as `openssl rand -hex 32` prints them.
    pub(crate) key: Spanned<Secret>,
}

/// What is logged and how.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or several for parts of the program, such
    /// as `info,isthmus_backend=debug`.
    #[schemars(extend("default" = crate::config::Log::default().filter))]
    pub(crate) filter: Option<String>,
    /// How a line looks.
    #[schemars(extend("default" = "text"))]
    pub(crate) format: Option<LogWord>,
}

/// How a log line looks.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "LogFormat")]
pub(crate) enum LogWord {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
