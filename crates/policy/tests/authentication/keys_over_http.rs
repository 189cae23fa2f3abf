//! Keys that an issuer publishes over HTTP, found by its metadata. The issuer is a bare socket on port 0.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::issuer::{Signer, claims, published};
use crate::{Gateway, Request};

/// Serves documents by path, everything else is not found.
#[derive(Clone)]
struct Documents {
    url: String,
    served: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicUsize>,
}

impl Documents {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let documents = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            served: Arc::default(),
            asked: Arc::default(),
        };
        let serving = documents.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(socket));
            }
        });
        documents
    }

    fn put(&self, path: &str, document: &impl ToString) {
        let mut served = self.served.lock().unwrap();
        served.insert(path.to_owned(), document.to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn answer(self, mut socket: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        // Nothing of a caller may leave the gateway on the way to an issuer.
        assert!(!head.to_ascii_lowercase().contains("authorization:"));
        let path = head.split(' ').nth(1).unwrap();
        let found = self.served.lock().unwrap().get(path).cloned();
        let response = match found {
            Some(document) => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let length = document.len();
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{document}")
            }
            None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        let _ = socket.write_all(response.as_bytes()).await;
    }
}

fn config(issuer: &str, jwks: &str) -> String {
    format!(
        "
listeners: {{main: {{address: 127.0.0.1:8080, public_url: https://mcp.example}}}}
routes: {{/mcp: {{authentication: [jwt: {{issuer: \"{issuer}\"{jwks}}}]}}}}
"
    )
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    match gateway.ask("/mcp", &Request::bearer(token)).await {
        Ok(_) => 200,
        Err(challenge) => challenge.status,
    }
}

fn token(signer: &Signer, issuer: &str) -> String {
    signer.sign(&claims(issuer, "https://mcp.example/mcp", &json!({})))
}

#[tokio::test]
async fn an_issuers_metadata_leads_to_its_keys() {
    let signer = Signer::es256("a");
    for path in [
        "/.well-known/oauth-authorization-server/realm",
        "/.well-known/openid-configuration/realm",
        "/realm/.well-known/openid-configuration",
    ] {
        let server = Documents::start().await;
        let issuer = format!("{}/realm", server.url);
        server.put(
            path,
            &json!({"issuer": issuer, "jwks_uri": format!("{}/keys", server.url)}),
        );
        server.put("/keys", &published(&[&signer]));
        let gateway = Gateway::of(&config(&issuer, ""), Path::new("/"));
        assert_eq!(
            status(&gateway, &token(&signer, &issuer)).await,
            200,
            "{path}"
        );
        let stranger = Signer::es256("a");
        assert_eq!(status(&gateway, &token(&stranger, &issuer)).await, 401);
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_routes_and_reloads() {
    let (signer, server) = (Signer::es256("a"), Documents::start().await);
    server.put("/keys", &published(&[&signer]));
    let jwks = format!(", jwks: {{url: \"{}/keys\"}}", server.url);
    let config = config("somebody", &jwks);
    let first = Gateway::of(&config, Path::new("/"));
    let token = token(&signer, "somebody");
    let (one, two) = tokio::join!(status(&first, &token), status(&first, &token));
    assert_eq!((one, two), (200, 200));
    let changed = config.replace("/mcp: {", "/two: {}, /mcp: {required_scopes: [x], ");
    let changed = changed.replace("public_url", "allow_unauthenticated: true, public_url");
    let second = Gateway::with(first.authenticators.clone(), &changed, Path::new("/"));
    drop(first);
    assert_eq!(status(&second, &token).await, 403);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_cannot_be_known_is_not_called_wrong() {
    let signer = Signer::es256("a");
    let elsewhere = Documents::start().await;
    elsewhere.put("/keys", &published(&[&signer]));
    let documents = |issuer: &str| {
        let keys = |keys: String| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
        [
            // Somebody else's metadata.
            json!({"issuer": "https://other.example", "jwks_uri": format!("{issuer}/keys")})
                .to_string(),
            // Keys at a place in this machine that the operator has not named.
            keys(format!("{}/keys", elsewhere.url)),
            keys(format!("{issuer}/no-keys")),
            keys(format!("{issuer}/empty")),
            "<html>".to_owned(),
        ]
    };
    for index in 0..5 {
        let server = Documents::start().await;
        server.put("/keys", &published(&[&signer]));
        server.put("/empty", &json!({"keys": []}));
        let document = documents(&server.url)[index].clone();
        server.put("/.well-known/oauth-authorization-server", &document);
        let gateway = Gateway::of(&config(&server.url, ""), Path::new("/"));
        let answer = gateway
            .ask("/mcp", &Request::bearer(&token(&signer, &server.url)))
            .await
            .unwrap_err();
        assert_eq!(answer.status, 503, "{document}");
        assert!(answer.retry_after.is_some() && answer.headers.is_empty());
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[test]
fn a_key_set_in_a_file_that_has_no_usable_key_is_a_mistake_in_the_config() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("jwks.json"),
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
    )
    .unwrap();
    let environment = isthmus_config::Environment::new([], folder.path());
    let text = config("somebody", ", jwks: {file: jwks.json}");
    let config = isthmus_config::parse(&text, Path::new("gateway.yaml"), &environment).unwrap();
    assert_eq!(
        isthmus_policy::check(&config).unwrap_err().to_string(),
        "gateway.yaml:3:73  the keys of `somebody`: it has no key that could check a signature"
    );
}
