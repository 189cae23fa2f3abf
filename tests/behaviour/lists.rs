//! Lists: everything that every backend lists, merged, in order, from the catalog, and what is told of changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use crate::support::offering::{LISTS, five, keys, offering, tools};
use crate::support::{
    BACKEND_REVISIONS, Backend, Gateway, Reaction, STATEFUL_REVISIONS, Stateful, Stateless,
};

#[tokio::test]
async fn all_pages_of_all_backends_arrive_merged_and_in_the_order_of_the_config() {
    for revision in BACKEND_REVISIONS {
        let (one, two) = (
            Backend::start(revision, offering("one", five('a'))).await,
            Backend::start(revision, offering("two", five('b'))).await,
        );
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            two.entry("two"),
            one.entry("one")
        ));
        let stateless = Stateless::new(&gateway.url());
        let numbers = 1..=5;
        let expected = |form: &dyn Fn(&str, char, usize) -> String| {
            let of = |backend, letter| numbers.clone().map(move |number| (backend, letter, number));
            of("two", 'b')
                .chain(of("one", 'a'))
                .map(|(backend, letter, number)| form(backend, letter, number))
                .collect::<Vec<_>>()
        };
        let named = expected(&|backend, letter, number| format!("{backend}__{letter}{number}"));
        let uris = expected(&|_, letter, number| format!("{letter}://{number}"));
        let patterns = expected(&|_, letter, number| format!("{letter}://{number}/{{x}}"));
        for (method, expected) in LISTS.into_iter().zip([&named, &named, &uris, &patterns]) {
            assert_eq!(
                keys(&stateless.ask(method, json!({})).await),
                *expected,
                "{revision}: {method}"
            );
        }
        for client in STATEFUL_REVISIONS {
            let stateful = Stateful::open(&gateway.url(), client).await;
            for (method, expected) in LISTS.into_iter().zip([&named, &named, &uris, &patterns]) {
                assert_eq!(
                    keys(&stateful.ask(method, json!({})).await),
                    *expected,
                    "{client}, {revision}: {method}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_the_same_after_a_restart_and_whoever_came_up_first() {
    let (hold, held) = mpsc::channel::<String>(1);
    let held = Mutex::new(Some(held));
    let inner = offering("one", five('a'));
    let slow = Backend::start("2025-11-25", move |method, params| match method {
        // Only the first time: the first gateway hears of this backend last.
        "tools/list" if params["cursor"].is_null() => held
            .lock()
            .unwrap()
            .take()
            .map(Reaction::Stream)
            .or_else(|| inner(method, params)),
        _ => inner(method, params),
    })
    .await;
    let quick = Backend::start("2026-07-28", offering("two", five('b'))).await;
    let fleet = format!("backends:\n{}{}", slow.entry("one"), quick.entry("two"));
    let mut texts = Vec::new();
    for start in 0..2 {
        let gateway = Gateway::start(&fleet);
        let client = Stateless::new(&gateway.url());
        if start == 0 {
            slow.saw("tools/list").await;
            quick.saw("resources/templates/list").await;
            let whole = json!({"jsonrpc": "2.0", "id": 0, "result": {"tools": five('a')["tools"]}});
            hold.send(whole.to_string().replace("\"id\":0", "\"id\":$id"))
                .await
                .unwrap();
        }
        let mut all = Vec::new();
        for method in LISTS {
            all.push(client.ask(method, json!({})).await["result"].to_string());
        }
        texts.push(without_cache_hints(&all.join("\n")));
    }
    assert_eq!(texts[0], texts[1]);
}

/// How long a list may be kept depends on when it was fetched; nothing else in it may.
fn without_cache_hints(text: &str) -> String {
    text.split(',')
        .filter(|part| !part.contains("\"ttlMs\""))
        .collect::<Vec<_>>()
        .join(",")
}

#[tokio::test]
async fn a_list_makes_no_backend_request_while_the_catalog_is_fresh() {
    for revision in BACKEND_REVISIONS {
        let backend = Backend::start(revision, offering("one", five('a'))).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("one")));
        let stateless = Stateless::new(&gateway.url());
        stateless.ask("tools/list", json!({})).await;
        let asked = || LISTS.map(|method| backend.count(method));
        let before = asked();
        assert_eq!(before, [3; 4], "every page once: {revision}");
        for client in STATEFUL_REVISIONS {
            let stateful = Stateful::open(&gateway.url(), client).await;
            for method in LISTS {
                assert!(!keys(&stateful.ask(method, json!({})).await).is_empty());
                assert!(!keys(&stateless.ask(method, json!({})).await).is_empty());
            }
        }
        assert_eq!(asked(), before, "{revision}");
    }
}

