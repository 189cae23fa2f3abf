//! What backends are shown: their own tokens and nothing of what callers show to the gateway, on every wire.

mod server;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::server::{Server, shown};
use crate::authentication::issuer::{ISSUER, Issuer, RESOURCE};
use crate::authentication::visitor::{Visitor, api_keys, new_key};
use crate::support::offering::{offering, resources, text, tools};
use crate::support::{Backend, Gateway};

/// What browsers, proxies and clients say of a caller.
const OF_CALLERS: [(&str, &str); 9] = [
    ("cookie", "sid=callers-cookie"),
    ("x-forwarded-user", "callers-name"),
    ("x-forwarded-email", "callers-name@x.example"),
    ("x-forwarded-for", "10.9.8.7"),
    ("forwarded", "for=10.9.8.7"),
    ("x-real-ip", "10.9.8.7"),
    ("proxy-authorization", "Basic callers-proxy"),
    ("x-api-key", "callers-key"),
    ("x-auth-request-access-token", "callers-other"),
];

async fn backend(revision: &'static str) -> Backend {
    let lists = json!({"tools": tools(&["a"]), "resources": resources(&["file:///r"])});
    Backend::start(revision, offering("b", lists)).await
}

fn entry(backend: &Backend, name: &str, credentials: &str) -> String {
    format!("{}    credentials:\n{credentials}", backend.entry(name))
}

/// A gateway whose callers have tokens of `issuer`.
fn gateway(issuer: &Issuer, backends: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwks.json"), issuer.published()).unwrap();
    Gateway::start_in(
        folder,
        &format!(
            "log: {{filter: trace}}\nauthentication: [jwt: {{issuer: {ISSUER}, audience: [{RESOURCE}], jwks: {{file: jwks.json}}}}]\nbackends:\n{backends}"
        ),
    )
}

fn visitor(gateway: &Gateway, token: &str) -> Visitor {
    let mut visitor = Visitor::with(&gateway.url(), token);
    let more = OF_CALLERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    visitor.headers.extend(more);
    visitor
}

async fn call(visitor: &Visitor, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {}});
    let answer = visitor.stateless("tools/call", params, json!({})).await;
    assert_eq!(answer.status, 200);
    answer.json().await
}

