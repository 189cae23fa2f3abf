//! An authorization server with a page where everybody agrees at once, and a person with a browser.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::Backend;

/// An authorization server. Ends with the test's runtime.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What was asked of the page, by the code that it gave.
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    registered: Mutex<Vec<Value>>,
    refresh_token: Mutex<String>,
    tokens: Mutex<Vec<String>>,
    count: AtomicUsize,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self {
            url,
            state: Arc::default(),
        };
        let own = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| own.clone().answer(request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    /// Makes `backend` take the tokens of this server that are good, and nothing else.
    pub fn guards(&self, backend: &Backend) {
        let own = self.clone();
        backend.is_guarded_by(move |seen| {
            let shown = seen.headers.get("authorization");
            let shown = shown
                .and_then(|shown| shown.to_str().ok())
                .unwrap_or_default();
            let tokens = own.state.tokens.lock().unwrap();
            let good = tokens
                .iter()
                .any(|token| shown == format!("Bearer {token}"));
            (!good).then(|| (401, "Bearer error=\"invalid_token\"".to_owned()))
        });
    }

    /// Takes all access tokens back; what renews them stays good.
    pub fn takes_tokens_back(&self) {
        self.state.tokens.lock().unwrap().clear();
    }

    /// Takes everything back.
    pub fn takes_everything_back(&self) {
        self.takes_tokens_back();
        self.state.refresh_token.lock().unwrap().clear();
    }

    /// What clients have said of themselves.
    pub fn registered(&self) -> Vec<Value> {
        self.state.registered.lock().unwrap().clone()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Ok(match head.uri.path() {
            "/.well-known/oauth-authorization-server" => said(200, &self.metadata()),
            "/authorize" => self.agree(fields(head.uri.query().unwrap())),
            "/register" => {
                let wanted = serde_json::from_str(&body).unwrap();
                self.state.registered.lock().unwrap().push(wanted);
                said(201, &json!({"client_id": "registered"}))
            }
            "/token" => self.give(&fields(&body)),
            "/revoke" => {
                self.takes_everything_back();
                said(200, &json!({}))
            }
            _ => said(404, &json!({})),
        })
    }

    fn metadata(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "registration_endpoint": format!("{url}/register"),
            "revocation_endpoint": format!("{url}/revoke"),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn agree(&self, asked: HashMap<String, String>) -> Response<Full<Bytes>> {
        let code = format!("code-{}", self.state.count.fetch_add(1, Ordering::Relaxed));
        let (redirect, state) = (&asked["redirect_uri"], &asked["state"]);
        let issuer = self.url.replace(':', "%3A").replace('/', "%2F");
        let location = format!("{redirect}?code={code}&state={state}&iss={issuer}");
        self.state.codes.lock().unwrap().insert(code, asked);
        let mut response = said(302, &json!({}));
        response
            .headers_mut()
            .insert("location", location.parse().unwrap());
        response
    }

    fn give(&self, form: &HashMap<String, String>) -> Response<Full<Bytes>> {
        let agreed = match form["grant_type"].as_str() {
            "authorization_code" => {
                let asked = self.state.codes.lock().unwrap().remove(&form["code"]);
                asked.is_some_and(|asked| {
                    let verifier = digest(&SHA256, form["code_verifier"].as_bytes());
                    asked["code_challenge"] == URL_SAFE_NO_PAD.encode(verifier)
                        && ["client_id", "redirect_uri", "resource"]
                            .iter()
                            .all(|name| asked[*name] == form[*name])
                })
            }
            "refresh_token" => form["refresh_token"] == *self.state.refresh_token.lock().unwrap(),
            _ => false,
        };
        if !agreed {
            return said(400, &json!({"error": "invalid_grant"}));
        }
        let count = self.state.count.fetch_add(1, Ordering::Relaxed);
        let (token, refresh_token) = (
            format!("accounts-token-{count}"),
            format!("refresh-{count}"),
        );
        self.state.tokens.lock().unwrap().push(token.clone());
        self.state
            .refresh_token
            .lock()
            .unwrap()
            .clone_from(&refresh_token);
        said(
            200,
            &json!({
                "access_token": token, "token_type": "bearer", "expires_in": 600, "refresh_token": refresh_token,
            }),
        )
    }
}

fn fields(text: &str) -> HashMap<String, String> {
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
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

fn said(status: u16, text: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}
