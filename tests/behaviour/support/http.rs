//! HTTP as bytes and JSON: a client that hides nothing.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use isthmus_protocol::sse::{SseDecoder, SseEvent};
use serde_json::{Value, json};

/// Reads JSON for a test to look at. The number that no `Value` can hold becomes one that it can.
pub fn value_of(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_str(&String::from_utf8_lossy(text).replace("1e400", "1e40"))
}

/// One header as text; empty if absent.
pub fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
        .to_owned()
}

/// Sends one request.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .request(request.body(Full::new(body.into())).unwrap())
        .await
        .unwrap();
    Answer::of(response)
}

/// What came back; its body is read as asked.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    events: SseDecoder,
}

impl Answer {
    fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body,
            events: SseDecoder::new(64 << 20),
        }
    }

    /// One header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The whole body.
    pub async fn bytes(self) -> Bytes {
        self.body.collect().await.unwrap().to_bytes()
    }

    /// The body as JSON, or the one response that its event stream holds.
    pub async fn json(mut self) -> Value {
        if self.header("content-type").starts_with("text/event-stream") {
            loop {
                let message = self
                    .event()
                    .await
                    .expect("the stream ended without a response");
                if message.get("id").is_some() && message.get("method").is_none() {
                    return message;
                }
            }
        }
        let bytes = self.bytes().await;
        value_of(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"))
    }

    /// Waits for a notification of this kind; what else the stream has is passed over.
    ///
    /// A session that was opened before its backends were heard of is told so by `list_changed`, sooner or later.
    pub async fn notified(&mut self, method: &str) -> Value {
        loop {
            let message = self.event().await;
            let message = message.unwrap_or_else(|| panic!("the stream ended without `{method}`"));
            if message["method"] == method {
                return message;
            }
        }
    }

    /// The next message of an event stream; `None` at its end. Events without data are skipped.
    pub async fn event(&mut self) -> Option<Value> {
        loop {
            let event = self.whole_event().await?;
            if !event.data.is_empty() {
                return Some(serde_json::from_slice(&event.data).unwrap_or_else(|_| {
                    // The `endpoint` event of HTTP+SSE is text.
                    json!(String::from_utf8_lossy(&event.data))
                }));
            }
        }
    }

    /// The next event of an event stream with all its fields; `None` at its end.
    pub async fn whole_event(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Some(event.unwrap());
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.events.push(data);
            }
        }
    }
}