/// A call whose tool may not be listed yet.
async fn call_soon(visitor: &Visitor, tool: &str) -> Value {
    for _ in 0..200 {
        let answer = call(visitor, tool).await;
        if answer.get("result").is_some() {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("`{tool}` is not there");
}

/// Nothing that reached `backend` says anything of a caller.
fn knows_no_caller(backend: &Backend, secrets: &[&str]) {
    for seen in backend.seen() {
        for (name, value) in &seen.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let line = format!("{name}: {value}");
            assert!(
                !value.contains("callers-") && !value.contains("10.9.8.7"),
                "{line}"
            );
            assert!(
                !secrets.iter().any(|secret| value.contains(secret)),
                "{line}"
            );
        }
        assert!(!secrets.iter().any(|secret| seen.text.contains(secret)));
    }
}

#[tokio::test]
async fn every_request_shows_the_backends_token_and_nothing_of_the_caller() {
    for revision in [
        "2025-03-26",
        "2025-06-18",
        "2025-11-25",
        "2026-07-28",
        "sse",
    ] {
        let server = Server::start().await;
        let sse = revision == "sse";
        let backend = backend(if sse { "2024-11-05" } else { revision }).await;
        server.guards(&backend);
        let issuer = Issuer::new("a");
        let entry = if sse {
            backend.sse_entry("b")
        } else {
            backend.entry("b")
        };
        let credentials = format!("    credentials:\n{}{}", server.own(), server.exchange());
        let gateway = gateway(&issuer, &format!("{entry}{credentials}"));
        let token = issuer.token("anna", json!({}));
        let anna = visitor(&gateway, &token);
        let answer = call_soon(&anna, "b__a").await;
        assert_eq!(text(&answer), "b: a", "{revision}");
        let session = anna.open().await;
        let answer = session.ask("tools/call", json!({"name": "b__a"})).await;
        assert_eq!(text(&answer), "b: a", "{revision}");
        let read = json!({"uri": "file:///r"});
        assert!(session.ask("resources/read", read).await["result"].is_object());
        let _listening = session.listen().await;
        backend.is_listened_to().await;
        session.delete().await;
        for seen in backend.seen() {
            let given = server.given(&shown(&seen.headers));
            let given = given.unwrap_or_else(|| panic!("{revision}: {seen:?}"));
            assert!(given.resource.starts_with("http://127.0.0.1"), "{given:?}");
            if seen.message["method"] == "tools/call" {
                assert_eq!(given.to, token, "{revision}");
            }
            if seen.message["method"] == "tools/list" {
                assert_eq!(given.to, "gateway", "{revision}");
            }
        }
        knows_no_caller(&backend, &[&token, "s3cret-of-ours"]);
        let log = gateway.log();
        for secret in [&token, "backend-token-", "s3cret-of-ours", "callers-"] {
            assert!(!log.contains(secret), "{revision}: the log has {secret}");
        }
    }
}

#[tokio::test]
async fn what_is_opened_for_one_caller_serves_no_other() {
    for revision in ["2025-11-25", "2026-07-28"] {
        let server = Server::start().await;
        let backend = backend(revision).await;
        server.guards(&backend);
        let issuer = Issuer::new("a");
        let credentials = format!("{}{}", server.own(), server.exchange());
        let gateway = gateway(&issuer, &entry(&backend, "b", &credentials));
        let tokens: Vec<String> = ["anna", "bob"]
            .map(|name| issuer.token(name, json!({})))
            .into();
        for token in &tokens {
            let caller = visitor(&gateway, token);
            call_soon(&caller, "b__a").await;
            let session = caller.open().await;
            session.ask("tools/call", json!({"name": "b__a"})).await;
        }
        let mut holders: BTreeMap<String, String> = BTreeMap::new();
        for seen in backend
            .seen()
            .into_iter()
            .filter(|seen| !seen.session.is_empty())
        {
            let given = server.given(&shown(&seen.headers)).unwrap();
            let holder = holders
                .entry(seen.session)
                .or_insert_with(|| given.to.clone());
            assert_eq!(*holder, given.to, "a session changed hands");
        }
        let calls = backend.seen().into_iter();
        let calls = calls.filter(|seen| seen.message["method"] == "tools/call");
        let callers: Vec<String> = calls
            .map(|seen| server.given(&shown(&seen.headers)).unwrap().to)
            .collect();
        let expected = [&tokens[0], &tokens[0], &tokens[1], &tokens[1]];
        assert_eq!(callers.iter().collect::<Vec<_>>(), expected, "{revision}");
        assert_eq!(server.count(), 3, "one for each caller and one to list by");
    }
}

#[tokio::test]
async fn two_tokens_of_one_caller_with_different_reach_are_not_mixed_up() {
    let server = Server::start().await;
    let backend = backend("2025-11-25").await;
    server.guards(&backend);
    let issuer = Issuer::new("a");
    let credentials = format!("{}{}", server.own(), server.exchange());
    let gateway = gateway(&issuer, &entry(&backend, "b", &credentials));
    let wide = issuer.token("anna", json!({"scope": "read write"}));
    let narrow = issuer.token("anna", json!({"scope": "read"}));
    for token in [&wide, &narrow, &wide] {
        call_soon(&visitor(&gateway, token), "b__a").await;
    }
    let calls = backend.seen().into_iter();
    let calls = calls.filter(|seen| seen.message["method"] == "tools/call");
    let shown: Vec<String> = calls
        .map(|seen| server.given(&shown(&seen.headers)).unwrap().to)
        .collect();
    assert_eq!(shown, [wide.clone(), narrow, wide]);
}

#[tokio::test]
async fn a_hundred_calls_at_once_want_one_token() {
    let server = Server::start().await;
    let backend = backend("2026-07-28").await;
    server.guards(&backend);
    let issuer = Issuer::new("a");
    let credentials = format!("{}{}", server.own(), server.exchange());
    let gateway = gateway(&issuer, &entry(&backend, "b", &credentials));
    call_soon(&visitor(&gateway, &issuer.token("bob", json!({}))), "b__a").await;
    let before = server.count();
    let anna = visitor(&gateway, &issuer.token("anna", json!({})));
    let calls = (0..100).map(|_| call(&anna, "b__a"));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(text(&answer), "b: a");
    }
    assert_eq!(server.count(), before + 1);
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced_and_no_caller_notices() {
    for revision in ["2025-11-25", "2026-07-28"] {
        let server = Server::start().await;
        let backend = backend(revision).await;
        server.guards(&backend);
        let issuer = Issuer::new("a");
        let credentials = format!("{}{}", server.own(), server.exchange());
        let gateway = gateway(&issuer, &entry(&backend, "b", &credentials));
        let anna = visitor(&gateway, &issuer.token("anna", json!({})));
        call_soon(&anna, "b__a").await;
        let before = server.count();
        server.revokes();
        let calls = (0..10).map(|_| call(&anna, "b__a"));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(text(&answer), "b: a", "{revision}");
        }
        // One for the caller, and at most one for what the gateway does by itself meanwhile.
        assert!(
            server.count() <= before + 2,
            "{revision}: {}",
            server.count()
        );
    }
}

