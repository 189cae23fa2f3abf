//! A scripted backend over HTTP, of either era: it does exactly what a test says, and remembers what reached it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::body::{Fed, Gone, stream, whole};

mod listeners;
mod pipes;
mod running;

use listeners::Listeners;
pub use pipes::Program;
pub use running::Running;

/// What the backend does with a request.
pub enum Reaction {
    /// Answers with this result.
    Result(Value),
    /// Answers with these bytes as `result`, unparsed.
    RawResult(String),
    /// Answers with this JSON, whatever it is; `$id` stands for the id of the request.
    Json(String),
    /// Answers with this error.
    Error(Value),
    /// Answers with an event stream that the test feeds; whole messages as text. Closed when the sender is dropped.
    Stream(mpsc::Receiver<String>),
    /// Answers with this status and body, whatever they mean.
    Http(u16, &'static str, Vec<u8>),
    /// Never answers.
    Hang,
    /// Works on the request, and may ask, report and wait meanwhile; see [`Reaction::run`].
    Run(Work),
}

/// How a request is worked on.
pub type Work = Box<dyn FnOnce(Running) -> BoxFuture<'static, Value> + Send>;

impl Reaction {
    /// Answers with what `work` comes to: a result, or `{"error": …}`.
    pub fn run<F: Future<Output = Value> + Send + 'static>(
        work: impl FnOnce(Running) -> F + Send + 'static,
    ) -> Self {
        Self::Run(Box::new(move |running| Box::pin(work(running))))
    }
}

/// One message that reached the backend.
#[derive(Debug, Clone)]
pub struct Seen {
    pub http: Method,
    pub headers: HeaderMap,
    pub message: Value,
    pub text: String,
    /// On what it came: a session by its id, an event stream or a pipe by its number. Empty before there is one.
    pub session: String,
}

/// Says with which status and `WWW-Authenticate` a message is refused, if it is.
type Door = dyn Fn(&Seen) -> Option<(u16, String)> + Send + Sync;
type Script = dyn Fn(&str, &Value) -> Option<Reaction> + Send + Sync;

/// A scripted backend. Ends with the test's runtime.
pub struct Backend {
    url: String,
    state: Arc<State>,
}

struct State {
    revision: &'static str,
    capabilities: Value,
    script: Box<Script>,
    door: Mutex<Option<Arc<Door>>>,
    /// Headers of every response, whatever else it has.
    beside: Mutex<Vec<(&'static str, &'static str)>>,
    seen: watch::Sender<Vec<Seen>>,
    gone: watch::Sender<usize>,
    listeners: Listeners,
    sessions: Mutex<usize>,
    questions: Mutex<usize>,
    running: watch::Sender<usize>,
    /// Changes when all connections shall break.
    cuts: watch::Sender<()>,
    /// The event streams of HTTP+SSE, by the number in their endpoint.
    streams: Mutex<HashMap<String, mpsc::Sender<String>>>,
}

