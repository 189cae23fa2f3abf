//! An authorization server that gives tokens to whoever asks, remembers for whom, and takes them back.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::Backend;
use crate::support::backend::Seen;

/// An authorization server. Ends with the test's runtime.
#[derive(Clone)]
pub struct Server {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What each good token is for.
    tokens: Mutex<HashMap<String, Given>>,
    count: AtomicUsize,
    down: AtomicBool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The token that was exchanged, or the client.
    pub to: String,
    pub scopes: String,
    pub resource: String,
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

    /// `client_credentials` for a backend.
    pub fn own(&self) -> String {
        format!(
            "      client_credentials: {{client_id: gateway, client_secret: s3cret-of-ours, issuer: '{}'}}\n",
            self.url
        )
    }

    /// `exchange` for a backend.
    pub fn exchange(&self) -> String {
        format!(
            "      exchange: {{client_id: gateway, client_secret: s3cret-of-ours, issuer: '{}'}}\n",
            self.url
        )
    }

    /// Makes `backend` take the tokens of this server, and nothing else.
    pub fn guards(&self, backend: &Backend) {
        self.guards_with(backend, |_, _| None);
    }

    /// The same, where `further` may ask for a scope.
    pub fn guards_with(
        &self,
        backend: &Backend,
        further: impl Fn(&Seen, &Given) -> Option<&'static str> + Send + Sync + 'static,
    ) {
        let own = self.clone();
        backend.is_guarded_by(move |seen| {
            let Some(given) = own.given(&shown(&seen.headers)) else {
                return Some((401, "Bearer error=\"invalid_token\"".to_owned()));
            };
            let scope = further(seen, &given)?;
            let lacks = !given.scopes.split(' ').any(|one| one == scope);
            lacks.then(|| {
                let text = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                (403, text)
            })
        });
    }

    /// What a token is for, if it is good.
    pub fn given(&self, token: &str) -> Option<Given> {
        self.state.tokens.lock().unwrap().get(token).cloned()
    }

    /// How many tokens were given.
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    /// Takes all tokens back.
    pub fn revokes(&self) {
        self.state.tokens.lock().unwrap().clear();
    }

    /// Answers nobody from now on.
    pub fn goes_down(&self) {
        self.state.down.store(true, Ordering::Relaxed);
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if self.state.down.load(Ordering::Relaxed) {
            return Ok(said(503, "down"));
        }
        Ok(match head.uri.path() {
            "/.well-known/oauth-authorization-server" => {
                let endpoint = format!("{}/token", self.url);
                let text = json!({"issuer": self.url, "token_endpoint": endpoint});
                said(200, &text.to_string())
            }
            "/token" => said(200, &self.give(&body)),
            _ => said(404, "nothing here"),
        })
    }

    fn give(&self, form: &[u8]) -> String {
        let form = std::str::from_utf8(form).unwrap();
        let field = |name: &str| {
            let mut fields = form.split('&').filter_map(|field| field.split_once('='));
            let found = fields.find(|(known, _)| *known == name);
            found.map(|(_, value)| {
                value
                    .replace('+', " ")
                    .replace("%3A", ":")
                    .replace("%2F", "/")
            })
        };
        let count = self.state.count.fetch_add(1, Ordering::Relaxed) + 1;
        let token = format!("backend-token-{count}");
        let scopes = field("scope").unwrap_or_default();
        let given = Given {
            to: field("subject_token").unwrap_or_else(|| "gateway".to_owned()),
            scopes: scopes.clone(),
            resource: field("resource").unwrap_or_default(),
        };
        self.state
            .tokens
            .lock()
            .unwrap()
            .insert(token.clone(), given);
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": scopes})
            .to_string()
    }
}

/// The bearer token of a message.
pub fn shown(headers: &HeaderMap) -> String {
    let value = headers.get("authorization");
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

fn said(status: u16, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}
