//! Pages of a list: a small page leads over everything exactly once, and its cursors are sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::offering::{LISTS, five, keys, offering, tools};
use crate::support::{Backend, Gateway, Stateful, Stateless};

/// Walks over all pages of a list and returns the keys of each.
async fn walk(method: &str, ask: impl AsyncFn(Value) -> Value) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut params = json!({});
    loop {
        let listed = ask(params).await;
        pages.push(keys(&listed));
        assert!(pages.len() < 1000, "{method} goes on for ever");
        match listed["result"]["nextCursor"].as_str() {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn a_small_page_leads_over_everything_exactly_once() {
    let (one, two) = (
        Backend::start("2025-11-25", offering("one", five('a'))).await,
        Backend::start("2026-07-28", offering("two", five('b'))).await,
    );
    let fleet = format!(
        "routes:\n  /mcp: {{first_page: 3}}\nbackends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    );
    let gateway = Gateway::start(&fleet);
    let stateless = Stateless::new(&gateway.url());
    let stateful = Stateful::open(&gateway.url(), "2025-06-18").await;
    for method in LISTS {
        let by_stateless = walk(method, async |params| stateless.ask(method, params).await).await;
        let by_stateful = walk(method, async |params| stateful.ask(method, params).await).await;
        assert_eq!(by_stateless, by_stateful, "{method}");
        assert_eq!(
            by_stateless.iter().map(Vec::len).collect::<Vec<_>>(),
            [3, 3, 3, 1],
            "{method}"
        );
        let mut all: Vec<String> = by_stateless.concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10, "{method}");
    }
}

const KEYS: &str =
    "seal_keys: [{id: 1, key: 6b1c0f7f2d1b4a6f8c3e5d7a9b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e}]\n";

#[tokio::test]
async fn a_cursor_goes_on_in_another_session_and_at_another_gateway_with_the_same_keys() {
    let backend = Backend::start("2025-11-25", offering("one", five('a'))).await;
    let fleet = format!(
        "{KEYS}routes:\n  /mcp: {{first_page: 2}}\nbackends:\n{}",
        backend.entry("one")
    );
    let (first, second) = (Gateway::start(&fleet), Gateway::start(&fleet));
    let begun = Stateful::open(&first.url(), "2025-11-25")
        .await
        .ask("tools/list", json!({}))
        .await;
    let cursor = json!({"cursor": begun["result"]["nextCursor"]});
    let other_session = Stateful::open(&first.url(), "2025-03-26")
        .await
        .ask("tools/list", cursor.clone())
        .await;
    let stateless = Stateless::new(&first.url())
        .ask("tools/list", cursor.clone())
        .await;
    let other_gateway = Stateful::open(&second.url(), "2025-11-25")
        .await
        .ask("tools/list", cursor)
        .await;
    for page in [other_session, stateless, other_gateway] {
        assert_eq!(keys(&page), ["one__a3", "one__a4"], "{page}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_route_or_gateway_or_with_a_changed_character_is_refused() {
    let backend = Backend::start("2025-11-25", offering("one", five('a'))).await;
    let fleet = format!(
        "routes:\n  /mcp: {{first_page: 2}}\n  /other: {{first_page: 2}}\nbackends:\n{}",
        backend.entry("one")
    );
    let gateway = Gateway::start(&fleet);
    let client = Stateless::new(&gateway.url());
    let begun = client.ask("tools/list", json!({})).await;
    let cursor = begun["result"]["nextCursor"].as_str().unwrap();
    let refused = async |client: &Stateless, method: &str, cursor: &str| {
        let answer = client.ask(method, json!({"cursor": cursor})).await;
        assert_eq!(
            answer["error"]["code"], -32602,
            "{method} {cursor}: {answer}"
        );
    };
    refused(&client, "prompts/list", cursor).await;
    refused(&Stateless::new(&gateway.at("/other")), "tools/list", cursor).await;
    refused(
        &Stateless::new(&Gateway::start(&fleet).url()),
        "tools/list",
        cursor,
    )
    .await;
    for at in 0..cursor.len() {
        let other = if &cursor[at..=at] == "A" { "B" } else { "A" };
        refused(
            &client,
            "tools/list",
            &format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]),
        )
        .await;
    }
    assert_eq!(
        keys(&client.ask("tools/list", json!({"cursor": cursor})).await).len(),
        2
    );
}

#[tokio::test]
async fn a_cursor_goes_on_behind_its_place_when_the_catalog_has_changed() {
    let version = Arc::new(AtomicUsize::new(0));
    let offers = [
        tools(&["a", "c", "e", "g"]),
        tools(&["b", "d", "e", "f", "g"]),
    ];
    let now = version.clone();
    let backend = Backend::start("2025-11-25", move |method, params| {
        let lists = json!({"tools": offers[now.load(Ordering::SeqCst)]});
        offering("one", lists)(method, params)
    })
    .await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{first_page: 2}}\nbackends:\n{}",
        backend.entry("b")
    ));
    // What is there from the start is nothing to announce.
    Stateless::new(&gateway.url())
        .ask("tools/list", json!({}))
        .await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let begun = client.ask("tools/list", json!({})).await;
    assert_eq!(keys(&begun), ["b__a", "b__c"]);
    let mut stream = client.listen().await;
    backend.is_listened_to().await;
    version.store(1, Ordering::SeqCst);
    backend
        .announce("notifications/tools/list_changed", json!({}))
        .await;
    stream.event().await.unwrap();
    let rest = client
        .ask(
            "tools/list",
            json!({"cursor": begun["result"]["nextCursor"]}),
        )
        .await;
    assert_eq!(keys(&rest), ["b__d", "b__e"], "{rest}");
}
