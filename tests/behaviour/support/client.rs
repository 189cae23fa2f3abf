//! Raw clients of both eras: what is on the wire, and nothing of an SDK's kindness.

use serde_json::{Value, json};

use super::http::{Answer, send};

pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

/// A client with a session.
#[derive(Debug, Clone)]
pub struct Stateful {
    pub url: String,
    pub session: String,
    pub revision: &'static str,
    pub initialized: Value,
}

impl Stateful {
    /// Opens a session.
    pub async fn open(url: &str, revision: &'static str) -> Self {
        Self::open_with(url, revision, json!({})).await
    }

    /// Opens a session and declares `capabilities`.
    pub async fn open_with(url: &str, revision: &'static str, capabilities: Value) -> Self {
        let params = json!({
            "protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "raw", "version": "1"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
            .to_string();
        let answer = send("POST", url, &[JSON, BOTH], body).await;
        assert_eq!(answer.status, 200);
        let session = answer.header("mcp-session-id").to_owned();
        let initialized = answer.json().await;
        let client = Self {
            url: url.to_owned(),
            session,
            revision,
            initialized,
        };
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(&ready).await.status, 202);
        client
    }

    /// Posts one message or batch.
    pub async fn post(&self, message: &Value) -> Answer {
        send(
            "POST",
            &self.url,
            &[JSON, BOTH, self.id(), self.version()],
            message.to_string(),
        )
        .await
    }

    /// Asks, and waits for the whole response.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
            .await
            .json()
            .await
    }

    /// Opens the GET stream.
    pub async fn listen(&self) -> Answer {
        send(
            "GET",
            &self.url,
            &[("accept", "text/event-stream"), self.id(), self.version()],
            "",
        )
        .await
    }

    /// Ends the session.
    pub async fn delete(&self) -> Answer {
        send("DELETE", &self.url, &[self.id(), self.version()], "").await
    }

    pub fn id(&self) -> (&str, &str) {
        ("mcp-session-id", &self.session)
    }

    pub fn version(&self) -> (&str, &str) {
        ("mcp-protocol-version", self.revision)
    }
}

/// A client of revision 2026-07-28.
#[derive(Debug, Clone)]
pub struct Stateless {
    pub url: String,
}

impl Stateless {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }

    /// The request that [`Stateless::post`] sends.
    pub fn request(method: &str, mut params: Value, meta: Value) -> Value {
        let mut envelope = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        });
        if let Value::Object(meta) = meta {
            envelope.as_object_mut().unwrap().extend(meta);
        }
        params["_meta"] = envelope;
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    }

    /// Posts one request with the headers that go with it, and `meta` beside the envelope.
    pub async fn post(&self, method: &str, params: Value, meta: Value) -> Answer {
        let name = params["name"]
            .as_str()
            .or(params["uri"].as_str())
            .or(params["taskId"].as_str())
            .map(str::to_owned);
        let mut headers = vec![
            JSON,
            BOTH,
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        if let Some(name) = &name {
            headers.push(("mcp-name", name));
        }
        send(
            "POST",
            &self.url,
            &headers,
            Self::request(method, params, meta).to_string(),
        )
        .await
    }

    /// Asks, and waits for the whole response.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.post(method, params, json!({})).await.json().await
    }
}
