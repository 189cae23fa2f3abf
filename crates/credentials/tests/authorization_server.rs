//! Credentials against an authorization server that is a script: which documents count, what is sent where, and what is
//! said when it does not work.

#![allow(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

mod support;

use http::HeaderMap;
use isthmus_config::{Environment, parse};
use isthmus_credentials::{Credentials, Holder, Pass, Shared};
use isthmus_egress::{FetchLimits, Fetcher};
use isthmus_exchange::{BackendName, Error, Fault, Principal};
use tokio::runtime::Handle;

use support::{Answer, Server};

/// The credentials for a backend whose metadata is at `backend`, written as they would be in a config.
fn credentials(backend: &Server, written: &str) -> std::sync::Arc<Credentials> {
    let text = format!(
        "backends:\n  crm:\n    http: {{urls: [{}/mcp]}}\n    credentials:\n{written}",
        backend.url()
    );
    let environment = Environment::new([("HOME", "/nowhere")], "/nowhere");
    let config = parse(&text, "gateway.yaml".as_ref(), &environment).unwrap();
    let settings = config.backends[0].credentials.as_ref().unwrap();
    let url = format!("{}/mcp", backend.url()).parse().unwrap();
    let shared = Shared {
        logins: None,
        fetcher: Fetcher::new(Vec::new(), FetchLimits::default()),
        background: Handle::current(),
    };
    let name = BackendName::parse("crm").unwrap();
    Credentials::new(&name, settings, &url, &shared).unwrap()
}

fn own(credentials: &Credentials) -> Pass {
    let (holder, pass) = credentials.own();
    assert_eq!(holder, Holder::Operator);
    pass.unwrap()
}

async fn shown(pass: &Pass) -> Result<String, Error> {
    let mut headers = HeaderMap::new();
    pass.show().await?.put_into(&mut headers);
    Ok(headers["authorization"].to_str().unwrap().to_owned())
}

fn client(server: &Server) -> String {
    format!(
        "      client_credentials: {{client_id: 'gate way', client_secret: 's:e', issuer: '{}'}}\n",
        server.url()
    )
}

fn exchange(server: &Server) -> String {
    format!(
        "      exchange: {{client_id: gw, client_secret: s, client_secret_in: form, issuer: '{}', audience: crm-api, \
         scopes: [read]}}\n",
        server.url()
    )
}

fn anna(token: &str) -> Principal {
    Principal::authenticated("jwt", "https://id.example", "anna", "").with_token(token)
}

#[tokio::test]
async fn a_client_gets_a_token_for_the_backend_it_is_meant_for() {
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    backend.publishes_resource("/mcp", &[server.url()], &["x", "y"]);
    let credentials = credentials(&backend, &client(&server));
    assert_eq!(shown(&own(&credentials)).await.unwrap(), "Bearer token-1");
    let asked = server.asked("/token").remove(0);
    // `gate+way:s%3Ae`, RFC 6749 §2.3.1.
    assert_eq!(
        asked.header("authorization"),
        Some("Basic Z2F0ZSt3YXk6cyUzQWU=")
    );
    assert_eq!(
        asked.field("grant_type").as_deref(),
        Some("client_credentials")
    );
    assert_eq!(
        asked.field("resource"),
        Some(format!("{}/mcp", backend.url()))
    );
    assert_eq!(asked.field("scope").as_deref(), Some("x y"));
    assert_eq!(asked.field("client_secret"), None);
    assert!(
        backend
            .all_asked()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

#[tokio::test]
async fn a_backend_without_metadata_is_trusted_with_a_token_of_the_operators_server() {
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    assert_eq!(shown(&own(&credentials)).await.unwrap(), "Bearer token-1");
    let paths: Vec<String> = backend
        .all_asked()
        .into_iter()
        .map(|asked| asked.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-protected-resource"
        ]
    );
}

#[tokio::test]
async fn a_token_endpoint_that_is_written_needs_no_discovery() {
    let server = Server::start().await;
    let backend = Server::start().await;
    let written = format!(
        "      client_credentials: {{client_id: a, client_secret: s, client_secret_in: form, token_endpoint: '{}/token'}}\n",
        server.url()
    );
    let credentials = credentials(&backend, &written);
    assert_eq!(shown(&own(&credentials)).await.unwrap(), "Bearer token-1");
    let asked = server.asked("/token").remove(0);
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.field("client_secret").as_deref(), Some("s"));
    assert!(backend.all_asked().is_empty());
}

#[tokio::test]
async fn metadata_about_another_resource_is_not_believed() {
    let server = Server::start().await;
    server.publishes_itself();
    for (place, resource) in [("/mcp", "/other"), ("/mcp", ""), ("", "/other")] {
        let backend = Server::start().await;
        backend.publishes_at(
            place,
            &format!("{}{resource}", backend.url()),
            &[server.url()],
            &[],
        );
        let credentials = credentials(&backend, &client(&server));
        let error = shown(&own(&credentials)).await.unwrap_err();
        assert!(
            error.message().contains("is about another resource"),
            "{error}"
        );
        assert_eq!(error.fault(), Fault::Operator);
    }
    assert!(server.asked("/token").is_empty());
}

