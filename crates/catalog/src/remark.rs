//! What an operator should know about a catalog: items that are not shown, and why; names that mean something else.

use std::fmt;

use isthmus_exchange::{BackendName, ItemKind};

/// Something about one item that an operator should know. Shown in logs, the status and the CLI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remark {
    /// What the item is.
    pub kind: ItemKind,
    /// Whose it is.
    pub backend: BackendName,
    /// Its native key; cut if it is very long.
    pub native: String,
    /// What is the matter with it.
    pub reason: Reason,
}

/// What is the matter with an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An item that stands earlier in config order has the same exposed key.
    Taken {
        /// The exposed key both would have.
        exposed: String,
        /// Whose item has it.
        by: BackendName,
    },
    /// Its own name, which pages of MCP Apps call it by, is what clients know an item of another backend by. It is shown.
    Captured {
        /// Whose item is meant.
        by: BackendName,
    },
    /// Its backend lists the key twice.
    Repeated,
    /// Its key is longer than we carry in a cursor.
    TooLong {
        /// Length of the key in bytes.
        length: usize,
    },
    /// The headers its schema asks for are not valid, so it cannot be called over stateless HTTP (MC-2).
    InvalidHeaders {
        /// What is wrong.
        explanation: String,
    },
}

impl Remark {
    pub(crate) fn new(kind: ItemKind, backend: &BackendName, native: &str, reason: Reason) -> Self {
        const SHOWN: usize = 100;
        Self {
            kind,
            backend: backend.clone(),
            native: native.chars().take(SHOWN).collect(),
            reason,
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            backend,
            native,
            reason,
        } = self;
        match reason {
            Reason::Captured { .. } => write!(f, "{kind} `{native}` of `{backend}`: {reason}"),
            _ => write!(f, "{kind} `{native}` of `{backend}` is hidden: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { exposed, by } => {
                write!(f, "`{exposed}` is already the name of an item of `{by}`")
            }
            Self::Captured { by } => {
                write!(f, "without its prefix the name means an item of `{by}`")
            }
            Self::Repeated => f.write_str("it is listed twice"),
            Self::TooLong { length } => write!(f, "its name has {length} bytes"),
            Self::InvalidHeaders { explanation } => {
                write!(f, "its `x-mcp-header` is not valid: {explanation}")
            }
        }
    }
}
