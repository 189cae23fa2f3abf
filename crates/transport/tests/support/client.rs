//! A raw HTTP client: every request on a connection of its own, which is closed when the answer is dropped.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use isthmus_protocol::sse::{SseDecoder, SseEvent};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    events: SseDecoder,
    connection: AbortHandle,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            path: "/mcp".to_owned(),
            headers: vec![
                ("host".into(), address.to_string()),
                ("content-type".into(), "application/json".into()),
                (
                    "accept".into(),
                    "application/json, text/event-stream".into(),
                ),
            ],
        }
    }

    /// The same client with a header set; an empty value takes it away.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(other, _)| other != name);
        if !value.is_empty() {
            client.headers.push((name.into(), value.into()));
        }
        client
    }

    /// The value of a header that the client sends.
    pub(crate) fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.unwrap().1.clone()
    }

    /// The same client at another path.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The headers of a stateless request; `name` may be empty.
    pub(crate) fn stateless(&self, method: &str, name: &str) -> Self {
        self.with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", method)
            .with("mcp-name", name)
    }

    /// Opens a session; returns the body of the answer and a client that names the session.
    pub(crate) async fn initialize(&self, revision: &str) -> (Value, Self) {
        self.initialize_with(revision, "{}").await
    }

    /// Opens a session whose client declares `capabilities`.
    pub(crate) async fn initialize_with(
        &self,
        revision: &str,
        capabilities: &str,
    ) -> (Value, Self) {
        let answer = self
            .post(&format!(
                r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{{"name":"test","version":"1"}}}}}}"#
            ))
            .await;
        let session = answer.headers["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned();
        (answer.json().await, self.with("mcp-session-id", &session))
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        self.send("POST", body.to_owned()).await
    }

    /// Posts in a task, for a test that answers the request itself.
    pub(crate) fn posting(&self, body: &str) -> JoinHandle<Answer> {
        let (client, body) = (self.clone(), body.to_owned());
        tokio::spawn(async move { client.post(&body).await })
    }

    /// The same, and hands out the connection so that the test can break it.
    pub(crate) fn posting_on(
        &self,
        body: &str,
        connected: oneshot::Sender<AbortHandle>,
    ) -> JoinHandle<Answer> {
        let (client, body) = (self.clone(), body.to_owned());
        tokio::spawn(async move { client.send_on("POST", body, Some(connected)).await })
    }

    pub(crate) async fn get(&self) -> Answer {
        self.send("GET", "").await
    }

    pub(crate) async fn delete(&self) -> Answer {
        self.send("DELETE", "").await
    }

    pub(crate) async fn send(&self, method: &str, body: impl Into<Bytes>) -> Answer {
        self.send_on(method, body, None).await
    }

    /// Posts without saying how long the body is.
    pub(crate) async fn chunked(&self, body: &str) -> Answer {
        let client = self.with("transfer-encoding", "chunked");
        client.send("POST", body.to_owned()).await
    }

    async fn send_on(
        &self,
        method: &str,
        body: impl Into<Bytes>,
        connected: Option<oneshot::Sender<AbortHandle>>,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection).abort_handle();
        if let Some(connected) = connected {
            connected.send(connection.clone()).ok();
        }
        let mut request = Request::builder().method(method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            events: SseDecoder::new(64 << 20),
            connection,
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    pub(crate) async fn text(mut self) -> String {
        let mut text = Vec::new();
        while let Some(frame) = self.body.frame().await {
            text.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
        String::from_utf8(text).unwrap()
    }

    pub(crate) async fn json(self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The code of the JSON-RPC error in the body.
    pub(crate) async fn code(self) -> i64 {
        self.json().await["error"]["code"].as_i64().unwrap()
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Some(event.unwrap());
            }
            let data = self.body.frame().await?.ok()?.into_data().ok()?;
            self.events.push(data);
        }
    }

    /// The next event that has data, as JSON.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            if !event.data.is_empty() {
                return Some(serde_json::from_slice(&event.data).unwrap());
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