impl Backend {
    /// Starts one that speaks `revision` and answers what `script` does not: the handshake, lists, ping.
    pub async fn start(
        revision: &'static str,
        script: impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let state = Arc::new(State {
            revision,
            capabilities: json!({
                "tools": {"listChanged": true},
                "prompts": {"listChanged": true},
                "resources": {"listChanged": true, "subscribe": true},
                "completions": {}, "logging": {},
            }),
            script: Box::new(script),
            door: Mutex::default(),
            beside: Mutex::default(),
            seen: watch::Sender::new(Vec::new()),
            gone: watch::Sender::new(0),
            listeners: Listeners::default(),
            sessions: Mutex::default(),
            questions: Mutex::default(),
            running: watch::Sender::new(0),
            cuts: watch::Sender::new(()),
            streams: Mutex::default(),
        });
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                stream.set_nodelay(true).unwrap();
                let mut cut = state.cuts.subscribe();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(state.clone(), request));
                    let serving =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = serving => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { url, state }
    }

    /// From now on refuses what `door` refuses, and publishes nothing about that.
    pub fn is_guarded_by(
        &self,
        door: impl Fn(&Seen) -> Option<(u16, String)> + Send + Sync + 'static,
    ) {
        *self.state.door.lock().unwrap() = Some(Arc::new(door));
    }

    /// From now on says this in the headers of every response.
    pub fn says_beside(&self, headers: &[(&'static str, &'static str)]) {
        *self.state.beside.lock().unwrap() = headers.to_vec();
    }

    /// A `backends:` entry for it.
    pub fn entry(&self, name: &str) -> String {
        format!("  {name}:\n    http: {{urls: [{}]}}\n", self.url)
    }

    /// Where it can be reached over HTTP+SSE.
    pub fn sse_url(&self) -> String {
        self.url.replace("/mcp", "/sse")
    }

    /// A `backends:` entry that reaches it over HTTP+SSE.
    pub fn sse_entry(&self, name: &str) -> String {
        format!("  {name}:\n    sse: {{url: {}}}\n", self.sse_url())
    }

    /// Breaks all connections and what was worked on, as a crash does; it can be reached again at once.
    pub fn crash(&self) {
        self.end_streams();
        self.state.cuts.send_replace(());
    }

    /// Ends all event streams of HTTP+SSE.
    pub fn end_streams(&self) {
        self.state.streams.lock().unwrap().clear();
        self.state.listeners.clear();
    }

    /// Waits until a message with `method` has arrived and returns the first that fits.
    pub async fn saw(&self, method: &str) -> Seen {
        self.saw_where(|seen| seen.message["method"] == method)
            .await
    }

    /// Waits until a message that fits has arrived.
    pub async fn saw_where(&self, fits: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.state.seen.subscribe();
        let came = within(seen.wait_for(|all| all.iter().any(&fits))).await;
        let Some(all) = came else {
            let methods: Vec<_> = self.seen().into_iter().map(|seen| seen.text).collect();
            panic!("the backend waited in vain; it saw {methods:#?}");
        };
        all.unwrap().iter().find(|one| fits(one)).cloned().unwrap()
    }

    /// Everything that has arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.borrow().clone()
    }

    /// How many messages with `method` have arrived so far.
    pub fn count(&self, method: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.message["method"] == method)
            .count()
    }

    /// Waits until at least `count` messages with `method` have arrived.
    pub async fn counted(&self, method: &str, count: usize) {
        let mut seen = self.state.seen.subscribe();
        let fits = |all: &Vec<Seen>| {
            all.iter()
                .filter(|seen| seen.message["method"] == method)
                .count()
                >= count
        };
        let came = within(seen.wait_for(fits)).await;
        came.unwrap_or_else(|| panic!("{} of {count} times `{method}`", self.count(method)))
            .unwrap();
    }

    /// Waits until `count` reply streams were closed by the gateway.
    pub async fn streams_closed(&self, count: usize) {
        let mut gone = self.state.gone.subscribe();
        let came = within(gone.wait_for(|gone| *gone >= count)).await;
        came.expect("the reply streams stay open").unwrap();
    }

    /// Says something unasked, on every GET stream or listen.
    pub async fn announce(&self, method: &str, params: Value) {
        let heard = self.state.listeners.announce(method, &params).await;
        assert!(heard > 0, "nobody listens to the backend");
    }

    /// Waits until the gateway listens for unsolicited traffic.
    pub async fn is_listened_to(&self) {
        self.state.listeners.some().await;
    }
}

