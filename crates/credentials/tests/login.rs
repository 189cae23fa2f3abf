//! Logins against an authorization server that is a script: what it is asked, which answers count, and what becomes of what
//! it gives.

#![allow(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use isthmus_config::{Environment, PublicUrl, parse};
use isthmus_credentials::{
    Credentials, GrantStore, Login, LoginError, Logins, Pass, Shared, Verdict, client_document,
};
use isthmus_egress::{FetchLimits, Fetcher};
use isthmus_exchange::{BackendName, Error};
use isthmus_seal::SealKeys;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use support::{Answer, Asked, Server};

const REDIRECT: &str = "http://127.0.0.1:4711/callback";

/// A backend, an authorization server, and a state folder.
struct Scene {
    server: Server,
    backend: Server,
    folder: TempDir,
    keys: Arc<SealKeys>,
    login: String,
    public_url: Option<&'static str>,
}

impl Scene {
    /// A server with which the operator has registered a client.
    async fn start() -> Self {
        let (server, backend) = (Server::start().await, Server::start().await);
        backend.publishes_resource("/mcp", &[server.url()], &["read", "write"]);
        let login = format!("client_id: gateway, issuer: '{}'", server.url());
        let scene = Self {
            server,
            backend,
            folder: tempfile::tempdir().unwrap(),
            keys: Arc::new(SealKeys::generate()),
            login,
            public_url: None,
        };
        scene.server_says(&json!({}));
        scene.gives("token-1", 300, Some("refresh-1"));
        scene
    }

    /// A server that knows nothing of the gateway yet.
    async fn without_client() -> Self {
        let scene = Self::start().await;
        let login = format!("issuer: '{}'", scene.server.url());
        Self { login, ..scene }
    }

    /// Publishes the server's metadata with these members more, or without those that are `null`.
    fn server_says(&self, more: &Value) {
        let url = self.server.url();
        let mut said = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?tenant=1"),
            "token_endpoint": format!("{url}/token"),
            "code_challenge_methods_supported": ["plain", "S256"],
        });
        for (name, value) in more.as_object().unwrap() {
            said[name] = value.clone();
        }
        let place = "/.well-known/oauth-authorization-server";
        self.server
            .answers(place, Answer::json(200, &said.to_string()));
    }

    /// What the token endpoint gives from now on.
    fn gives(&self, token: &str, lifetime: u64, refresh_token: Option<&str>) {
        let mut given =
            json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime});
        if let Some(refresh_token) = refresh_token {
            given["refresh_token"] = json!(refresh_token);
        }
        self.server
            .answers("/token", Answer::json(200, &given.to_string()));
    }

    fn refuses(&self, code: &str) {
        let refused = json!({ "error": code });
        self.server
            .answers("/token", Answer::json(400, &refused.to_string()));
    }

    fn settings(&self) -> (isthmus_config::Credentials, Uri, Shared) {
        let url = format!("{}/mcp", self.backend.url());
        let text = format!(
            "backends:\n  crm:\n    http: {{urls: ['{url}']}}\n    credentials: {{login: {{{}}}}}\n",
            self.login
        );
        let environment = Environment::new([("HOME", "/nowhere")], "/nowhere");
        let config = parse(&text, "gateway.yaml".as_ref(), &environment).unwrap();
        let public_url = self.public_url.map(|url| PublicUrl::parse(url).unwrap());
        // Each is another process, as far as the file is concerned.
        let store = GrantStore::new(self.folder.path(), self.keys.clone());
        let shared = Shared {
            fetcher: Fetcher::new(Vec::new(), FetchLimits::default()),
            background: Handle::current(),
            logins: Some(Logins::new(store, public_url.as_ref())),
        };
        let settings = config.backends[0].credentials.clone().unwrap();
        (settings, url.parse().unwrap(), shared)
    }

    /// What `isthmus login` uses.
    fn login(&self) -> Login {
        let (settings, url, shared) = self.settings();
        Login::of_operator(&name(), &settings, &url, &shared).unwrap()
    }

    /// What a gateway that has just started uses.
    fn gateway(&self) -> Pass {
        let (settings, url, shared) = self.settings();
        let credentials = Credentials::new(&name(), &settings, &url, &shared).unwrap();
        credentials.own().1.unwrap()
    }

    /// Logs in as a person with a browser would, and says what the authorization server was asked by the browser.
    async fn log_in(&self) -> HashMap<String, String> {
        let login = self.login();
        let begun = login.begin(REDIRECT).await.unwrap();
        let asked = query(begun.url());
        let answer = format!("code=c&state={}", asked["state"]);
        assert!(begun.is_answered_by(&answer));
        begun.finish(&answer).await.unwrap();
        asked
    }

    /// Requests for a token, by the kind of grant.
    fn asked_for(&self, grant_type: &str) -> Vec<Asked> {
        let mut asked = self.server.asked("/token");
        asked.retain(|asked| asked.field("grant_type").as_deref() == Some(grant_type));
        asked
    }
}

