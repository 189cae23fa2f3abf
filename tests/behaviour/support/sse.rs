//! A raw client of HTTP+SSE (2024-11-05): one event stream, and a path beside it to post to.

use serde_json::{Value, json};

use super::client::JSON;
use super::http::{Answer, send};
use super::patience;

/// A client whose session is its event stream.
#[derive(Debug)]
pub struct SseClient {
    stream: Answer,
    /// Where to post to, as the stream began with it.
    pub endpoint: String,
    early: Vec<Value>,
}

impl SseClient {
    /// Opens the stream at `url` and reads where to post to.
    pub async fn open(url: &str) -> Self {
        let mut stream = send("GET", url, &[("accept", "text/event-stream")], "").await;
        assert_eq!(stream.status, 200);
        assert!(
            stream
                .header("content-type")
                .starts_with("text/event-stream")
        );
        let endpoint = stream.event().await.unwrap();
        let path = endpoint
            .as_str()
            .expect("the first event says where to post to");
        let (scheme, rest) = url.split_once("://").unwrap();
        let host = rest.split('/').next().unwrap();
        let endpoint = format!("{scheme}://{host}{path}");
        Self {
            stream,
            endpoint,
            early: Vec::new(),
        }
    }

    /// Opens the stream and the session.
    pub async fn initialized(url: &str) -> Self {
        let mut client = Self::open(url).await;
        let opened = client.initialize("2024-11-05").await;
        assert_eq!(
            opened["result"]["protocolVersion"], "2024-11-05",
            "{opened}"
        );
        client
    }

    /// Opens the session.
    pub async fn initialize(&mut self, revision: &str) -> Value {
        self.initialize_with(revision, json!({})).await
    }

    /// Opens the session and declares `capabilities`.
    pub async fn initialize_with(&mut self, revision: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "raw", "version": "1"},
        });
        let opened = self.ask("initialize", params).await;
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        opened
    }

    /// Posts one message.
    pub async fn say(&self, message: &Value) {
        let answer = send("POST", &self.endpoint, &[JSON], message.to_string()).await;
        assert_eq!(answer.status, 202, "{message}");
    }

    /// Asks, and waits for the response on the stream.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
            .await;
        self.hear_where(|message| message["id"] == 7 && message["method"].is_null())
            .await
    }

    /// Waits for a notification of this kind.
    pub async fn notified(&mut self, method: &str) -> Value {
        self.hear_where(|message| message["method"] == method).await
    }

    /// Waits for the first message that fits; others are kept for whoever asks for them.
    pub async fn hear_where(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&fits) {
            return self.early.remove(at);
        }
        loop {
            let message = tokio::time::timeout(patience(), self.stream.event()).await;
            let message = message.unwrap_or_else(|_| panic!("nothing came but {:#?}", self.early));
            let message = message.expect("the stream has ended");
            if fits(&message) {
                return message;
            }
            self.early.push(message);
        }
    }

    /// What was heard while something else was waited for.
    pub fn unasked(&self) -> &[Value] {
        &self.early
    }
}
