//! What one backend offers.

use std::time::Duration;

use isthmus_protocol::{RawJson, Revision};

use crate::ItemKind;

/// Everything one backend listed, all pages of all kinds, in its own order.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What the backend said of itself.
    pub facts: PeerFacts,
    /// The items of each kind the backend has the capability for.
    pub items: Vec<ListedItem>,
    /// How long the listing may be taken for true.
    pub freshness: Freshness,
}

/// One item as its backend listed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedItem {
    /// What it is.
    pub kind: ItemKind,
    /// Its `name`, `uri` or `uriTemplate`.
    pub key: String,
    /// The whole definition as text.
    pub definition: RawJson,
}

/// What a backend says of itself: the result of `initialize` or `server/discover`, in one shape.
#[derive(Debug, Clone)]
pub struct PeerFacts {
    /// The revision spoken with it.
    pub revision: Revision,
    /// Its `capabilities` object.
    pub capabilities: RawJson,
    /// Its `serverInfo`; untrusted.
    pub server_info: Option<RawJson>,
    /// Its `instructions`; untrusted.
    pub instructions: Option<String>,
}

/// How long a listing may be taken for true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The shortest `ttlMs` of its pages; `None` if the backend's revision has no such hint.
    pub ttl: Option<Duration>,
    /// Every page said `cacheScope: public`.
    pub public: bool,
    /// The backend tells us when it changes, and somebody is listening.
    pub watched: bool,
}
