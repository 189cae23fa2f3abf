//! Keys come and go while the gateway runs, and what belongs to somebody stays with him.

use serde_json::json;

use super::issuer::{ISSUER, Issuer, RESOURCE};
use super::visitor::{Visitor, api_keys, new_key};
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

#[tokio::test]
async fn a_new_key_of_the_same_principal_goes_on_in_its_sessions_and_the_old_one_ends() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let (old, new, other) = (
        new_key("laptop", &[]),
        new_key("laptop-2", &[]),
        new_key("ci", &[]),
    );
    let fleet = |keys: String| {
        format!(
            "authentication: [api_keys: {{}}]\n{keys}backends:\n{}",
            backend.entry("b")
        )
    };
    let gateway = Gateway::start(&fleet(api_keys(&[&old, &other])));
    let before = Visitor::with(&gateway.url(), &old.key).open().await;
    let session = before.session.clone().unwrap();
    let succeeding =
        api_keys(&[&new, &other]).replace("laptop-2\":\n", "laptop-2\":\n    principal: laptop\n");
    assert!(succeeding.contains("principal: laptop"));
    gateway.rewrite_config(&fleet(succeeding));
    gateway.logs("reloaded").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(before.post(&ping).await.status, 401);
    let after = Visitor::with(&gateway.url(), &new.key).in_session(&session);
    assert_eq!(after.ask("ping", json!({})).await["result"], json!({}));
    let stranger = Visitor::with(&gateway.url(), &other.key).in_session(&session);
    assert_eq!(stranger.post(&ping).await.status, 404);
    assert!(!gateway.log().contains(&old.key) && !gateway.log().contains(&new.key));
}

#[tokio::test]
async fn a_change_of_the_file_with_the_keys_takes_effect_at_once() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, old.published()).unwrap();
    let gateway = Gateway::start_in(
        folder,
        &format!(
            "authentication: [jwt: {{issuer: {ISSUER}, audience: [{RESOURCE}], jwks: {{file: jwks.json}}}}]\nbackends:\n{}",
            backend.entry("b")
        ),
    );
    let before = Visitor::with(&gateway.url(), &old.token("anna", json!({})))
        .open()
        .await;
    let session = before.session.clone().unwrap();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let early = Visitor::with(&gateway.url(), &new.token("anna", json!({}))).in_session(&session);
    assert_eq!(early.post(&ping).await.status, 401);
    std::fs::write(&file, new.published()).unwrap();
    gateway.logs("reloaded").await;
    assert_eq!(before.post(&ping).await.status, 401);
    assert_eq!(early.ask("ping", json!({})).await["result"], json!({}));
    // A file that holds no keys changes nothing.
    std::fs::write(&file, "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\"}]}").unwrap();
    gateway
        .logs("it has no key that could check a signature")
        .await;
    assert_eq!(early.ask("ping", json!({})).await["result"], json!({}));
    assert!(gateway.log().contains("the old one stays in force"));
}
