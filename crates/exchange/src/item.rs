//! Tools, prompts, resources and templates, and where a request for one goes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use isthmus_protocol::{Method, RawJson};

use crate::BackendName;

/// The four kinds of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource.
    Resource,
    /// A resource template.
    ResourceTemplate,
}

impl ItemKind {
    /// All kinds, in the order in which pages of documentation and output show them.
    pub const ALL: [Self; 4] = [
        Self::Tool,
        Self::Prompt,
        Self::Resource,
        Self::ResourceTemplate,
    ];

    /// The method that lists the kind.
    #[must_use]
    pub const fn list_method(self) -> Method {
        match self {
            Self::Tool => Method::ToolsList,
            Self::Prompt => Method::PromptsList,
            Self::Resource => Method::ResourcesList,
            Self::ResourceTemplate => Method::ResourcesTemplatesList,
        }
    }

    /// The kind that a list method lists.
    #[must_use]
    pub const fn of_list_method(method: &Method) -> Option<Self> {
        match method {
            Method::ToolsList => Some(Self::Tool),
            Method::PromptsList => Some(Self::Prompt),
            Method::ResourcesList => Some(Self::Resource),
            Method::ResourcesTemplatesList => Some(Self::ResourceTemplate),
            _ => None,
        }
    }

    /// The member of a list result that holds the items.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::ResourceTemplate => "resourceTemplates",
        }
    }

    /// The member of an item that is its key: `name`, `uri` or `uriTemplate`.
    #[must_use]
    pub const fn key_member(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::ResourceTemplate => "uriTemplate",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::ResourceTemplate => "resource template",
        })
    }
}

/// Tells one item from every other, for as long as the process runs: a key of what is remembered about items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemId(u64);

impl ItemId {
    /// Something that no list shows. Nothing is remembered about it.
    pub const UNLISTED: Self = Self(0);

    /// An id that no item had before.
    #[must_use]
    pub fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The id as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// One item of the merged catalog.
#[derive(Debug)]
pub struct Item {
    /// Which one it is. Another definition is another item.
    pub id: ItemId,
    /// What it is.
    pub kind: ItemKind,
    /// Whose it is.
    pub backend: BackendName,
    /// Its key at the backend: a name, a URI or a template.
    pub native: String,
    /// Its key at our clients.
    pub exposed: String,
    /// Its definition as our clients see it: the backend's text with the exposed key and the operator's overrides.
    pub definition: RawJson,
    /// A tool's definition as the backend wrote it: `Mcp-Param` headers are made from its schema (MC-2).
    pub native_definition: RawJson,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The backend that answers.
    pub backend: BackendName,
    /// The key by which the backend knows the subject. For a completion, the native name, URI or template.
    pub native: String,
    /// The listed item, if the subject is one (a resource may be readable without being listed).
    pub item: Option<Arc<Item>>,
}
