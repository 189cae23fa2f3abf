//! A client with a credential, and the keys and tokens that there are.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Stateless;
use crate::support::client::{BOTH, JSON};
use crate::support::gateway::command;
use crate::support::http::{Answer, send};

/// A key that `isthmus key new` has made.
pub struct Key {
    pub key: String,
    /// What the config has of it: `api_keys:` and one entry.
    pub snippet: String,
}

/// Makes a key by the command line.
pub fn new_key(name: &str, arguments: &[&str]) -> Key {
    let folder = tempfile::tempdir().unwrap();
    let mut making = isthmus(&folder);
    let made = making
        .args(["key", "new", name])
        .args(arguments)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout).unwrap();
    let mut words = text.split_whitespace();
    let key = words.find(|word| word.starts_with("isthmus_")).unwrap();
    let (_, snippet) = text.split_once("api_keys:\n").unwrap();
    assert!(!snippet.contains(key));
    Key {
        key: key.to_owned(),
        snippet: format!("api_keys:\n{snippet}"),
    }
}

fn isthmus(folder: &TempDir) -> Command {
    command(folder)
}

/// The entries of several keys under one `api_keys:`.
pub fn api_keys(keys: &[&Key]) -> String {
    let entries = keys.iter().map(|key| {
        let (_, entry) = key.snippet.split_once("api_keys:\n").unwrap();
        entry.to_owned()
    });
    format!("api_keys:\n{}", entries.collect::<String>())
}

/// A client that shows a credential with every request.
#[derive(Clone)]
pub struct Visitor {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub session: Option<String>,
}

impl Visitor {
    /// One that shows `token` as a bearer.
    pub fn with(url: &str, token: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
            session: None,
        }
    }

    /// One that shows these headers.
    pub fn showing(url: &str, headers: &[(String, String)]) -> Self {
        Self {
            url: url.to_owned(),
            headers: headers.to_vec(),
            session: None,
        }
    }

    /// The same client, as if it had this session.
    pub fn in_session(&self, session: &str) -> Self {
        Self {
            session: Some(session.to_owned()),
            ..self.clone()
        }
    }

    /// Sends one request, with what else its headers need.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        more: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id", session));
            headers.push(("mcp-protocol-version", "2025-11-25"));
        }
        headers.extend(more);
        send(method, url, &headers, body).await
    }

    /// Posts `initialize`.
    pub async fn initialize(&self) -> Answer {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"},
        });
        self.post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await
    }

    /// Opens a session and says that it is ready.
    pub async fn open(&self) -> Self {
        let answer = self.initialize().await;
        assert_eq!(answer.status, 200);
        let client = self.in_session(answer.header("mcp-session-id"));
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(&ready).await.status, 202);
        client
    }

    /// Posts one message.
    pub async fn post(&self, message: &Value) -> Answer {
        self.send("POST", &self.url, &[JSON, BOTH], message.to_string())
            .await
    }

    /// Asks in its session, and waits for the response.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
            .await
            .json()
            .await
    }

    /// Opens the standing stream of its session.
    pub async fn listen(&self) -> Answer {
        self.send(
            "GET",
            &self.url,
            &[("accept", "text/event-stream")],
            String::new(),
        )
        .await
    }

    /// Ends its session.
    pub async fn delete(&self) -> Answer {
        self.send("DELETE", &self.url, &[], String::new()).await
    }

    /// Posts one request that describes itself (2026-07-28), with `meta` beside the envelope.
    pub async fn stateless(&self, method: &str, params: Value, meta: Value) -> Answer {
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
        let body = Stateless::request(method, params, meta).to_string();
        self.send("POST", &self.url, &headers, body).await
    }
}