fn name() -> BackendName {
    BackendName::parse("crm").unwrap()
}

fn query(url: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let (_, query) = url.split_once('?').unwrap();
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

async fn shown(pass: &Pass) -> Result<String, Error> {
    let mut headers = HeaderMap::new();
    pass.show().await?.put_into(&mut headers);
    Ok(headers["authorization"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_login_says_what_it_is_for_and_gives_the_gateway_a_token() {
    let scene = Scene::start().await;
    let asked = scene.log_in().await;
    let resource = format!("{}/mcp", scene.backend.url());
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "gateway"),
        ("redirect_uri", REDIRECT),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
        ("scope", "read write"),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    assert!(asked["state"].len() >= 43 && asked["code_challenge"].len() == 43);
    let token = scene.asked_for("authorization_code").remove(0);
    for (name, value) in [
        ("code", "c"),
        ("client_id", "gateway"),
        ("redirect_uri", REDIRECT),
        ("resource", &resource),
    ] {
        assert_eq!(token.field(name).as_deref(), Some(value), "{name}");
    }
    let verifier = token.field("code_verifier").unwrap();
    assert_eq!(verifier.len(), 43);
    assert_ne!(verifier, asked["code_challenge"]);
    assert_ne!(verifier, asked["state"]);
    assert_eq!(shown(&scene.gateway()).await.unwrap(), "Bearer token-1");
    assert_eq!(
        scene.server.asked("/token").len(),
        1,
        "what is there is used"
    );
}

#[tokio::test]
async fn a_gateway_that_waits_for_a_login_picks_it_up() {
    let scene = Scene::start().await;
    let gateway = scene.gateway();
    let error = shown(&gateway).await.unwrap_err().to_string();
    assert!(error.contains("isthmus login crm"), "{error}");
    assert!(
        scene.server.all_asked().is_empty(),
        "nobody is asked before somebody has logged in"
    );
    scene.log_in().await;
    let picked_up = async {
        loop {
            match shown(&gateway).await {
                Ok(shown) => return shown,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let limit = std::time::Duration::from_secs(10);
    let picked_up = tokio::time::timeout(limit, picked_up).await.unwrap();
    assert_eq!(picked_up, "Bearer token-1");
}

#[tokio::test]
async fn a_gateway_without_a_client_registers_as_one_of_this_machine() {
    let scene = Scene::without_client().await;
    let place = format!("{}/register", scene.server.url());
    scene.server_says(&json!({"registration_endpoint": place}));
    let registered = json!({
        "client_id": "made-up", "client_secret": "s", "token_endpoint_auth_method": "client_secret_post",
    });
    scene
        .server
        .answers("/register", Answer::json(201, &registered.to_string()));
    let asked = scene.log_in().await;
    assert_eq!(asked["client_id"], "made-up");
    let wanted: Value = serde_json::from_str(scene.server.asked("/register")[0].body()).unwrap();
    assert_eq!(wanted["application_type"], "native");
    assert_eq!(wanted["redirect_uris"], json!([REDIRECT]));
    let token = scene.asked_for("authorization_code").remove(0);
    assert_eq!(token.field("client_secret").as_deref(), Some("s"));
}

#[tokio::test]
async fn a_document_of_its_own_comes_before_registering() {
    let scene = Scene {
        public_url: Some("https://mcp.example/base"),
        ..Scene::without_client().await
    };
    let place = format!("{}/register", scene.server.url());
    scene.server_says(&json!({
        "registration_endpoint": place, "client_id_metadata_document_supported": true,
    }));
    let asked = scene.log_in().await;
    assert_eq!(
        asked["client_id"],
        "https://mcp.example/.well-known/isthmus-client"
    );
    assert!(scene.server.asked("/register").is_empty());
    let document = client_document(&PublicUrl::parse("https://mcp.example/base").unwrap()).unwrap();
    assert_eq!(document.path, "/.well-known/isthmus-client");
    let content: Value = serde_json::from_slice(document.content.as_bytes()).unwrap();
    assert_eq!(content["client_id"], asked["client_id"].as_str());
    assert_eq!(
        content["redirect_uris"],
        json!(["http://127.0.0.1/callback"])
    );
    let local = PublicUrl::parse("http://127.0.0.1:8080").unwrap();
    assert!(
        client_document(&local).is_none(),
        "nobody else could read it"
    );
}

#[tokio::test]
async fn where_nobody_registers_the_operator_learns_what_to_register() {
    let scene = Scene::without_client().await;
    let error = scene.login().begin(REDIRECT).await.unwrap_err().to_string();
    assert!(
        error.contains(REDIRECT) && error.contains("client_id"),
        "{error}"
    );
    let place = format!("{}/register", scene.server.url());
    scene.server_says(&json!({"registration_endpoint": place}));
    let refused = json!({"error": "invalid_redirect_uri"});
    scene
        .server
        .answers("/register", Answer::json(400, &refused.to_string()));
    let error = scene.login().begin(REDIRECT).await.unwrap_err().to_string();
    assert!(
        error.contains(REDIRECT) && error.contains("invalid_redirect_uri"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_promise_pkce_is_not_logged_in_to() {
    let scene = Scene::start().await;
    for methods in [json!(null), json!([]), json!(["plain"])] {
        scene.server_says(&json!({"code_challenge_methods_supported": methods}));
        let error = scene.login().begin(REDIRECT).await.unwrap_err();
        assert!(matches!(error, LoginError::NoPkce { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_browser_is_sent_to_web_pages_only() {
    let scene = Scene::start().await;
    for page in [
        json!(null),
        json!("file:///etc/passwd"),
        json!("javascript:alert(1)"),
        json!("http://id.example/authorize"),
        json!("https://user@id.example/authorize"),
        json!("https://id.example/authorize#x"),
        json!("https://id.example/a b"),
        json!("--help"),
    ] {
        scene.server_says(&json!({"authorization_endpoint": page}));
        let error = scene.login().begin(REDIRECT).await.unwrap_err();
        assert!(
            matches!(error, LoginError::NoPage { .. }),
            "{page}: {error}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_somebody_else_gets_no_token() {
    let scene = Scene::start().await;
    scene.server_says(&json!({"authorization_response_iss_parameter_supported": true}));
    let login = scene.login();
    let begun = login.begin(REDIRECT).await.unwrap();
    let state = query(begun.url())["state"].clone();
    assert!(!begun.is_answered_by("code=c&state=x"));
    for answer in [
        format!("code=c&state={state}"),
        format!("code=c&state={state}&iss=https://evil.example"),
        format!("error=evil&error_description=evil&state={state}&iss=https://evil.example"),
        "code=c&state=x".to_owned(),
    ] {
        let error = begun.finish(&answer).await.unwrap_err().to_string();
        assert!(!error.contains("evil"), "{error}");
    }
    assert!(scene.server.asked("/token").is_empty());
    let answer = format!("error=access_denied&state={state}&iss={}", begun.issuer());
    let error = begun.finish(&answer).await.unwrap_err().to_string();
    assert!(error.contains("access_denied"), "{error}");
    let answer = format!("code=c&state={state}&iss={}", begun.issuer());
    begun.finish(&answer).await.unwrap();
}

#[tokio::test]
async fn a_grant_is_renewed_once_however_many_gateways_want_it() {
    let scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    scene.gives("token-2", 300, Some("refresh-2"));
    let gateways = [scene.gateway(), scene.gateway(), scene.gateway()];
    let all = (0..30).map(|number| shown(&gateways[number % 3]));
    for shown in futures_util::future::join_all(all).await {
        assert_eq!(shown.unwrap(), "Bearer token-2");
    }
    let refreshed = scene.asked_for("refresh_token");
    assert_eq!(refreshed.len(), 1);
    assert_eq!(
        refreshed[0].field("refresh_token").as_deref(),
        Some("refresh-1")
    );
    let resource = format!("{}/mcp", scene.backend.url());
    assert_eq!(refreshed[0].field("resource"), Some(resource));
}

#[tokio::test]
async fn a_rotated_refresh_token_is_the_one_that_is_used_next() {
    let scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    for (token, next) in [
        ("token-2", Some("refresh-2")),
        ("token-3", None),
        ("token-4", None),
    ] {
        scene.gives(token, 1, next);
        // Each gateway has just started: all that it knows is in the file.
        assert_eq!(
            shown(&scene.gateway()).await.unwrap(),
            format!("Bearer {token}")
        );
    }
    let used = scene.asked_for("refresh_token");
    let used: Vec<_> = used
        .iter()
        .map(|asked| asked.field("refresh_token").unwrap())
        .collect();
    assert_eq!(used, ["refresh-1", "refresh-2", "refresh-2"]);
}

#[tokio::test]
async fn a_token_that_the_backend_refuses_is_renewed() {
    let scene = Scene::start().await;
    scene.log_in().await;
    let gateway = scene.gateway();
    let first = gateway.show().await.unwrap();
    scene.gives("token-2", 300, None);
    let verdict = gateway.refused(&first, StatusCode::UNAUTHORIZED, &HeaderMap::new(), false);
    assert!(matches!(verdict, Verdict::Retry), "{verdict:?}");
    let mut headers = HeaderMap::new();
    gateway
        .show_instead(&first)
        .await
        .unwrap()
        .put_into(&mut headers);
    assert_eq!(headers["authorization"], "Bearer token-2");
}

#[tokio::test]
async fn a_grant_that_has_been_taken_back_asks_for_a_login_and_not_for_more_refusals() {
    let scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    scene.refuses("invalid_grant");
    for _ in 0..2 {
        let error = shown(&scene.gateway()).await.unwrap_err().to_string();
        assert!(error.contains("isthmus login crm"), "{error}");
    }
    assert_eq!(scene.asked_for("refresh_token").len(), 1);
}

#[tokio::test]
async fn a_server_that_is_out_of_order_costs_nobody_the_login() {
    let scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    scene.server.answers("/token", Answer::json(503, "{}"));
    let _ = shown(&scene.gateway()).await;
    scene.gives("token-2", 300, None);
    assert_eq!(shown(&scene.gateway()).await.unwrap(), "Bearer token-2");
}

#[tokio::test]
async fn what_one_server_has_given_is_not_shown_to_another_one() {
    let mut scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    let other = Server::start().await;
    other.publishes_itself();
    scene
        .backend
        .publishes_resource("/mcp", &[other.url()], &[]);
    // The operator follows the backend to its new server, and has no login there yet.
    scene.login = format!("issuer: '{}'", other.url());
    let error = shown(&scene.gateway()).await.unwrap_err().to_string();
    assert!(error.contains("isthmus login crm"), "{error}");
    assert!(other.asked("/token").is_empty());
    assert!(scene.asked_for("refresh_token").is_empty());
    // Where the operator has named the old one, nobody follows.
    scene.login = format!("client_id: gateway, issuer: '{}'", scene.server.url());
    let error = shown(&scene.gateway()).await.unwrap_err().to_string();
    assert!(error.contains("does not trust"), "{error}");
    let error = scene.login().begin(REDIRECT).await.unwrap_err().to_string();
    assert!(error.contains("does not trust"), "{error}");
}

#[tokio::test]
async fn a_token_goes_to_the_backend_that_it_was_made_for_only() {
    let mut scene = Scene::start().await;
    scene.log_in().await;
    let moved = Server::start().await;
    moved.publishes_resource("/mcp", &[scene.server.url()], &[]);
    scene.backend = moved;
    let error = shown(&scene.gateway()).await.unwrap_err().to_string();
    assert!(error.contains("isthmus login crm"), "{error}");
}

#[tokio::test]
async fn a_client_that_the_operator_has_replaced_renews_nothing() {
    let mut scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    scene.login = format!("client_id: another, issuer: '{}'", scene.server.url());
    let error = shown(&scene.gateway()).await.unwrap_err().to_string();
    assert!(error.contains("isthmus login crm"), "{error}");
    assert!(scene.asked_for("refresh_token").is_empty());
}

#[tokio::test]
async fn what_a_backend_wants_beside_the_consent_is_asked_for_by_the_next_login() {
    let scene = Scene::start().await;
    scene.log_in().await;
    let gateway = scene.gateway();
    let first = gateway.show().await.unwrap();
    let mut headers = HeaderMap::new();
    let challenge = r#"Bearer error="insufficient_scope", scope="admin""#;
    headers.insert("www-authenticate", HeaderValue::from_static(challenge));
    let verdict = gateway.refused(&first, StatusCode::FORBIDDEN, &headers, false);
    assert!(matches!(verdict, Verdict::Retry), "{verdict:?}");
    let error = gateway.show_instead(&first).await.unwrap_err().to_string();
    assert!(
        error.contains("admin") && error.contains("isthmus login crm"),
        "{error}"
    );
    // What was agreed to goes on.
    assert_eq!(shown(&gateway).await.unwrap(), "Bearer token-1");
    assert_eq!(scene.log_in().await["scope"], "read write admin");
}

#[tokio::test]
async fn a_server_that_knows_lasting_access_is_asked_for_it() {
    let scene = Scene::start().await;
    scene.server_says(&json!({"scopes_supported": ["read", "offline_access"]}));
    assert_eq!(scene.log_in().await["scope"], "read write offline_access");
}

#[tokio::test]
async fn what_a_server_writes_cannot_harm_a_terminal() {
    let scene = Scene::start().await;
    let given =
        json!({"access_token": "t", "token_type": "Bearer", "scope": "read \u{1b}]0;x write"});
    scene
        .server
        .answers("/token", Answer::json(200, &given.to_string()));
    let login = scene.login();
    let begun = login.begin(REDIRECT).await.unwrap();
    let answer = format!("code=c&state={}", query(begun.url())["state"]);
    let logged_in = begun.finish(&answer).await.unwrap();
    assert_eq!(logged_in.scopes, ["read", "write"]);
    assert!(!logged_in.renewable);
}

#[tokio::test]
async fn a_renewal_outlives_whoever_wanted_it() {
    let scene = Scene::start().await;
    scene.gives("token-1", 1, Some("refresh-1"));
    scene.log_in().await;
    scene.gives("token-2", 300, Some("refresh-2"));
    let (settings, url, shared) = scene.settings();
    let credentials = Credentials::new(&name(), &settings, &url, &shared).unwrap();
    let pass = credentials.own().1.unwrap();
    let mut wanting = Box::pin(async { shown(&pass).await.map(drop) });
    // Given up as soon as the server has been asked.
    while scene.asked_for("refresh_token").is_empty() {
        let moment = std::time::Duration::from_millis(1);
        let _ = tokio::time::timeout(moment, wanting.as_mut()).await;
    }
    drop(wanting);
    drop(pass);
    drop(credentials);
    shared.logins.unwrap().settled().await;
    assert_eq!(shown(&scene.gateway()).await.unwrap(), "Bearer token-2");
    assert_eq!(scene.asked_for("refresh_token").len(), 1);
}

#[tokio::test]
async fn who_logs_out_is_forgotten_here_and_there() {
    let scene = Scene::start().await;
    let place = format!("{}/revoke", scene.server.url());
    scene.server_says(&json!({"revocation_endpoint": place}));
    scene.server.answers("/revoke", Answer::json(200, "{}"));
    assert!(!scene.login().forget().await.unwrap());
    scene.log_in().await;
    assert!(scene.login().forget().await.unwrap());
    let revoked = scene.server.asked("/revoke").remove(0);
    assert_eq!(revoked.field("token").as_deref(), Some("refresh-1"));
    let error = shown(&scene.gateway()).await.unwrap_err().to_string();
    assert!(error.contains("isthmus login crm"), "{error}");
}

#[tokio::test]
async fn a_backend_without_metadata_may_be_its_own_server_as_it_was_once() {
    let mut scene = Scene::start().await;
    let backend = Server::start().await;
    // One machine serves both, and there is no metadata of the resource.
    scene.server = backend.clone();
    scene.backend = backend;
    scene.login = String::new();
    scene
        .server_says(&json!({"registration_endpoint": format!("{}/register", scene.server.url())}));
    let registered = json!({"client_id": "made-up"});
    scene
        .server
        .answers("/register", Answer::json(201, &registered.to_string()));
    scene.gives("token-1", 300, None);
    scene.log_in().await;
    assert_eq!(shown(&scene.gateway()).await.unwrap(), "Bearer token-1");
}
