//! A small MCP client over one kept-alive connection. It checks every answer.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::arguments::{Ask, Era};
use crate::payload;

/// More than any answer of the bench.
const LONGEST_BODY: usize = 64 << 20;

/// What every answer must hold.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    content: String,
    tools: usize,
}

/// One client on one connection.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection; ends with the client.
    _connection: JoinSet<()>,
    host: HeaderValue,
    path: String,
    era: Era,
    session: Option<HeaderValue>,
    last_id: u64,
}

/// What came back from a POST.
struct Answer {
    session: Option<HeaderValue>,
    body: Bytes,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: u64,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallResult<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct ListResult<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

impl Expected {
    pub(crate) fn new(size: usize, tools: usize) -> Self {
        Self {
            content: payload::content(size),
            tools,
        }
    }
}

impl Client {
    /// Connects; opens a session if the era has one.
    pub(crate) async fn connect(address: SocketAddr, path: &str, era: Era) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The sender reports what went wrong.
            let _ = connection.await;
        });
        let host = HeaderValue::try_from(address.to_string())?;
        let mut client = Self {
            sender,
            _connection: driver,
            host,
            path: path.to_owned(),
            era,
            session: None,
            last_id: 0,
        };
        if era == Era::Stateful {
            client.open_session().await.context("no session")?;
        }
        Ok(client)
    }

    /// Opens another session over the same connection.
    pub(crate) async fn open_session(&mut self) -> anyhow::Result<()> {
        self.session = None;
        let me = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": me});
        let id = self.next_id();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params})
            .to_string();
        let answer = self.post("initialize", None, body, StatusCode::OK).await?;
        result_of(&answer.body, id)?;
        self.session = answer.session;
        ensure!(
            self.session.is_some(),
            "the answer to `initialize` has no session"
        );
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        self.post(
            "notifications/initialized",
            None,
            initialized,
            StatusCode::ACCEPTED,
        )
        .await?;
        Ok(())
    }

    /// Asks once and checks the answer.
    pub(crate) async fn ask(&mut self, ask: Ask, expected: &Expected) -> anyhow::Result<()> {
        match ask {
            Ask::Call => self.call(expected).await,
            Ask::List => self.list(expected).await,
        }
    }

    async fn call(&mut self, expected: &Expected) -> anyhow::Result<()> {
        let id = self.next_id();
        let arguments = format!(
            r#""name":"{}","arguments":{{"table":"prices","limit":20}}"#,
            payload::TOOL
        );
        let body = self.request(id, "tools/call", &arguments);
        let answer = self
            .post("tools/call", Some(payload::TOOL), body, StatusCode::OK)
            .await?;
        let result: CallResult<'_> = serde_json::from_str(result_of(&answer.body, id)?)?;
        ensure!(
            result.content.get() == expected.content,
            "the content is not what the backend sent"
        );
        Ok(())
    }

    async fn list(&mut self, expected: &Expected) -> anyhow::Result<()> {
        let id = self.next_id();
        let body = self.request(id, "tools/list", "");
        let answer = self.post("tools/list", None, body, StatusCode::OK).await?;
        let result: ListResult<'_> = serde_json::from_str(result_of(&answer.body, id)?)?;
        ensure!(
            result.tools.len() == expected.tools,
            "{} tools instead of {}",
            result.tools.len(),
            expected.tools
        );
        Ok(())
    }

    fn request(&self, id: u64, method: &str, members: &str) -> String {
        let meta = match self.era {
            Era::Stateful => "",
            Era::Stateless => STATELESS_META,
        };
        let comma = if members.is_empty() || meta.is_empty() {
            ""
        } else {
            ","
        };
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}{comma}{meta}}}}}"#
        )
    }

    async fn post(
        &mut self,
        method: &'static str,
        name: Option<&'static str>,
        body: String,
        status: StatusCode,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::post(&self.path)
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        match self.era {
            Era::Stateful => {
                if let Some(session) = &self.session {
                    request = request.header("mcp-session-id", session.clone());
                    request = request.header("mcp-protocol-version", "2025-11-25");
                }
            }
            Era::Stateless => {
                request = request
                    .header("mcp-protocol-version", "2026-07-28")
                    .header("mcp-method", method);
                if let Some(name) = name {
                    request = request.header("mcp-name", name);
                }
            }
        }
        self.sender.ready().await?;
        let response = self
            .sender
            .send_request(request.body(Full::from(body))?)
            .await?;
        let (head, body) = response.into_parts();
        #[expect(clippy::disallowed_methods, reason = "limited to `LONGEST_BODY`")]
        let body = Limited::new(body, LONGEST_BODY).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        if head.status != status {
            bail!(
                "`{method}` was answered with {}: {}",
                head.status,
                String::from_utf8_lossy(&body)
            );
        }
        let streamed = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream");
        let session = head.headers.get("mcp-session-id").cloned();
        Ok(Answer {
            session,
            body: if streamed { last_event(&body)? } else { body },
        })
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn result_of(body: &[u8], id: u64) -> anyhow::Result<&str> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).with_context(|| String::from_utf8_lossy(body).into_owned())?;
    ensure!(envelope.id == id, "an answer to another request");
    envelope
        .result
        .map(RawValue::get)
        .with_context(|| String::from_utf8_lossy(body).into_owned())
}

/// The data of the last event: the response, if the answer came as a stream.
fn last_event(body: &Bytes) -> anyhow::Result<Bytes> {
    let text = std::str::from_utf8(body)?;
    let mut data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim_start);
    let last = data
        .rfind(|data| !data.is_empty())
        .context("a stream without events")?;
    Ok(body.slice_ref(last.as_bytes()))
}

const STATELESS_META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{},"#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}"#,
);
