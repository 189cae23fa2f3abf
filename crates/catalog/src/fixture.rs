//! Backends and listings for tests, in a few words.

use std::sync::Arc;

use isthmus_config::{Backend, Process, Route, StdioWire, Wire};
use isthmus_exchange::{
    Attachment, BackendName, Caller, ClientCapabilities, Freshness, ItemKind, ListedItem, Listing,
    PeerFacts, Principal, Scope, ScopeId,
};
use isthmus_protocol::{RawJson, Revision};

use crate::{Catalog, Member, Standing};

/// The settings of a backend, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) settings: Backend,
    pub(crate) standing: Standing,
}

/// A stdio backend that lists `items`: `(kind, key, more members)`.
pub(crate) fn backend(name: &str, items: &[(ItemKind, &str, &str)]) -> Fixture {
    let process = Process::new("true");
    Fixture {
        settings: Backend::new(name, Wire::Stdio(StdioWire { process })),
        standing: Standing::Listed(Arc::new(listing(items))),
    }
}

/// A backend that lists tools only.
pub(crate) fn tools(name: &str, tools: &[&str]) -> Fixture {
    let items: Vec<_> = tools
        .iter()
        .map(|tool| (ItemKind::Tool, *tool, ""))
        .collect();
    backend(name, &items)
}

pub(crate) fn listing(items: &[(ItemKind, &str, &str)]) -> Listing {
    let items = items.iter().map(|(kind, key, more)| {
        let comma = if more.is_empty() { "" } else { "," };
        let key_text = RawJson::string(key);
        let text = format!("{{\"{}\":{key_text}{comma}{more}}}", kind.key_member());
        ListedItem {
            kind: *kind,
            key: (*key).to_owned(),
            definition: json(&text),
        }
    });
    Listing {
        facts: PeerFacts {
            revision: Revision::V2025_11_25,
            capabilities: json(r#"{"tools":{}}"#),
            server_info: None,
            instructions: None,
        },
        items: items.collect(),
        freshness: Freshness {
            ttl: None,
            public: false,
            watched: true,
        },
    }
}

pub(crate) fn build(route: &Route, backends: &[Fixture]) -> Catalog {
    let members: Vec<_> = backends
        .iter()
        .map(|backend| Member {
            name: name(&backend.settings.name),
            settings: &backend.settings,
            standing: backend.standing.clone(),
        })
        .collect();
    Catalog::build(route, &members)
}

pub(crate) fn route() -> Route {
    Route::new("/mcp")
}

pub(crate) fn name(text: &str) -> BackendName {
    BackendName::parse(text).unwrap()
}

pub(crate) fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

pub(crate) fn caller() -> Caller {
    let principal = Principal::anonymous();
    Caller {
        scope: Arc::new(Scope::principal(ScopeId(1), principal.id().clone())),
        principal,
        revision: Revision::LATEST,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    }
}

/// Exposed keys of the shown items.
pub(crate) fn shown(catalog: &Catalog, kind: ItemKind) -> Vec<String> {
    let items = catalog.items(kind).iter();
    items.map(|item| item.exposed.clone()).collect()
}