#[tokio::test]
async fn who_serves_the_root_may_speak_for_the_whole_origin() {
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    backend.publishes_at("", &backend.url(), &[server.url()], &[]);
    let credentials = credentials(&backend, &client(&server));
    shown(&own(&credentials)).await.unwrap();
    let asked = server.asked("/token").remove(0);
    assert_eq!(asked.field("resource"), Some(backend.url()));
}

#[tokio::test]
async fn a_backend_cannot_choose_another_server_than_the_operators() {
    let server = Server::start().await;
    server.publishes_itself();
    let thief = Server::start().await;
    thief.publishes_itself();
    let backend = Server::start().await;
    backend.publishes_resource("/mcp", &[thief.url()], &[]);
    let credentials = credentials(&backend, &client(&server));
    let error = shown(&own(&credentials)).await.unwrap_err();
    assert!(error.message().contains("it names others"), "{error}");
    assert!(thief.all_asked().is_empty() && server.asked("/token").is_empty());
}

#[tokio::test]
async fn a_server_that_names_another_issuer_is_not_believed() {
    let server = Server::start().await;
    server.publishes("https://id.example", "/token");
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    let error = shown(&own(&credentials)).await.unwrap_err();
    assert!(error.message().contains("is another issuer's"), "{error}");
    assert!(server.asked("/token").is_empty());
}

#[tokio::test]
async fn the_second_place_of_metadata_does_when_the_first_is_not_there() {
    let server = Server::start().await;
    server.publishes_at_path("/.well-known/openid-configuration", &server.url(), "/token");
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    assert_eq!(shown(&own(&credentials)).await.unwrap(), "Bearer token-1");
}

#[tokio::test]
async fn a_server_may_not_send_us_elsewhere_on_this_machine() {
    let server = Server::start().await;
    let inside = Server::start().await;
    server.publishes(&server.url(), &format!("{}/token", inside.url()));
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    assert!(shown(&own(&credentials)).await.is_err());
    assert!(inside.all_asked().is_empty());
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let server = Server::start().await;
    server.publishes_itself();
    let thief = Server::start().await;
    server.answers(
        "/token",
        Answer::redirect(&format!("{}/token", thief.url())),
    );
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    assert!(shown(&own(&credentials)).await.is_err());
    assert!(thief.all_asked().is_empty());
}

#[tokio::test]
async fn what_a_server_refuses_is_said_in_a_word() {
    let server = Server::start().await;
    server.publishes_itself();
    let body = r#"{"error":"invalid_client","error_description":"no secret s:e known"}"#;
    server.answers("/token", Answer::json(401, body));
    let backend = Server::start().await;
    let credentials = credentials(&backend, &client(&server));
    let error = shown(&own(&credentials)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "there is no token for `crm`: the authorization server refuses: invalid_client"
    );
}

#[tokio::test]
async fn what_is_no_bearer_token_is_not_shown() {
    for body in [
        r#"{"access_token":"t","token_type":"DPoP"}"#,
        r#"{"access_token":"t"}"#,
        r#"{"access_token":"a b","token_type":"bearer"}"#,
        r#"{"access_token":"","token_type":"bearer"}"#,
        "token",
        "",
    ] {
        let server = Server::start().await;
        server.publishes_itself();
        server.answers("/token", Answer::json(200, body));
        let backend = Server::start().await;
        let credentials = credentials(&backend, &client(&server));
        assert!(shown(&own(&credentials)).await.is_err(), "{body}");
    }
}

#[tokio::test]
async fn an_assertion_is_signed_for_the_server_and_made_once() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = key.serialize_pem().replace('\n', "\n          ");
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    let written = format!(
        "      client_credentials:\n        client_id: gw\n        algorithm: ES256\n        key_id: k1\n        issuer: '{}'\n        private_key: |\n          {pem}\n",
        server.url()
    );
    let credentials = credentials(&backend, &written);
    shown(&own(&credentials)).await.unwrap();
    let asked = server.asked("/token").remove(0);
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        asked.field("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let assertion = asked.field("client_assertion").unwrap();
    let header = jsonwebtoken::decode_header(&assertion).unwrap();
    assert_eq!(header.kid.as_deref(), Some("k1"));
    let public = jsonwebtoken::DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[server.url()]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let claims: serde_json::Value = jsonwebtoken::decode(&assertion, &public, &validation)
        .unwrap()
        .claims;
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&"gw".into(), &"gw".into())
    );
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() >= 20));
}

#[tokio::test]
async fn a_callers_token_is_exchanged_and_goes_nowhere_else() {
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    backend.publishes_resource("/mcp", &[server.url()], &["x"]);
    let credentials = credentials(&backend, &exchange(&server));
    let (holder, pass) = credentials.of_caller(&anna("annas-own")).unwrap();
    assert!(holder.principal_id().is_some());
    let pass = pass.unwrap();
    assert_eq!(shown(&pass).await.unwrap(), "Bearer token-1");
    assert!(pass.is_a_callers());
    let asked = server.asked("/token").remove(0);
    for (field, value) in [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", "annas-own"),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("audience", "crm-api"),
        ("scope", "read"),
        ("client_id", "gw"),
    ] {
        assert_eq!(asked.field(field).as_deref(), Some(value), "{field}");
    }
    assert_eq!(
        asked.field("resource"),
        Some(format!("{}/mcp", backend.url()))
    );
    let seen = format!("{:?}", backend.all_asked());
    assert!(!seen.contains("annas-own") && !seen.contains("token-1"));
}

