//! `backends`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BackendTls, Credentials, DurationText, Process, Secret};
use crate::config;
use crate::yaml::{Entries, Spanned};

/// One MCP server behind the gateway: one of `stdio`, `http` and `sse`, and how to treat it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["stdio"]}, {"required": ["http"]}, {"required": ["sse"]}]))]
pub(crate) struct Backend {
    /// A program that speaks MCP over its stdin and stdout.
    pub(crate) stdio: Option<Process>,
    /// A server that speaks Streamable HTTP.
    pub(crate) http: Option<Http>,
    /// A server that speaks HTTP+SSE of 2024-11-05.
    pub(crate) sse: Option<Sse>,
    /// What stands before `__` in the names of its tools and prompts: letters, digits, `-` and single `_`, at most 32.
    /// `""` for nothing: its names are exposed as they are. Default: the name of the backend.
    pub(crate) prefix: Option<Spanned<String>>,
    /// Which era of the protocol it speaks.
    #[schemars(extend("default" = "auto"))]
    pub(crate) era: Option<Spanned<EraWord>>,
    /// Whose calls share a session of a stateful backend. Default: `per-client` for `http` and `sse` with stateful
    /// clients, else `per-principal`; `per-call` for clients of an open listener that is not on loopback.
    pub(crate) sessions: Option<Spanned<SessionsWord>>,
    /// Whether its URIs are always listed as `{backend}+{uri}`. They can be read in that form in any case.
    #[schemars(extend("default" = false))]
    pub(crate) prefixed_uris: Option<bool>,
    /// How long it may take.
    pub(crate) timeouts: Option<Timeouts>,
    /// How often its lists are fetched anew when nothing says how long they stay fresh.
    #[schemars(extend("default" = DurationText(config::DEFAULT_REFRESH)))]
    pub(crate) refresh: Option<DurationText>,
    /// After which time without use a session or program is ended, to be opened again on demand.
    #[schemars(extend("default" = DurationText(config::DEFAULT_IDLE)))]
    pub(crate) idle: Option<DurationText>,
    /// How it is started or connected again when it was lost.
    pub(crate) restart: Option<Restart>,
    /// What limits it.
    pub(crate) bounds: Option<BackendBounds>,
    /// What is shown to it, for `http` and `sse`. Default: nothing but `headers`.
    pub(crate) credentials: Option<Spanned<Credentials>>,
}

/// A server that speaks Streamable HTTP.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Its endpoint, such as `https://mcp.example/mcp`; several if they are replicas of one server.
    #[schemars(length(min = 1), extend("examples" = [["https://mcp.example/mcp"]]))]
    pub(crate) urls: Vec<Spanned<String>>,
    /// Headers to send with every request: a text, or a secret as `{env: NAME}` or `{file: path}`.
    pub(crate) headers: Option<Entries<Spanned<Secret>>>,
    /// How TLS is spoken to it. Default: the system's authorities are believed, and nothing is shown.
    pub(crate) tls: Option<BackendTls>,
    /// A program that serves the URL, for the gateway to start and supervise.
    pub(crate) process: Option<Process>,
}

/// A server that speaks HTTP+SSE of 2024-11-05.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sse {
    /// Where its event stream is, such as `https://mcp.example/sse`.
    #[schemars(extend("examples" = ["https://mcp.example/sse"]))]
    pub(crate) url: Spanned<String>,
    /// Headers to send with every request: a text, or a secret as `{env: NAME}` or `{file: path}`.
    pub(crate) headers: Option<Entries<Spanned<Secret>>>,
    /// How TLS is spoken to it. Default: the system's authorities are believed, and nothing is shown.
    pub(crate) tls: Option<BackendTls>,
    /// A program that serves the URL, for the gateway to start and supervise.
    pub(crate) process: Option<Process>,
}

/// Which era of the protocol a backend speaks.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Era")]
pub(crate) enum EraWord {
    /// Found out by asking.
    Auto,
    /// `initialize` and sessions: revisions up to 2025-11-25.
    Stateful,
    /// Every request on its own: revisions from 2026-07-28.
    Stateless,
}

/// Whose calls share a session of a stateful backend.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "SessionPolicy")]
pub(crate) enum SessionsWord {
    /// Each session of a client has its own.
    PerClient,
    /// All calls of one principal share one.
    PerPrincipal,
    /// Each call has its own.
    PerCall,
    /// Everybody shares one. Only for a backend that keeps nothing from one call to the next.
    Shared,
}

/// How long a backend may take.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// From starting or connecting to the end of the handshake.
    #[schemars(extend("default" = DurationText(config::Timeouts::default().start)))]
    pub(crate) start: Option<DurationText>,
    /// From a call to its end; progress starts it anew.
    #[schemars(extend("default" = DurationText(config::Timeouts::default().call)))]
    pub(crate) call: Option<DurationText>,
    /// One page of a list.
    #[schemars(extend("default" = DurationText(config::Timeouts::default().list)))]
    pub(crate) list: Option<DurationText>,
    /// Between the steps of ending a program: closing its stdin, asking it to end, ending it.
    #[schemars(extend("default" = DurationText(config::Timeouts::default().stop)))]
    pub(crate) stop: Option<DurationText>,
}

/// How a backend is started or connected again when it was lost.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restart {
    /// The first wait. Each next one is twice as long.
    #[schemars(extend("default" = DurationText(config::Restart::default().first)))]
    pub(crate) first: Option<Spanned<DurationText>>,
    /// The longest wait.
    #[schemars(extend("default" = DurationText(config::Restart::default().longest)))]
    pub(crate) longest: Option<DurationText>,
    /// After so many crashes within `within` the backend is parked: it is not started again until the config changes.
    #[schemars(range(min = 1), extend("default" = config::Restart::default().crashes))]
    pub(crate) crashes: Option<u32>,
    /// The time in which crashes count.
    #[schemars(extend("default" = DurationText(config::Restart::default().within)))]
    pub(crate) within: Option<DurationText>,
}

/// What limits one backend.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackendBounds {
    /// Calls in flight.
    #[schemars(range(min = 1), extend("default" = config::BackendBounds::default().in_flight))]
    pub(crate) in_flight: Option<usize>,
    /// Calls that wait for their turn. More are refused.
    #[schemars(range(min = 1), extend("default" = config::BackendBounds::default().queue))]
    pub(crate) queue: Option<usize>,
    /// Pages of one list.
    #[schemars(range(min = 1), extend("default" = config::BackendBounds::default().pages))]
    pub(crate) pages: Option<usize>,
    /// Items of one kind. More are left out.
    #[schemars(range(min = 1), extend("default" = config::BackendBounds::default().items))]
    pub(crate) items: Option<usize>,
    /// Sessions with it, or processes of its program, at a time. When there is no room for another one, one that nobody
    /// uses is ended; if all are in use, the call is refused.
    #[schemars(range(min = 2), extend("default" = config::BackendBounds::default().conversations))]
    pub(crate) conversations: Option<usize>,
    /// Of these, how many may belong to one principal.
    #[schemars(range(min = 1), extend("default" = config::BackendBounds::default().conversations_per_principal))]
    pub(crate) conversations_per_principal: Option<usize>,
}
