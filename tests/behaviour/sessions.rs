//! Who shares a session of a stateful backend, and what becomes of it when clients come and go.

use serde_json::{Value, json};

use crate::support::http::send;
use crate::support::offering::{keys, offering, text, tools};
use crate::support::{Backend, Gateway, Reaction, Stateful, Stateless};

/// The session under which each of these calls reached the backend.
async fn sessions_of_calls(backend: &Backend) -> Vec<String> {
    let calls = backend
        .seen()
        .into_iter()
        .filter(|seen| seen.message["method"] == "tools/call");
    calls
        .map(|seen| seen.headers["mcp-session-id"].to_str().unwrap().to_owned())
        .collect()
}

async fn call(client: &Stateful) -> Value {
    client
        .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
        .await
}

async fn fixture(settings: &str) -> (Backend, Gateway) {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["t"])}))).await;
    let gateway = Gateway::start(&format!("backends:\n{}{settings}", backend.entry("b")));
    (backend, gateway)
}

#[tokio::test]
async fn by_default_each_stateful_client_has_its_own_and_stateless_ones_share_one() {
    let (backend, gateway) = fixture("").await;
    let (one, two) = (
        Stateful::open(&gateway.url(), "2025-11-25").await,
        Stateful::open(&gateway.url(), "2025-03-26").await,
    );
    for client in [&one, &two, &one, &two] {
        assert_eq!(text(&call(client).await), "b: t");
    }
    let stateless = Stateless::new(&gateway.url());
    for _ in 0..2 {
        stateless
            .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
            .await;
    }
    let sessions = sessions_of_calls(&backend).await;
    assert_eq!(
        (&sessions[0], &sessions[1]),
        (&sessions[2], &sessions[3]),
        "{sessions:?}"
    );
    assert_eq!(sessions[4], sessions[5], "{sessions:?}");
    let mut different = [&sessions[0], &sessions[1], &sessions[4]];
    different.sort();
    assert!(
        different.windows(2).all(|pair| pair[0] != pair[1]),
        "{sessions:?}"
    );
    // Listing cost no session of its own.
    assert_eq!(backend.count("initialize"), 3);
}

#[tokio::test]
async fn the_policy_decides_who_shares() {
    for (policy, expected) in [
        ("per-client", 2),
        ("per-principal", 1),
        ("shared", 1),
        ("per-call", 4),
    ] {
        let (backend, gateway) = fixture(&format!("    sessions: {policy}\n")).await;
        let (one, two) = (
            Stateful::open(&gateway.url(), "2025-11-25").await,
            Stateful::open(&gateway.url(), "2025-11-25").await,
        );
        for client in [&one, &two, &one, &two] {
            assert_eq!(text(&call(client).await), "b: t", "{policy}");
        }
        let mut sessions = sessions_of_calls(&backend).await;
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), expected, "{policy}");
    }
}

#[tokio::test]
async fn the_end_of_a_clients_session_ends_its_own_at_the_backend_and_no_other() {
    let (backend, gateway) = fixture("").await;
    let (one, two) = (
        Stateful::open(&gateway.url(), "2025-11-25").await,
        Stateful::open(&gateway.url(), "2025-11-25").await,
    );
    call(&one).await;
    call(&two).await;
    let sessions = sessions_of_calls(&backend).await;
    one.delete().await;
    let deleted = backend
        .saw_where(|seen| seen.http == http::Method::DELETE)
        .await;
    assert_eq!(deleted.headers["mcp-session-id"], sessions[0]);
    assert_eq!(text(&call(&two).await), "b: t");
    assert_eq!(
        backend
            .seen()
            .iter()
            .filter(|seen| seen.http == http::Method::DELETE)
            .count(),
        1
    );
}

#[tokio::test]
async fn clients_that_come_and_go_quickly_do_not_take_the_backend_away() {
    let (backend, gateway) = fixture("    restart: {first: 1min}\n").await;
    for _ in 0..5 {
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        assert_eq!(keys(&client.ask("tools/list", json!({})).await), ["b__t"]);
        assert_eq!(text(&call(&client).await), "b: t");
        client.delete().await;
    }
    let deletes = |seen: &[crate::support::backend::Seen]| {
        seen.iter()
            .filter(|one| one.http == http::Method::DELETE)
            .count()
    };
    while deletes(&backend.seen()) < 5 {
        tokio::task::yield_now().await;
    }
    let ready = send("GET", &gateway.at("/readyz"), &[], "")
        .await
        .bytes()
        .await;
    assert_eq!(ready, "ready\n");
    assert!(!gateway.log().contains("the connection ended"));
}

#[tokio::test]
async fn a_lost_session_is_opened_anew_with_its_log_level_and_subscriptions() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let inner = offering(
        "b",
        json!({"tools": tools(&["t"]), "resources": [{"uri": "doc://a", "name": "a"}]}),
    );
    let backend = Backend::start("2025-11-25", move |method, params| {
        if method == "tools/call" && !lost.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Some(Reaction::Http(404, "text/plain", b"session?".to_vec()));
        }
        inner(method, params)
    })
    .await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    assert_eq!(
        client
            .ask("logging/setLevel", json!({"level": "debug"}))
            .await["result"],
        json!({})
    );
    assert_eq!(
        client
            .ask("resources/subscribe", json!({"uri": "doc://a"}))
            .await["result"],
        json!({})
    );
    assert_eq!(text(&call(&client).await), "b: t");
    let sessions = sessions_of_calls(&backend).await;
    assert_ne!(sessions[0], sessions[1]);
    let again = |method: &'static str, session: String| {
        let of = move |seen: &crate::support::backend::Seen| {
            seen.message["method"] == method
                && seen
                    .headers
                    .get("mcp-session-id")
                    .is_some_and(|id| *id == session)
        };
        backend.saw_where(of)
    };
    again("resources/subscribe", sessions[1].clone()).await;
    call(&client).await;
    again("logging/setLevel", sessions[1].clone()).await;
}