#[tokio::test]
async fn each_caller_gets_a_token_of_its_own_once() {
    let server = Server::start().await;
    server.publishes_itself();
    let backend = Server::start().await;
    let credentials = credentials(&backend, &exchange(&server));
    let bob = Principal::authenticated("jwt", "https://id.example", "bob", "").with_token("bobs");
    for _ in 0..3 {
        let (_, pass) = credentials.of_caller(&anna("annas")).unwrap();
        assert_eq!(shown(&pass.unwrap()).await.unwrap(), "Bearer token-1");
        let (_, pass) = credentials.of_caller(&bob).unwrap();
        assert_eq!(shown(&pass.unwrap()).await.unwrap(), "Bearer token-2");
    }
    assert_eq!(server.asked("/token").len(), 2);
    let (holder, nothing) = credentials.own();
    assert_eq!(holder, Holder::Operator);
    assert!(nothing.is_none(), "the operator has none of its own here");
}

#[tokio::test]
async fn a_server_that_gives_the_callers_own_token_back_is_not_obeyed() {
    let server = Server::start().await;
    server.publishes_itself();
    let body = r#"{"access_token":"annas-own","token_type":"Bearer","expires_in":60}"#;
    server.answers("/token", Answer::json(200, body));
    let backend = Server::start().await;
    let credentials = credentials(&backend, &exchange(&server));
    let (_, pass) = credentials.of_caller(&anna("annas-own")).unwrap();
    let error = shown(&pass.unwrap()).await.unwrap_err();
    assert!(
        error.message().contains("the caller's own token back"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_comes_without_a_token_has_none_to_exchange() {
    let server = Server::start().await;
    let backend = Server::start().await;
    let credentials = credentials(&backend, &exchange(&server));
    for principal in [
        Principal::anonymous(),
        Principal::authenticated("api_key", "", "ci", ""),
    ] {
        let error = credentials.of_caller(&principal).unwrap_err();
        assert_eq!(error.fault(), Fault::Client);
        assert!(
            error.message().contains("this caller shows none"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_backend_that_publishes_elsewhere_is_asked_where() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = key.serialize_pem().replace('\n', "\n          ");
    let backend = Server::start().await;
    // It gives tokens itself: an origin that the operator has named.
    backend.publishes_itself();
    let metadata = serde_json::json!({
        "resource": format!("{}/mcp", backend.url()), "authorization_servers": [backend.url()],
    });
    backend.answers("/about", Answer::json(200, &metadata.to_string()));
    let place = format!("{}/about", backend.url());
    backend.answers("/mcp", Answer::challenge(&place));
    let written = format!(
        "      client_credentials:\n        client_id: gw\n        algorithm: ES256\n        private_key: |\n          {pem}\n"
    );
    let credentials = credentials(&backend, &written);
    assert_eq!(shown(&own(&credentials)).await.unwrap(), "Bearer token-1");
}

#[tokio::test]
async fn a_server_on_this_machine_that_a_backend_names_is_not_asked() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = key.serialize_pem().replace('\n', "\n          ");
    let inside = Server::start().await;
    inside.publishes_itself();
    let backend = Server::start().await;
    backend.publishes_resource("/mcp", &[inside.url()], &[]);
    let written = format!(
        "      client_credentials:\n        client_id: gw\n        algorithm: ES256\n        private_key: |\n          {pem}\n"
    );
    let credentials = credentials(&backend, &written);
    assert!(shown(&own(&credentials)).await.is_err());
    assert!(inside.all_asked().is_empty());
}

#[test]
fn a_key_that_cannot_sign_is_found_before_anybody_is_asked() {
    for (key, algorithm) in [
        (
            rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
                .unwrap()
                .serialize_pem(),
            "ES256",
        ),
        (
            rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                .unwrap()
                .serialize_pem(),
            "ES384",
        ),
        (
            rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                .unwrap()
                .serialize_pem(),
            "RS256",
        ),
        ("nothing".to_owned(), "ES256"),
    ] {
        let key = key.replace('\n', "\n          ");
        let text = format!(
            "backends:\n  crm:\n    http: {{urls: ['https://crm.example/mcp']}}\n    credentials:\n      client_credentials:\n        client_id: a\n        algorithm: {algorithm}\n        private_key: |\n          {key}\n"
        );
        let environment = Environment::new([("HOME", "/nowhere")], "/nowhere");
        let config = parse(&text, "gateway.yaml".as_ref(), &environment).unwrap();
        let error = isthmus_credentials::check(&config).unwrap_err();
        let expected = "gateway.yaml:9:11  the private key for `crm` cannot sign so";
        assert_eq!(error.message(), expected, "{algorithm}");
    }
}