#[tokio::test]
async fn scopes_that_a_backend_asks_for_are_got_once_and_kept() {
    let server = Server::start().await;
    let backend = backend("2026-07-28").await;
    server.guards_with(&backend, |seen, given| {
        let called = seen.message["method"] == "tools/call";
        (called && given.to != "gateway").then_some("crm:write")
    });
    let issuer = Issuer::new("a");
    let credentials = format!("{}{}", server.own(), server.exchange());
    let gateway = gateway(&issuer, &entry(&backend, "b", &credentials));
    let anna = visitor(&gateway, &issuer.token("anna", json!({})));
    assert_eq!(text(&call_soon(&anna, "b__a").await), "b: a");
    let count = server.count();
    assert_eq!(text(&call(&anna, "b__a").await), "b: a");
    assert_eq!(server.count(), count);
}

#[tokio::test]
async fn without_its_authorization_server_a_backend_fails_in_words_and_others_go_on() {
    let server = Server::start().await;
    let guarded = backend("2026-07-28").await;
    let free = Backend::start("2026-07-28", offering("f", json!({"tools": tools(&["a"])}))).await;
    server.guards(&guarded);
    let issuer = Issuer::new("a");
    let credentials = format!("{}{}", server.own(), server.exchange());
    let backends = format!("{}{}", entry(&guarded, "b", &credentials), free.entry("f"));
    let gateway = gateway(&issuer, &backends);
    let anna = visitor(&gateway, &issuer.token("anna", json!({})));
    call_soon(&anna, "b__a").await;
    call_soon(&anna, "f__a").await;
    server.goes_down();
    server.revokes();
    let answer = call(&anna, "b__a").await;
    assert_eq!(answer["result"]["isError"], json!(true), "{answer}");
    let said = text(&answer);
    assert!(said.contains("there is no token for `b`"), "{said}");
    assert_eq!(text(&call(&anna, "f__a").await), "f: a");
}

#[tokio::test]
async fn a_refusal_of_the_backend_is_never_the_gateways_own() {
    for status in [401, 403, 404] {
        let backend = backend("2026-07-28").await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}",
            entry(
                &backend,
                "b",
                "      header: {name: X-Key, value: fixed-key}\n"
            )
        ));
        let anna = Visitor::showing(&gateway.url(), &[]);
        call_soon(&anna, "b__a").await;
        assert_eq!(
            backend.saw("tools/call").await.headers["x-key"],
            "fixed-key"
        );
        backend.is_guarded_by(move |_| Some((status, "Bearer realm=\"theirs\"".to_owned())));
        let params = json!({"name": "b__a", "arguments": {}});
        let answer = anna.stateless("tools/call", params, json!({})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("www-authenticate"), "");
        let answer = answer.json().await;
        assert_eq!(answer["result"]["isError"], json!(true), "{answer}");
    }
}

#[tokio::test]
async fn whoever_comes_with_a_key_has_nothing_to_exchange() {
    let server = Server::start().await;
    let backend = backend("2026-07-28").await;
    server.guards(&backend);
    let key = new_key("ci", &[]);
    let credentials = format!("{}{}", server.own(), server.exchange());
    let gateway = Gateway::start(&format!(
        "authentication: [api_keys: {{}}]\n{}backends:\n{}",
        api_keys(&[&key]),
        entry(&backend, "b", &credentials)
    ));
    let answer = call_soon(&visitor(&gateway, &key.key), "b__a").await;
    let said = text(&answer);
    assert!(said.contains("this caller shows none"), "{said}");
    assert_eq!(backend.count("tools/call"), 0);
}

#[tokio::test]
async fn a_secret_in_a_file_takes_effect_when_the_file_changes() {
    let backend = backend("2026-07-28").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "old-key\n").unwrap();
    let credentials = "      header: {name: X-Key, value: {file: key}}\n";
    let fleet = format!("backends:\n{}", entry(&backend, "b", credentials));
    let gateway = Gateway::start_in(folder, &fleet);
    let anna = Visitor::showing(&gateway.url(), &[]);
    call_soon(&anna, "b__a").await;
    std::fs::write(&file, "new-key\n").unwrap();
    gateway.logs("reloaded").await;
    call_soon(&anna, "b__a").await;
    let mut seen = backend.seen().into_iter();
    let last = seen.rfind(|seen| seen.message["method"] == "tools/call");
    assert_eq!(last.unwrap().headers["x-key"], "new-key");
}
