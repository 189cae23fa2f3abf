//! One MCP server behind us.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::{BackendTls, Credentials, Located, Location, Process, Secret};

/// One MCP server behind us.
#[derive(Debug, Clone)]
pub struct Backend {
    /// `[a-z][a-z0-9-]{0,31}`.
    pub name: String,
    /// What stands before `__` in exposed names; empty: names are exposed as they are.
    pub prefix: String,
    /// How it is reached.
    pub wire: Wire,
    /// Which era it speaks.
    pub era: EraSetting,
    /// Whose calls share a session; `None` is the default of design §5 for the wire and the caller.
    pub sessions: Option<SessionPolicy>,
    /// Whether its URIs are listed as `{name}+{uri}` even if no other backend has them.
    pub prefixed_uris: bool,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// How often its listings are fetched when nothing says how long they stay fresh.
    pub refresh: Duration,
    /// When a conversation that nobody uses is closed; it is opened again on demand.
    pub idle: Duration,
    /// How it is started again after a crash.
    pub restart: Restart,
    /// What limits it.
    pub bounds: BackendBounds,
    /// What is shown to it. Never for `stdio`.
    pub credentials: Option<Credentials>,
    /// Where it was written, for messages. Does not count in equality.
    pub location: Option<Location>,
}

/// How a backend is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Wire {
    /// A supervised child that speaks over stdin and stdout.
    Stdio(StdioWire),
    /// Streamable HTTP.
    Http(HttpWire),
    /// HTTP+SSE of 2024-11-05. Always stateful.
    Sse(SseWire),
}

/// A supervised child that speaks over stdin and stdout.
#[derive(Debug, Clone, PartialEq)]
pub struct StdioWire {
    /// The child.
    pub process: Process,
}

/// Streamable HTTP.
#[derive(Clone, PartialEq)]
pub struct HttpWire {
    /// The endpoints of its replicas, at least one: absolute, `http` or `https`, no user information, no fragment.
    pub urls: Vec<Located<Uri>>,
    /// Sent with every request. Names are unique and none is a header that belongs to the hop; values are valid.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How TLS is spoken to it.
    pub tls: BackendTls,
    /// A program that serves the URL, started and supervised by us.
    pub process: Option<Process>,
}

/// HTTP+SSE of 2024-11-05.
#[derive(Clone, PartialEq)]
pub struct SseWire {
    /// Where the event stream is: absolute, `http` or `https`, no user information, no fragment.
    pub url: Located<Uri>,
    /// As in [`HttpWire::headers`].
    pub headers: Vec<(HeaderName, Secret)>,
    /// As in [`HttpWire::tls`].
    pub tls: BackendTls,
    /// As in [`HttpWire::process`].
    pub process: Option<Process>,
}

/// Which era a backend speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EraSetting {
    /// Found out by asking (digest §2E).
    #[default]
    Auto,
    /// `initialize` and sessions.
    Stateful,
    /// From 2026-07-28.
    Stateless,
}

/// Whose calls share a session of a stateful backend (design §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPolicy {
    /// Each client session has its own.
    PerClient,
    /// All of one principal's calls share one.
    PerPrincipal,
    /// Each call has its own.
    PerCall,
    /// Everybody shares one: the operator says that the backend keeps no state.
    Shared,
}

/// How long a backend may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From connecting or starting to the end of the handshake.
    pub start: Duration,
    /// From a call to its outcome; progress starts it anew.
    pub call: Duration,
    /// One page of a listing.
    pub list: Duration,
    /// From closing a child's stdin to the first signal, and from that to the last.
    pub stop: Duration,
}

/// How a child is started again after a crash, and a lost backend connected again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// The first wait; each next one is twice as long, with jitter.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// After so many crashes …
    pub crashes: u32,
    /// … within this time the backend is parked.
    pub within: Duration,
}

/// Upper bounds of one backend (design §11). None is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendBounds {
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls that wait for their turn; more are refused.
    pub queue: usize,
    /// Pages of one list.
    pub pages: usize,
    /// Items of one kind.
    pub items: usize,
    /// Conversations open at a time: sessions, or processes of a program.
    pub conversations: usize,
    /// Conversations of one principal open at a time.
    pub conversations_per_principal: usize,
}

impl Backend {
    /// A backend with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, wire: Wire) -> Self {
        let name = name.into();
        Self {
            prefix: name.clone(),
            name,
            wire,
            era: EraSetting::default(),
            sessions: None,
            prefixed_uris: false,
            timeouts: Timeouts::default(),
            refresh: DEFAULT_REFRESH,
            idle: DEFAULT_IDLE,
            restart: Restart::default(),
            bounds: BackendBounds::default(),
            credentials: None,
            location: None,
        }
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a field added later cannot be forgotten here.
        let Self {
            name,
            prefix,
            wire,
            era,
            sessions,
            prefixed_uris,
            timeouts,
            refresh,
            idle,
            restart,
            bounds,
            credentials,
            location: _,
        } = self;
        *name == other.name
            && *prefix == other.prefix
            && *wire == other.wire
            && *era == other.era
            && *sessions == other.sessions
            && *prefixed_uris == other.prefixed_uris
            && *timeouts == other.timeouts
            && *refresh == other.refresh
            && *idle == other.idle
            && *restart == other.restart
            && *bounds == other.bounds
            && *credentials == other.credentials
    }
}

/// A URL without what may be secret in it.
struct Shown<'a>(&'a Uri);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.0.query().map_or("", |_| "?…");
        let host = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        let scheme = self.0.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{host}{}{query}", self.0.path())
    }
}

impl fmt::Debug for HttpWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(|url| Shown(url)).collect();
        f.debug_struct("HttpWire")
            .field("urls", &urls)
            .field("headers", &self.headers)
            .field("process", &self.process)
            .finish()
    }
}

impl fmt::Debug for SseWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseWire")
            .field("url", &Shown(&self.url))
            .field("headers", &self.headers)
            .field("process", &self.process)
            .finish()
    }
}

impl Wire {
    /// The program behind the backend, if we start it.
    #[must_use]
    pub const fn process(&self) -> Option<&Process> {
        match self {
            Self::Stdio(wire) => Some(&wire.process),
            Self::Http(wire) => wire.process.as_ref(),
            Self::Sse(wire) => wire.process.as_ref(),
        }
    }

    /// The key of the kind in the document: `stdio`, `http` or `sse`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stdio(_) => "stdio",
            Self::Http(_) => "http",
            Self::Sse(_) => "sse",
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            call: Duration::from_secs(10 * 60),
            list: Duration::from_secs(30),
            stop: Duration::from_secs(5),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            crashes: 5,
            within: Duration::from_secs(60),
        }
    }
}

impl Default for BackendBounds {
    fn default() -> Self {
        Self {
            in_flight: 512,
            queue: 512,
            pages: 1_000,
            items: 20_000,
            conversations: 1_024,
            conversations_per_principal: 256,
        }
    }
}

/// How often listings are fetched when nothing says how long they stay fresh.
pub(crate) const DEFAULT_REFRESH: Duration = Duration::from_secs(5 * 60);
/// When a conversation that nobody uses is closed.
pub(crate) const DEFAULT_IDLE: Duration = Duration::from_secs(30 * 60);
