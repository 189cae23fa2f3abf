//! What the catalog costs: merging it, finding a tool in it, serving a list from it; small and with ten thousand tools.
//!
//! Text handling of single messages is measured by the bench of `crates/protocol`.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use isthmus_catalog::{Catalog, Member, Standing, View};
use isthmus_config::{Backend, Process, Route, StdioWire, Wire};
use isthmus_exchange::{
    AllAllowed, Attachment, BackendName, Caller, ClientCapabilities, Freshness, ItemKind,
    ListedItem, Listing, PeerFacts, Principal, Scope, ScopeId,
};
use isthmus_protocol::{RawJson, Revision};
use isthmus_seal::SealKeys;

const BACKENDS: usize = 10;

fn catalogs(criterion: &mut Criterion) {
    let keys = SealKeys::generate();
    let caller = caller();
    let view = View {
        caller: &caller,
        authorization: &AllAllowed,
    };
    let route = Route::new("/mcp");
    let mut group = criterion.benchmark_group("catalog");
    for tools in [100, 10_000] {
        let backends: Vec<Backend> = (0..BACKENDS).map(backend).collect();
        let members: Vec<Member<'_>> = backends
            .iter()
            .map(|settings| member(settings, tools / BACKENDS))
            .collect();
        let catalog = Catalog::build(&route, &members);
        let wanted = "backend-7__look_up_the_3rd_table";
        assert!(catalog.find(ItemKind::Tool, wanted, view).is_ok());

        group.bench_function(BenchmarkId::new("build", tools), |bencher| {
            bencher.iter(|| Catalog::build(&route, black_box(&members)));
        });
        group.bench_function(BenchmarkId::new("find a tool", tools), |bencher| {
            bencher.iter(|| catalog.find(ItemKind::Tool, black_box(wanted), view));
        });
        group.bench_function(BenchmarkId::new("first page", tools), |bencher| {
            bencher.iter(|| catalog.page(ItemKind::Tool, None, view, &keys));
        });
    }
}

fn backend(index: usize) -> Backend {
    let wire = Wire::Stdio(StdioWire {
        process: Process::new("server"),
    });
    Backend::new(format!("backend-{index}"), wire)
}

fn member(settings: &Backend, tools: usize) -> Member<'_> {
    let items = (0..tools)
        .map(|index| tool(&format!("look_up_the_{index}rd_table")))
        .collect();
    let facts = PeerFacts {
        revision: Revision::V2025_11_25,
        capabilities: RawJson::parse(r#"{"tools":{}}"#).unwrap(),
        server_info: None,
        instructions: None,
    };
    let freshness = Freshness {
        ttl: None,
        public: false,
        watched: true,
    };
    let listing = Arc::new(Listing {
        facts,
        items,
        freshness,
    });
    let name = BackendName::parse(&settings.name).unwrap();
    Member {
        name,
        settings,
        standing: Standing::Listed(listing),
    }
}

fn tool(name: &str) -> ListedItem {
    let definition = format!(
        r#"{{"name":"{name}","description":"Looks rows up by their name and gives them back in order.","inputSchema":{{"type":"object","properties":{{"name":{{"type":"string"}},"limit":{{"type":"integer","minimum":1}}}},"required":["name"]}}}}"#
    );
    ListedItem {
        kind: ItemKind::Tool,
        key: name.to_owned(),
        definition: RawJson::parse(definition).unwrap(),
    }
}

fn caller() -> Caller {
    let principal = Principal::anonymous();
    let scope = Scope::session(ScopeId(1), principal.id().clone());
    Caller {
        principal,
        revision: Revision::V2025_11_25,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        scope: Arc::new(scope),
        attachment: Attachment::Live,
        address: None,
    }
}

criterion_group! {
    name = catalog;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = catalogs
}
criterion_main!(catalog);