/// What `wait` comes to, if it does so while a test can wait.
pub(super) async fn within<T>(wait: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(super::patience(), wait).await.ok()
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Fed>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let message: Value = super::http::value_of(&bytes).unwrap_or_default();
    let session = match head.uri.query().filter(|_| head.uri.path() == "/messages") {
        Some(stream) => format!("stream-{stream}"),
        None => super::http::text_of(&head.headers, "mcp-session-id"),
    };
    let seen = Seen {
        http: head.method.clone(),
        headers: head.headers.clone(),
        message: message.clone(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        session: session.clone(),
    };
    let last = super::http::text_of(&head.headers, "last-event-id");
    let door = state.door.lock().unwrap().clone();
    if let Some(door) = door {
        if head.uri.path().starts_with("/.well-known/") {
            return Ok(whole(404, "text/plain", Vec::new()));
        }
        let refused = door(&seen);
        if let Some((status, challenge)) = refused {
            state.seen.send_modify(|all| all.push(seen));
            let mut response = whole(status, "text/plain", b"no".to_vec());
            let challenge = challenge.parse().unwrap();
            response.headers_mut().insert("www-authenticate", challenge);
            return Ok(response);
        }
    }
    let mut response = match (&head.method, head.uri.path(), head.uri.query()) {
        (&Method::GET, "/sse", _) => state.open_stream(),
        (&Method::POST, "/messages", Some(stream)) => state.react_on(stream, &message),
        (_, "/sse" | "/messages", _) => whole(405, "text/plain", Vec::new()),
        (&Method::GET, _, _) if !last.is_empty() => state.resume(&session, &last),
        _ => state.react(&head.method, &session, &message),
    };
    for (name, value) in state.beside.lock().unwrap().iter() {
        let value = http::HeaderValue::from_static(value);
        response.headers_mut().append(*name, value);
    }
    state.seen.send_modify(|all| all.push(seen));
    Ok(response)
}

impl State {
    fn stateless(&self) -> bool {
        self.revision == "2026-07-28"
    }

    fn react(self: &Arc<Self>, http: &Method, session: &str, message: &Value) -> Response<Fed> {
        if http == Method::GET && !self.stateless() {
            return self.listen(session, Value::Null, None);
        }
        if http != Method::POST {
            return whole(
                if http == Method::DELETE { 200 } else { 405 },
                "text/plain",
                Vec::new(),
            );
        }
        let method = message["method"].as_str().unwrap_or_default();
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return whole(202, "text/plain", Vec::new());
        };
        if self.stateless()
            != message["params"]["_meta"]
                .get("io.modelcontextprotocol/protocolVersion")
                .is_some()
        {
            let error = json!({"code": -32600, "message": "not an era I speak"});
            return whole(
                400,
                "application/json",
                json!({"jsonrpc": "2.0", "id": id, "error": error})
                    .to_string()
                    .into(),
            );
        }
        let scripted = (self.script)(method, &message["params"]);
        if scripted.is_none() && self.stateless() && method == "subscriptions/listen" {
            return self.listen(
                session,
                id.clone(),
                Some(&message["params"]["notifications"]),
            );
        }
        let reaction = scripted.or_else(|| self.usual(method));
        let Some(reaction) = reaction else {
            let error = json!({"code": -32601, "message": "no such method"});
            let status = if self.stateless() { 404 } else { 200 };
            return whole(
                status,
                "application/json",
                json!({"jsonrpc": "2.0", "id": id, "error": error})
                    .to_string()
                    .into(),
            );
        };
        match reaction {
            Reaction::Result(mut result) => {
                if self.stateless() && result.get("resultType").is_none() {
                    result["resultType"] = json!("complete");
                }
                let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
                let mut response = whole(200, "application/json", body.into());
                if method == "initialize" {
                    let mut sessions = self.sessions.lock().unwrap();
                    *sessions += 1;
                    let name = format!("session-{sessions}");
                    response
                        .headers_mut()
                        .insert("mcp-session-id", name.parse().unwrap());
                }
                response
            }
            Reaction::RawResult(result) => {
                let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}");
                whole(200, "application/json", body.into())
            }
            Reaction::Json(text) => whole(
                200,
                "application/json",
                text.replace("$id", &id.to_string()).into(),
            ),
            Reaction::Error(error) => {
                let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
                whole(200, "application/json", body.into())
            }
            Reaction::Stream(fed) => {
                // `$id` in a scripted message stands for the id of the request.
                let id = id.to_string();
                stream(Fed::Events {
                    fed,
                    id,
                    gone: Some(self.clone()),
                })
            }
            Reaction::Run(work) => {
                let (running, fed) = Running::new(self, session, message);
                running.work(work);
                stream(Fed::Events {
                    fed,
                    id: id.to_string(),
                    gone: Some(self.clone()),
                })
            }
            Reaction::Http(status, kind, body) => whole(status, kind, body),
            Reaction::Hang => {
                let (keep, fed) = mpsc::channel(1);
                std::mem::forget(keep);
                Response::new(Fed::Events {
                    fed,
                    id: String::new(),
                    gone: Some(self.clone()),
                })
            }
        }
    }

    /// Opens an event stream of HTTP+SSE. It begins with where to post to.
    fn open_stream(self: &Arc<Self>) -> Response<Fed> {
        let (feed, fed) = mpsc::channel(16);
        let mut streams = self.streams.lock().unwrap();
        let number = streams.len().to_string();
        streams.insert(number.clone(), feed.clone());
        let session = format!("stream-{number}");
        self.listeners.add(&session, Value::Null, feed);
        let endpoint = format!("event: endpoint\ndata: /messages?{number}\n\n");
        stream(Fed::Opened {
            endpoint: Some(endpoint.into()),
            fed,
            gone: Some(Arc::new(WireOf {
                state: self.clone(),
                session,
            })),
        })
    }

    /// Takes a message of HTTP+SSE; what answers it comes on its stream.
    fn react_on(self: &Arc<Self>, stream: &str, message: &Value) -> Response<Fed> {
        let Some(feed) = self.streams.lock().unwrap().get(stream).cloned() else {
            return whole(404, "text/plain", Vec::new());
        };
        let session = format!("stream-{stream}");
        let answer = self.react(&Method::POST, &session, message);
        if answer.status() != 202 {
            tokio::spawn(pour(answer.into_body(), feed.downgrade()));
        }
        whole(202, "text/plain", Vec::new())
    }

    /// Goes on with a stream that was lost after the event `last`. A script that knows of it sees a `(resume)`.
    fn resume(self: &Arc<Self>, session: &str, last: &str) -> Response<Fed> {
        let asked = json!({"params": {"lastEventId": last}, "method": "(resume)", "id": null});
        match (self.script)("(resume)", &asked["params"]) {
            Some(Reaction::Stream(fed)) => stream(Fed::Events {
                fed,
                id: String::new(),
                gone: Some(self.clone()),
            }),
            Some(_) => panic!("what goes on is a stream"),
            None => self.listen(session, Value::Null, None),
        }
    }

    fn usual(&self, method: &str) -> Option<Reaction> {
        Some(match method {
            "initialize" => Reaction::Result(json!({
                "protocolVersion": self.revision, "capabilities": self.capabilities,
                "serverInfo": {"name": "scripted", "version": "1"},
            })),
            "server/discover" if self.stateless() => Reaction::Result(json!({
                "supportedVersions": [self.revision], "capabilities": self.capabilities, "ttlMs": 0,
                "cacheScope": "private",
            })),
            "tools/list" => self.page("tools"),
            "prompts/list" => self.page("prompts"),
            "resources/list" => self.page("resources"),
            "resources/templates/list" => self.page("resourceTemplates"),
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
                if !self.stateless() =>
            {
                Reaction::Result(json!({}))
            }
            _ => return None,
        })
    }

    fn page(&self, member: &str) -> Reaction {
        let mut page = json!({});
        page[member] = json!([]);
        if self.stateless() {
            page["ttlMs"] = json!(60_000);
            page["cacheScope"] = json!("public");
        }
        Reaction::Result(page)
    }

    /// Opens a stream for unsolicited traffic; a listen's begins with its acknowledgement.
    fn listen(
        self: &Arc<Self>,
        session: &str,
        subscription: Value,
        filter: Option<&Value>,
    ) -> Response<Fed> {
        let (feed, fed) = mpsc::channel(16);
        if let Some(filter) = filter {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": subscription});
            let params = json!({"notifications": filter, "_meta": meta});
            let method = "notifications/subscriptions/acknowledged";
            let ack = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
            feed.try_send(ack).unwrap();
        }
        self.listeners.add(session, subscription, feed);
        stream(Fed::Events {
            fed,
            id: String::new(),
            gone: None,
        })
    }
}

/// Hands each message of an answer on as text, as long as there is somebody to hand it to.
async fn pour(mut body: Fed, feed: mpsc::WeakSender<String>) {
    let send = async |message: String| match feed.upgrade() {
        Some(feed) => feed.send(message).await.is_ok(),
        None => false,
    };
    match &mut body {
        Fed::Whole(body) => {
            let text = body.take().unwrap().to_vec();
            send(String::from_utf8(text).unwrap()).await;
        }
        Fed::Events { fed, id, gone } => {
            *gone = None;
            while let Some(message) = fed.recv().await {
                if !send(message.replace("$id", id)).await {
                    return;
                }
            }
        }
        Fed::Opened { .. } => unreachable!("only GET opens a stream"),
    }
}

/// Hears that an event stream of HTTP+SSE was closed.
struct WireOf {
    state: Arc<State>,
    session: String,
}

impl Gone for WireOf {
    fn gone(&self) {
        self.state.gone();
        self.state.listeners.remove(&self.session);
    }
}

impl Gone for State {
    fn gone(&self) {
        self.gone.send_modify(|gone| *gone += 1);
    }
}
