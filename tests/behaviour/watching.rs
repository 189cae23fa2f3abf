//! Subscriptions: one listen hears backends of both eras, and is promised no more than it gets.

use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::offering::{offering, resources};
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction, Stateful, Stateless};

const UPDATED: &str = "notifications/resources/updated";

/// A backend with these resources, which refuses to have `no://` ones watched.
async fn library(revision: &'static str, uris: &'static [&'static str]) -> Backend {
    let inner = offering("", json!({"resources": resources(uris)}));
    Backend::start(revision, move |method, params| match method {
        "resources/subscribe" if params["uri"].as_str().unwrap().starts_with("no://") => Some(
            Reaction::Error(json!({"code": -32602, "message": "not that one"})),
        ),
        _ => inner(method, params),
    })
    .await
}

/// Opens a listen for these URIs and returns what of them is acknowledged, and the rest.
async fn watch(client: &Stateless, uris: &[&str]) -> (Vec<String>, Answer) {
    client.ask("resources/list", json!({})).await;
    let filter = json!({"notifications": {"resourceSubscriptions": uris}});
    let mut listen = client.post("subscriptions/listen", filter, json!({})).await;
    let acknowledged = listen.event().await.unwrap();
    let honoured = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
    let honoured = serde_json::from_value(honoured.clone()).unwrap_or_default();
    (honoured, listen)
}

async fn update(backend: &Backend, uri: &str) {
    backend.is_listened_to().await;
    backend.announce(UPDATED, json!({"uri": uri})).await;
}

async fn hears(listen: &mut Answer, uri: &str) {
    let heard = listen.notified(UPDATED).await;
    assert_eq!(heard["params"]["uri"], uri, "{heard}");
    let subscription = &heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(*subscription, 7, "{heard}");
}

#[tokio::test]
async fn one_listen_hears_backends_of_both_eras_and_the_parts_of_what_it_watches() {
    let old = library("2025-11-25", &["doc://old", "doc://both"]).await;
    let new = library("2026-07-28", &["doc://new", "doc://both"]).await;
    let fleet = format!("backends:\n{}{}", old.entry("old"), new.entry("new"));
    let gateway = Gateway::start(&fleet);
    let client = Stateless::new(&gateway.url());
    let uris = ["doc://both", "doc://new", "doc://old", "new+doc://both"];
    let (honoured, mut listen) = watch(&client, &uris).await;
    assert_eq!(honoured, uris);
    update(&old, "doc://old/part").await;
    hears(&mut listen, "doc://old/part").await;
    update(&new, "doc://new").await;
    hears(&mut listen, "doc://new").await;
    update(&old, "doc://both").await;
    hears(&mut listen, "doc://both").await;
    update(&new, "doc://both").await;
    hears(&mut listen, "new+doc://both").await;
}

#[tokio::test]
async fn an_acknowledgement_leaves_out_what_is_refused_and_what_is_nobodys() {
    let library = library("2025-11-25", &["doc://a", "no://a"]).await;
    let gateway = Gateway::start(&format!("backends:\n{}", library.entry("b")));
    let client = Stateless::new(&gateway.url());
    let (honoured, mut listen) = watch(&client, &["doc://a", "no://a", "c+doc://a"]).await;
    // A backend that is alone is asked for whatever nobody lists, and this one takes it.
    assert_eq!(honoured, ["c+doc://a", "doc://a"]);
    update(&library, "doc://a").await;
    hears(&mut listen, "doc://a").await;
}

#[tokio::test]
async fn listens_of_one_client_are_one_subscription_and_a_new_one_takes_over_without_a_gap() {
    for revision in BACKEND_REVISIONS {
        let library = library(revision, &["doc://a", "doc://b"]).await;
        let gateway = Gateway::start(&format!("backends:\n{}", library.entry("b")));
        let client = Stateless::new(&gateway.url());
        let (_, old) = watch(&client, &["doc://a"]).await;
        let (_, mut new) = watch(&client, &["doc://a", "doc://b"]).await;
        drop(old);
        update(&library, "doc://a").await;
        hears(&mut new, "doc://a").await;
        update(&library, "doc://b").await;
        hears(&mut new, "doc://b").await;
        if revision != "2026-07-28" {
            assert_eq!(library.count("resources/subscribe"), 2);
            assert_eq!(library.count("resources/unsubscribe"), 0);
            drop(new);
            library.counted("resources/unsubscribe", 2).await;
        }
    }
}

#[tokio::test]
async fn whoever_watches_a_backend_that_leaves_and_comes_back_is_told_to_look_again() {
    for revision in BACKEND_REVISIONS {
        let library = library(revision, &["doc://a"]).await;
        let other = self::library("2025-11-25", &[]).await;
        let with = format!("backends:\n{}{}", other.entry("other"), library.entry("b"));
        let without = format!("backends:\n{}", other.entry("other"));
        let gateway = Gateway::start(&with);
        let client = Stateless::new(&gateway.url());
        let (_, mut listen) = watch(&client, &["doc://a"]).await;
        let session = Stateful::open(&gateway.url(), "2025-11-25").await;
        session
            .ask("resources/subscribe", json!({"uri": "doc://a"}))
            .await;
        let mut stream = session.listen().await;
        gateway.rewrite_config(&without);
        hears(&mut listen, "doc://a").await;
        assert_eq!(stream.notified(UPDATED).await["params"]["uri"], "doc://a");
        gateway.rewrite_config(&with);
        hears(&mut listen, "doc://a").await;
        assert_eq!(stream.notified(UPDATED).await["params"]["uri"], "doc://a");
        // And what was promised holds again.
        update(&library, "doc://a/part").await;
        hears(&mut listen, "doc://a/part").await;
        let heard: Value = stream.notified(UPDATED).await;
        assert_eq!(heard["params"]["uri"], "doc://a/part");
    }
}
