//! What a request pays for the catalog: looking a name or URI up, and being handed the first page of a list.
//!
//! Ten backends with a thousand tools, a hundred resources and ten templates each. For comparison, what a rebuild costs,
//! which no request pays.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use isthmus_catalog::{Catalog, Member, Standing, View};
use isthmus_config::{Backend, Process, Route, StdioWire, Wire};
use isthmus_exchange::{
    AllAllowed, Attachment, BackendName, Caller, ClientCapabilities, Freshness, ItemKind,
    ListedItem, Listing, PeerFacts, Principal, Scope, ScopeId,
};
use isthmus_protocol::{RawJson, Revision};
use isthmus_seal::SealKeys;

const BACKENDS: usize = 10;

fn listing(backend: usize) -> Listing {
    let item = |kind: ItemKind, key: String| {
        let description = "Does one thing well and says so in a sentence of ordinary length.";
        let definition = serde_json::json!({
            (kind.key_member()): key,
            "description": description,
            "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
        });
        let definition = RawJson::from_serialize(&definition);
        ListedItem {
            kind,
            key,
            definition,
        }
    };
    let tools = (0..1_000).map(|n| item(ItemKind::Tool, format!("tool_{n}_of_{backend}")));
    let resources = (0..100).map(|n| item(ItemKind::Resource, format!("file:///{backend}/{n}")));
    let templates = (0..10).map(|n| {
        item(
            ItemKind::ResourceTemplate,
            format!("db://{backend}/{n}/{{row}}"),
        )
    });
    Listing {
        facts: PeerFacts {
            revision: Revision::LATEST,
            capabilities: RawJson::empty_object(),
            server_info: None,
            instructions: None,
        },
        items: tools.chain(resources).chain(templates).collect(),
        freshness: Freshness {
            ttl: None,
            public: false,
            watched: true,
        },
    }
}

fn settings() -> Vec<Backend> {
    let wire = || {
        let process = Process::new("true");
        Wire::Stdio(StdioWire { process })
    };
    (0..BACKENDS)
        .map(|n| Backend::new(format!("b{n}"), wire()))
        .collect()
}

fn caller() -> Caller {
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

fn lookup(criterion: &mut Criterion) {
    let settings = settings();
    let members: Vec<_> = settings
        .iter()
        .enumerate()
        .map(|(n, settings)| Member {
            name: BackendName::parse(&settings.name).expect("the names above are valid"),
            settings,
            standing: Standing::Listed(Arc::new(listing(n))),
        })
        .collect();
    let route = Route::new("/mcp");
    let catalog = Catalog::build(&route, &members);
    let (caller, keys) = (caller(), SealKeys::generate());
    let view = View {
        caller: &caller,
        authorization: &AllAllowed,
    };
    let find = |name: &str| catalog.find(ItemKind::Tool, black_box(name), view);
    criterion.bench_function("find an exposed name", |b| {
        b.iter(|| find("b7__tool_500_of_7"))
    });
    criterion.bench_function("find a bare name", |b| b.iter(|| find("tool_500_of_7")));
    let locate = |uri: &str| catalog.locate(black_box(uri), view);
    criterion.bench_function("locate a listed URI", |b| b.iter(|| locate("file:///7/50")));
    criterion.bench_function("locate by template", |b| b.iter(|| locate("db://7/5/x")));
    criterion.bench_function("first page", |b| {
        b.iter(|| catalog.page(black_box(ItemKind::Resource), None, view, &keys));
    });
    criterion.bench_function("first page of many", |b| {
        b.iter(|| catalog.page(black_box(ItemKind::Tool), None, view, &keys));
    });
    let mut slow = criterion.benchmark_group("rebuild");
    slow.sample_size(10);
    slow.bench_function("11,100 items", |b| {
        b.iter(|| Catalog::build(&route, &members))
    });
    slow.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
