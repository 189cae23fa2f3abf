//! The least MCP server that both eras accept: one path, JSON replies, no state but a counter.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::arguments::BackendArguments;
use crate::{payload, report};

/// More than any request of the bench.
const LONGEST_BODY: usize = 1 << 20;

/// Everything that is answered, made once.
struct Answers {
    initialize: String,
    discover: String,
    stateful: Results,
    stateless: Results,
    sessions: AtomicU64,
}

struct Results {
    call: String,
    list: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
}

/// Serves until it is killed. Prints its address first.
pub(crate) async fn run(settings: &BackendArguments) -> anyhow::Result<()> {
    let answers = Arc::new(Answers::new(settings));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    report::line(&listener.local_addr()?.to_string());
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        while connections.try_join_next().is_some() {}
        let answers = answers.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(answers.clone(), request));
            let http = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // Whoever hangs up is done.
            let _ = http.await;
        });
    }
}

async fn answer(
    answers: Arc<Answers>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::DELETE {
        return Ok(empty(StatusCode::OK));
    }
    if request.method() != Method::POST {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let stateless = request
        .headers()
        .get("mcp-protocol-version")
        .is_some_and(|version| version == "2026-07-28");
    let body = Limited::new(request.into_body(), LONGEST_BODY);
    #[expect(clippy::disallowed_methods, reason = "limited to `LONGEST_BODY`")]
    let Ok(body) = body.collect().await else {
        return Ok(empty(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let body = body.to_bytes();
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&body) else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    let Some(id) = envelope.id else {
        return Ok(empty(StatusCode::ACCEPTED));
    };
    Ok(answers.to(envelope.method, id.get(), stateless))
}

impl Answers {
    fn new(settings: &BackendArguments) -> Self {
        let me = json!({"name": "bench-backend", "version": "1"});
        let content = payload::content(settings.size);
        let tools = payload::tools(settings.tools).to_string();
        let initialize =
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": me}).to_string();
        let discover = stateless(&json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "ttlMs": 3_600_000, "cacheScope": "public", "_meta": {"io.modelcontextprotocol/serverInfo": me},
        }));
        Self {
            initialize,
            discover,
            stateful: Results {
                call: format!(r#"{{"content":{content}}}"#),
                list: format!(r#"{{"tools":{tools}}}"#),
            },
            stateless: Results {
                call: format!(r#"{{"resultType":"complete","content":{content}}}"#),
                list: format!(
                    r#"{{"resultType":"complete","tools":{tools},"ttlMs":3600000,"cacheScope":"public"}}"#
                ),
            },
            sessions: AtomicU64::new(0),
        }
    }

    fn to(&self, method: &str, id: &str, stateless: bool) -> Response<Full<Bytes>> {
        let results = if stateless {
            &self.stateless
        } else {
            &self.stateful
        };
        let result = match method {
            "tools/call" => &results.call,
            "tools/list" => &results.list,
            "initialize" => &self.initialize,
            "server/discover" if stateless => &self.discover,
            "ping" => "{}",
            _ => return not_found(id),
        };
        let mut response = json_response(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ));
        if method == "initialize" {
            let session = self.sessions.fetch_add(1, Ordering::Relaxed);
            response
                .headers_mut()
                .insert("mcp-session-id", session.into());
        }
        response
    }
}

fn stateless(result: &Value) -> String {
    let mut result = result.clone();
    result["resultType"] = "complete".into();
    result.to_string()
}

fn json_response(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

fn not_found(id: &str) -> Response<Full<Bytes>> {
    let error = r#"{"code":-32601,"message":"not implemented by this backend"}"#;
    let mut response = json_response(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
