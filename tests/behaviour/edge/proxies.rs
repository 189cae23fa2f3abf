//! Whom a listed proxy names is who is asking, for rules and for whoever reads the log; nobody else's word counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::authentication::visitor::Visitor;
use crate::support::http::send;
use crate::support::offering::{keys, offering, tools};
use crate::support::{Backend, Gateway, patience};

async fn gateway(backend: &Backend, proxies: &str) -> (Gateway, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let fleet = format!(
        "    trusted_proxies: [{proxies}]
audit: {{file: {{path: audit.jsonl}}}}
authorization: {{default: deny, rules: [{{allow: 'client.address == \"192.0.2.1\"'}}]}}
backends:\n{}",
        backend.entry("b")
    );
    let audit = folder.path().join("audit.jsonl");
    (Gateway::start_in(folder, &fleet), audit)
}

/// Waits until a line of the audit log names this client.
async fn is_written_down(audit: &Path, client: &str) {
    let waiting = async {
        while !std::fs::read_to_string(audit).is_ok_and(|text| text.contains(client)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(patience(), waiting).await;
    found.unwrap_or_else(|_| panic!("no line names {client}"));
}

async fn sees(gateway: &Gateway, said: &[(&str, &str)]) -> Vec<String> {
    let said: Vec<(String, String)> = said
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let visitor = Visitor::showing(&gateway.url(), &said);
    let stateless = visitor.stateless("tools/list", json!({}), json!({})).await;
    let stateless = keys(&stateless.json().await);
    let stateful: Value = visitor.open().await.ask("tools/list", json!({})).await;
    assert_eq!(stateless, keys(&stateful));
    stateless
}

#[tokio::test]
async fn the_word_of_a_listed_proxy_decides_and_that_of_nobody_else() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let (behind, audit) = gateway(&backend, "127.0.0.0/8, 10.0.0.7").await;
    let nothing: [&str; 0] = [];
    assert_eq!(sees(&behind, &[]).await, nothing);
    for said in [
        [("x-forwarded-for", "192.0.2.1")].as_slice(),
        &[("x-forwarded-for", "203.0.113.1, 192.0.2.1, 10.0.0.7")],
        &[("forwarded", "for=192.0.2.1;proto=https;host=evil.example")],
        &[
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1"),
        ],
        // Where something came from changes neither where it goes nor what the gateway is called.
        &[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "gopher"),
        ],
    ] {
        assert_eq!(sees(&behind, said).await, ["b__a"], "{said:?}");
    }
    for said in [
        [("x-forwarded-for", "192.0.2.1, 203.0.113.1")].as_slice(),
        &[("x-forwarded-for", "192.0.2.1, unknown")],
        &[("x-real-ip", "192.0.2.1")],
        &[("forwarded", "by=192.0.2.1")],
    ] {
        assert_eq!(sees(&behind, said).await, nothing, "{said:?}");
    }
    is_written_down(&audit, "192.0.2.1").await;
    let contradicting = [
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "203.0.113.1"),
    ];
    let refused = send("POST", &behind.url(), &contradicting, "").await;
    assert_eq!(refused.status, 400);
    let (before, _audit) = gateway(&backend, "10.0.0.7").await;
    let said = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(sees(&before, &said).await, nothing);
}