/// A backend that announces nothing, and offers a tool called `v` and the number that the test sets.
async fn silent(revision: &'static str, version: &Arc<AtomicUsize>) -> Backend {
    let version = version.clone();
    Backend::start(revision, move |method, params| {
        let capabilities = json!({"tools": {}});
        match method {
            "initialize" => Some(Reaction::Result(
                json!({"protocolVersion": revision, "capabilities": capabilities,
                "serverInfo": {"name": "silent", "version": "1"}}),
            )),
            "server/discover" => Some(Reaction::Result(json!({"supportedVersions": [revision],
                "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private"}))),
            "tools/list" => {
                let name = format!("v{}", version.load(Ordering::SeqCst));
                let mut result = json!({"tools": tools(&[&name])});
                if revision == "2026-07-28" {
                    result["ttlMs"] = json!(1000);
                    result["cacheScope"] = json!("public");
                }
                Some(Reaction::Result(result))
            }
            _ => offering("silent", json!({}))(method, params),
        }
    })
    .await
}

#[tokio::test]
async fn a_change_that_the_backend_does_not_announce_is_announced_once_it_is_seen() {
    let version = Arc::new(AtomicUsize::new(1));
    let backend = silent("2025-11-25", &version).await;
    let entry = backend.entry("b");
    let gateway = Gateway::start(&format!("backends:\n{entry}    refresh: 300ms\n"));
    // What is there from the start is nothing to announce.
    Stateless::new(&gateway.url())
        .ask("tools/list", json!({}))
        .await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    assert_eq!(
        client.initialized["result"]["capabilities"]["tools"]["listChanged"],
        true
    );
    assert_eq!(keys(&client.ask("tools/list", json!({})).await), ["b__v1"]);
    let mut stream = client.listen().await;
    // Looking again and finding the same is nothing to announce: exactly one notice per change.
    backend
        .counted("tools/list", backend.count("tools/list") + 3)
        .await;
    for number in 2..5 {
        version.store(number, Ordering::SeqCst);
        assert_eq!(
            stream.event().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
        assert_eq!(
            keys(&client.ask("tools/list", json!({})).await),
            [format!("b__v{number}")]
        );
    }
}

#[tokio::test]
async fn a_list_that_is_out_of_date_is_fetched_before_it_is_answered() {
    let version = Arc::new(AtomicUsize::new(1));
    let backend = silent("2026-07-28", &version).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let client = Stateless::new(&gateway.url());
    let first = client.ask("tools/list", json!({})).await;
    assert_eq!(keys(&first), ["b__v1"]);
    assert!(
        first["result"]["ttlMs"].as_u64().unwrap() <= 1000,
        "{first}"
    );
    version.store(2, Ordering::SeqCst);
    // Fresh lists are answered from the catalog; the first that is not brings the change.
    let mut lists = 0;
    while keys(&client.ask("tools/list", json!({})).await) != ["b__v2"] {
        lists += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        backend.count("tools/list") <= 3,
        "{} fetches for {lists} lists",
        backend.count("tools/list")
    );
}

#[tokio::test]
async fn what_no_backend_offers_is_not_declared() {
    let version = Arc::new(AtomicUsize::new(1));
    for revision in BACKEND_REVISIONS {
        let backend = silent(revision, &version).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let stateless = Stateless::new(&gateway.url());
        stateless.ask("tools/list", json!({})).await;
        let expected = json!({"tools": {"listChanged": true}});
        let discovered = stateless.ask("server/discover", json!({})).await;
        assert_eq!(
            discovered["result"]["capabilities"], expected,
            "{revision}: {discovered}"
        );
        let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
        assert_eq!(
            stateful.initialized["result"]["capabilities"], expected,
            "{revision}"
        );
        // Lists of what nobody has are empty, not an error; nobody is asked for them.
        assert_eq!(
            keys(&stateful.ask("prompts/list", json!({})).await),
            Vec::<String>::new()
        );
        assert_eq!(backend.count("prompts/list"), 0);
    }
}
