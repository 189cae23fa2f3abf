//! `routes`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Authorization, Method, WaitText};
use crate::config::Route as Defaults;
use crate::yaml::{Entries, Spanned};

/// An MCP endpoint: which backends it reaches, and how their items look there.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Names of the backends behind this path. Default: all.
    pub(crate) backends: Option<Vec<Spanned<String>>>,
    /// How names of tools and prompts are made.
    pub(crate) names: Option<Names>,
    /// Which tools are shown, and how.
    pub(crate) tools: Option<Shaping>,
    /// Which prompts are shown, and how.
    pub(crate) prompts: Option<Shaping>,
    /// Which resources and resource templates are shown, and how.
    pub(crate) resources: Option<ResourceShaping>,
    /// How long a first list waits for backends that are still starting. What comes later is announced.
    #[schemars(extend("default" = WaitText(Defaults::new("").cold_start)))]
    pub(crate) cold_start: Option<WaitText>,
    /// Items in one page of a list. Large, because some clients never ask for a second page.
    #[schemars(range(min = 1), extend("default" = Defaults::new("").first_page))]
    pub(crate) first_page: Option<usize>,
    /// How callers show who they are, in the order in which it is tried: the first method that finds its kind of credential
    /// in a request decides. Default: what `authentication` says for all routes.
    #[schemars(length(min = 1))]
    pub(crate) authentication: Option<Vec<Spanned<Method>>>,
    /// Scopes that every caller needs. Who lacks one is told which are needed, and OAuth clients ask for them.
    pub(crate) required_scopes: Option<Vec<Spanned<String>>>,
    /// Which callers may see and use which items. Default: what `authorization` says for all routes.
    pub(crate) authorization: Option<Authorization>,
    /// The URL by which clients know the route, such as `https://mcp.example/mcp`. Tokens have to be made for it. Default:
    /// the public URL of the listener and the path.
    pub(crate) public_url: Option<Spanned<String>>,
    /// Whether `{path}/sse` and `{path}/messages` serve clients of 2024-11-05 (HTTP+SSE).
    #[schemars(extend("default" = true))]
    pub(crate) legacy_sse: Option<bool>,
}

/// How exposed names of tools and prompts are made: prefix, `__`, the backend's own name.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// Which characters may stand in a name; others become `_`.
    #[schemars(extend("default" = "portable"))]
    pub(crate) alphabet: Option<AlphabetWord>,
    /// How many characters a name may have. A longer one is cut and ends in a short hash. Clients put prefixes of their
    /// own before names, and model providers often allow 64 characters in all.
    #[schemars(range(min = 16, max = 128), extend("default" = crate::config::Names::default().budget))]
    pub(crate) budget: Option<usize>,
}

/// Which characters may stand in a name.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Alphabet")]
pub(crate) enum AlphabetWord {
    /// Letters, digits, `_` and `-`: what every client and model provider takes.
    Portable,
    /// And `.`: what the specification allows.
    Specification,
    /// Any: names stay as they are.
    Any,
}

/// Which items are shown, and how. Everything here speaks of exposed names, prefix included. In patterns `*` stands for
/// any characters and `?` for one.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shaping {
    /// Patterns: only what matches one of them is shown. Default: everything.
    #[schemars(length(min = 1))]
    pub(crate) include: Option<Vec<String>>,
    /// Patterns: what matches one of them is not shown, even if included.
    pub(crate) exclude: Option<Vec<String>>,
    /// Other names, by exposed name.
    pub(crate) rename: Option<Entries<Spanned<String>>>,
    /// Other words, by exposed name (the one before renaming).
    #[serde(rename = "override")]
    pub(crate) overrides: Option<Entries<Override>>,
}

/// Which resources and resource templates are shown, and how. Everything here speaks of URIs. In patterns `*` stands for
/// any characters and `?` for one.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceShaping {
    /// Patterns: only what matches one of them is shown. Default: everything.
    #[schemars(length(min = 1))]
    pub(crate) include: Option<Vec<String>>,
    /// Patterns: what matches one of them is not shown, even if included.
    pub(crate) exclude: Option<Vec<String>>,
    /// Other words, by URI or URI template.
    #[serde(rename = "override")]
    pub(crate) overrides: Option<Entries<Override>>,
}

/// Other words for one item. What is left out stays as the backend says.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Override {
    /// Its title.
    pub(crate) title: Option<String>,
    /// Its description.
    pub(crate) description: Option<String>,
    /// Members to set in its annotations, such as `readOnlyHint: true`; others stay.
    pub(crate) annotations: Option<serde_json::Map<String, serde_json::Value>>,
}
