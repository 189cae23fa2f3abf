//! Which backends a request may reach, and how their items look there.

use std::time::Duration;

use super::{Authentication, Authorization, Glob, Location, PublicUrl};

/// An MCP endpoint: which backends it reaches, and how their items look there.
#[derive(Debug, Clone)]
pub struct Route {
    /// Begins with `/`, does not end with one unless it is `/`.
    pub path: String,
    /// Names of backends, each once, in the order that decides between equals.
    pub backends: Vec<String>,
    /// How exposed names are made.
    pub names: Names,
    /// Which tools are shown, and how.
    pub tools: Shaping,
    /// Which prompts are shown, and how.
    pub prompts: Shaping,
    /// Which resources and resource templates are shown, and how. Patterns and keys are exposed URIs, templates as
    /// text; nothing is renamed.
    pub resources: Shaping,
    /// How long a first list waits for backends that are still starting.
    pub cold_start: Duration,
    /// Items in a page of a list.
    pub first_page: usize,
    /// Whether `{path}/sse` and `{path}/messages` serve HTTP+SSE of 2024-11-05.
    pub legacy_sse: bool,
    /// Who may call, and how they show who they are.
    pub authentication: Authentication,
    /// Which of them may see and use what; `None`: all of them everything.
    pub authorization: Option<Authorization>,
    /// By which URL clients know it, where that is not the listener's and the path.
    pub public_url: Option<PublicUrl>,
    /// Where it was written, for messages. Does not count in equality.
    pub location: Option<Location>,
}

/// How exposed names of tools and prompts are made (design §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Which characters may stand in them.
    pub alphabet: Alphabet,
    /// How long they may be, in characters: 16 to 128.
    pub budget: usize,
}

/// Which characters may stand in an exposed name; others become `_`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// `[A-Za-z0-9_-]`: what every client and model provider takes.
    #[default]
    Portable,
    /// `[A-Za-z0-9_.-]`: what the specification allows.
    Specification,
    /// Any character: names stay as they are.
    Any,
}

/// Which items of one kind a route shows, and how. Everything here speaks of exposed names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shaping {
    /// Only what matches one of these is shown; empty: everything.
    pub include: Vec<Glob>,
    /// What matches one of these is not shown, even if included.
    pub exclude: Vec<Glob>,
    /// Other names: from the exposed name as made to the one to show. Both sides unique.
    pub rename: Vec<(String, String)>,
    /// Other words, by exposed name as made (before renaming).
    pub overrides: Vec<(String, Override)>,
}

/// Other words for one item; `None` keeps what the backend says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Override {
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Members to set in its annotations; others stay.
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Route {
    /// A route to nothing yet, with every setting at its default.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            backends: Vec::new(),
            names: Names::default(),
            tools: Shaping::default(),
            prompts: Shaping::default(),
            resources: Shaping::default(),
            cold_start: Duration::from_secs(5),
            first_page: 1_000,
            legacy_sse: true,
            authentication: Authentication::default(),
            authorization: None,
            public_url: None,
            location: None,
        }
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a field added later cannot be forgotten here.
        let Self {
            path,
            backends,
            names,
            tools,
            prompts,
            resources,
            cold_start,
            first_page,
            legacy_sse,
            authentication,
            authorization,
            public_url,
            location: _,
        } = self;
        *path == other.path
            && *backends == other.backends
            && *names == other.names
            && *tools == other.tools
            && *prompts == other.prompts
            && *resources == other.resources
            && *cold_start == other.cold_start
            && *first_page == other.first_page
            && *legacy_sse == other.legacy_sse
            && *authentication == other.authentication
            && *authorization == other.authorization
            && *public_url == other.public_url
    }
}

impl Alphabet {
    /// Whether `character` may stand in an exposed name.
    #[must_use]
    pub const fn allows(self, character: char) -> bool {
        match self {
            Self::Portable => character.is_ascii_alphanumeric() || matches!(character, '_' | '-'),
            Self::Specification => {
                character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')
            }
            Self::Any => true,
        }
    }
}

impl Shaping {
    /// Whether an item with this exposed name (as made, before renaming) is shown.
    #[must_use]
    pub fn shows(&self, exposed: &str) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(exposed));
        (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }

    /// The name to show instead of `exposed`, if there is another.
    #[must_use]
    pub fn renamed(&self, exposed: &str) -> Option<&str> {
        self.rename
            .iter()
            .find(|(from, _)| from == exposed)
            .map(|(_, to)| to.as_str())
    }

    /// Other words for the item called `exposed` (as made, before renaming).
    #[must_use]
    pub fn override_of(&self, exposed: &str) -> Option<&Override> {
        self.overrides
            .iter()
            .find(|(name, _)| name == exposed)
            .map(|(_, words)| words)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            alphabet: Alphabet::default(),
            budget: 48,
        }
    }
}
