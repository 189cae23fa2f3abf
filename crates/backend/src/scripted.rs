//! A backend over HTTP whose every answer is given by a test.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime, and its own server is trusted"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use isthmus_config::Secret;
use isthmus_egress::{Client, ClientSettings};
use isthmus_exchange::BackendName;
use isthmus_protocol::RawJson;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::streamable_http::{Endpoint, EndpointSettings, Limits};

type Body = BoxBody<Bytes, std::io::Error>;

/// A server on port 0; each request waits for the test to answer it.
pub(crate) struct ScriptedBackend {
    pub(crate) url: String,
    arrived: mpsc::Receiver<Received>,
    waiting: VecDeque<Received>,
    connections: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

/// One request that has not been answered yet.
pub(crate) struct Received {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Response<Body>>,
}

/// A response body that is being written. Dropping it ends the body.
pub(crate) struct OpenStream {
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

impl ScriptedBackend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (sender, arrived) = mpsc::channel(64);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let sender = sender.clone();
                let service = service_fn(move |request| receive(request, sender.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(connection);
            }
        });
        Self {
            url,
            arrived,
            waiting: VecDeque::new(),
            connections,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// An endpoint that leads here.
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        self.endpoint_with(&[&self.url], |_| {})
    }

    /// An endpoint for `urls` whose settings `change` has seen.
    pub(crate) fn endpoint_with(
        &self,
        urls: &[&str],
        change: impl FnOnce(&mut EndpointSettings),
    ) -> Arc<Endpoint> {
        let mut settings = EndpointSettings {
            backend: BackendName::parse("scripted").unwrap(),
            urls: urls.iter().map(|url| url.parse::<Uri>().unwrap()).collect(),
            headers: vec![(
                http::HeaderName::from_static("x-key"),
                Secret::new("s3cret"),
            )],
            client: Client::new(ClientSettings::default()),
            background: tokio::runtime::Handle::current(),
            client_info: json(r#"{"name":"isthmus","version":"0"}"#),
            limits: Limits {
                body: 1 << 20,
                event: 1 << 20,
                open: Duration::from_secs(20),
                pause: Duration::from_millis(1),
            },
        };
        change(&mut settings);
        Endpoint::new(settings).unwrap()
    }

    /// The next POST; other requests wait.
    pub(crate) async fn post(&mut self) -> Received {
        self.next(&http::Method::POST).await
    }

    /// The next POST of a message with this method.
    pub(crate) async fn post_of(&mut self, method: &str) -> Received {
        let received = self.post().await;
        assert_eq!(received.json()["method"], method);
        received
    }

    /// The next GET; other requests wait.
    pub(crate) async fn get(&mut self) -> Received {
        self.next(&http::Method::GET).await
    }

    /// The next DELETE; other requests wait.
    pub(crate) async fn delete(&mut self) -> Received {
        self.next(&http::Method::DELETE).await
    }

    async fn next(&mut self, method: &http::Method) -> Received {
        if let Some(at) = self
            .waiting
            .iter()
            .position(|received| received.method == *method)
        {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            let arriving = tokio::time::timeout(Duration::from_secs(20), self.arrived.recv()).await;
            let received = arriving
                .unwrap_or_else(|_| panic!("no {method} arrived"))
                .unwrap();
            if received.method == *method {
                return received;
            }
            self.waiting.push_back(received);
        }
    }
}

async fn receive(
    request: Request<Incoming>,
    sender: mpsc::Sender<Received>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let (answer, answered) = oneshot::channel();
    let received = Received {
        method: parts.method,
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default(),
        answer,
    };
    sender.send(received).await.unwrap_or_default();
    Ok(answered
        .await
        .unwrap_or_else(|_| Response::builder().status(500).body(whole("")).unwrap()))
}

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

impl Received {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The id of the request in the body, as text.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].to_string()
    }

    /// A header as text; `None` if it is not there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Answers with a head that has these headers.
    pub(crate) fn answer(self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        // Whoever asked may have gone: some tests want that.
        let _ = self.answer.send(response.body(whole(body)).unwrap());
    }

    /// Answers with JSON text.
    pub(crate) fn answer_json(self, status: u16, body: impl Into<Bytes>) {
        self.answer(status, &[("content-type", "application/json")], body);
    }

    /// Answers the request with a result.
    pub(crate) fn answer_result(self, result: &str) {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
            self.id()
        );
        self.answer_json(200, body);
    }

    /// Takes a notification or response.
    pub(crate) fn accept(self) {
        self.answer(202, &[], "");
    }

    /// Answers with an event stream that stays open.
    pub(crate) fn open_stream(self) -> OpenStream {
        self.open_stream_as("text/event-stream")
    }

    /// Answers with a body of this type that stays open.
    pub(crate) fn open_stream_as(self, content_type: &str) -> OpenStream {
        let (pieces, mut receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let frames = stream::poll_fn(move |context| {
            receiver
                .poll_recv(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data)))
        });
        let response = Response::builder()
            .header("content-type", content_type)
            .body(BodyExt::boxed(StreamBody::new(frames)))
            .unwrap();
        let _ = self.answer.send(response);
        OpenStream { pieces }
    }

    /// Waits until whoever asked has gone away without an answer.
    pub(crate) async fn abandoned(mut self) {
        let gone = tokio::time::timeout(Duration::from_secs(20), self.answer.closed()).await;
        gone.expect("the request was not given up");
    }
}

impl OpenStream {
    /// Writes text as it is.
    pub(crate) async fn write(&self, text: &str) {
        self.pieces
            .send(Ok(Bytes::copy_from_slice(text.as_bytes())))
            .await
            .unwrap();
    }

    /// Writes text as it is; `Err` when whoever reads has gone away.
    pub(crate) async fn try_write(&self, text: &str) -> Result<(), ()> {
        let piece = Bytes::copy_from_slice(text.as_bytes());
        self.pieces.send(Ok(piece)).await.map_err(|_| ())
    }

    /// Writes an event whose data is `text`.
    pub(crate) async fn event(&self, text: &str) {
        self.write(&format!("event: message\ndata: {text}\n\n"))
            .await;
    }

    /// Writes the response to the request `id`.
    pub(crate) async fn result(&self, id: &str, result: &str) {
        self.event(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ))
        .await;
    }

    /// Breaks the connection off.
    pub(crate) async fn break_off(self) {
        let _ = self
            .pieces
            .send(Err(std::io::Error::other("broken on purpose")))
            .await;
    }

    /// Waits until whoever reads has gone away.
    pub(crate) async fn abandoned(self) {
        let gone = tokio::time::timeout(Duration::from_secs(20), self.pieces.closed()).await;
        gone.expect("the stream was not given up");
    }
}

/// JSON text.
pub(crate) fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}
