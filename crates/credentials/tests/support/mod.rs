//! A server on port 0 that answers as it was told and remembers what it was asked.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    tokens: AtomicUsize,
}

#[derive(Clone)]
pub(crate) struct Answer(String);

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self(format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    pub(crate) fn challenge(metadata: &str) -> Self {
        Self(format!(
            "HTTP/1.1 401 x\r\nwww-authenticate: Bearer resource_metadata=\"{metadata}\"\r\ncontent-length: 0\r\n\r\n"
        ))
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self(format!(
            "HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        ))
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[allow(dead_code, reason = "only some tests read it")]
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// A field of the form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut fields = self
            .body
            .split('&')
            .filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(known, _)| *known == name)?;
        let mut bytes = Vec::new();
        let mut rest = value.bytes();
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
        Some(String::from_utf8(bytes).unwrap())
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let own = server.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(own.clone().answer(socket));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn answers(&self, path: &str, answer: Answer) {
        let mut answers = self.state.answers.lock().unwrap();
        answers.insert(path.to_owned(), answer);
    }

    /// Publishes metadata of an authorization server that is itself.
    pub(crate) fn publishes_itself(&self) {
        self.publishes(&self.url(), "/token");
    }

    pub(crate) fn publishes(&self, issuer: &str, endpoint: &str) {
        self.publishes_at_path("/.well-known/oauth-authorization-server", issuer, endpoint);
    }

    pub(crate) fn publishes_at_path(&self, path: &str, issuer: &str, endpoint: &str) {
        let endpoint = if endpoint.starts_with('/') {
            format!("{}{endpoint}", self.url())
        } else {
            endpoint.to_owned()
        };
        let text = serde_json::json!({ "issuer": issuer, "token_endpoint": endpoint });
        self.answers(path, Answer::json(200, &text.to_string()));
    }

    /// Publishes metadata of the backend at `path`.
    pub(crate) fn publishes_resource(&self, path: &str, servers: &[String], scopes: &[&str]) {
        self.publishes_at(path, &format!("{}{path}", self.url()), servers, scopes);
    }

    pub(crate) fn publishes_at(
        &self,
        path: &str,
        resource: &str,
        servers: &[String],
        scopes: &[&str],
    ) {
        let text = serde_json::json!({
            "resource": resource, "authorization_servers": servers, "scopes_supported": scopes,
        });
        let place = format!("/.well-known/oauth-protected-resource{path}");
        self.answers(&place, Answer::json(200, &text.to_string()));
    }

    pub(crate) fn all_asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let mut all = self.all_asked();
        all.retain(|asked| asked.path == path);
        all
    }

    async fn answer(self, mut socket: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        let answer = self.answer_to(&path);
        self.state.asked.lock().unwrap().push(Asked {
            path,
            headers,
            body: String::from_utf8(body).unwrap(),
        });
        let _ = socket.write_all(answer.0.as_bytes()).await;
        let _ = socket.shutdown().await;
    }

    fn answer_to(&self, path: &str) -> Answer {
        if let Some(answer) = self.state.answers.lock().unwrap().get(path) {
            return answer.clone();
        }
        if path != "/token" {
            return Answer::json(404, "{}");
        }
        let count = self.state.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        let text = serde_json::json!({
            "access_token": format!("token-{count}"), "token_type": "bearer", "expires_in": 300,
        });
        Answer::json(200, &text.to_string())
    }
}
