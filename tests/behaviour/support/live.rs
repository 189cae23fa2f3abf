//! Clients that can be asked while their request runs: over HTTP, HTTP+SSE and the pipe of `isthmus stdio`.

use std::collections::HashMap;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::client::{BOTH, JSON};
use super::gateway::Gateway;
use super::http::send;
use super::pipe::Pipe;
use super::sse::SseClient;
use super::{Stateful, patience};

/// A client with a session.
pub struct Live {
    wire: Wire,
    pub revision: &'static str,
    ids: u32,
}

enum Wire {
    Http(Box<Http>),
    Sse(Box<SseClient>),
    Pipe(Box<Pipe>),
}

/// A session over Streamable HTTP, all of whose streams are read all the time.
struct Http {
    client: Stateful,
    heard: mpsc::Receiver<Heard>,
    hears: mpsc::Sender<Heard>,
    early: Vec<Heard>,
    reading: HashMap<String, AbortHandle>,
}

/// A message, and on what it came: the stream of a request by the request's id, or `get`. Null at the stream's end.
#[derive(Debug, Clone)]
struct Heard {
    on: String,
    message: Value,
}

/// Everything that can be asked, as a client of this revision declares it.
pub fn everything(revision: &str) -> Value {
    match revision {
        "2024-11-05" | "2025-03-26" => json!({"sampling": {}, "roots": {"listChanged": true}}),
        "2025-06-18" => {
            json!({"sampling": {}, "roots": {"listChanged": true}, "elicitation": {}})
        }
        _ => json!({
            "sampling": {"tools": {}}, "roots": {"listChanged": true}, "elicitation": {"form": {}, "url": {}},
        }),
    }
}

impl Live {
    /// Opens a session over Streamable HTTP.
    pub async fn http(gateway: &Gateway, revision: &'static str, capabilities: Value) -> Self {
        let client = Stateful::open_with(&gateway.url(), revision, capabilities).await;
        Self::resumed(gateway, client)
    }

    /// Goes on with a session that another gateway may have opened.
    pub fn resumed(gateway: &Gateway, session: Stateful) -> Self {
        let revision = session.revision;
        let client = Stateful {
            url: gateway.url(),
            ..session
        };
        let (hears, heard) = mpsc::channel(1024);
        let (early, reading) = (Vec::new(), HashMap::new());
        let http = Http {
            client,
            heard,
            hears,
            early,
            reading,
        };
        Self::over(Wire::Http(Box::new(http)), revision)
    }

    /// Opens a session over HTTP+SSE.
    pub async fn sse(gateway: &Gateway, capabilities: Value) -> Self {
        let mut client = SseClient::open(&gateway.at("/mcp/sse")).await;
        client.initialize_with("2024-11-05", capabilities).await;
        Self::over(Wire::Sse(Box::new(client)), "2024-11-05")
    }

    /// Starts a gateway of its own for `fleet`, and opens a session over its pipe.
    pub async fn pipe(fleet: &str, revision: &'static str, capabilities: Value) -> Self {
        Self::pipe_in(tempfile::tempdir().unwrap(), fleet, revision, capabilities).await
    }

    /// The same in a folder of the test's own.
    pub async fn pipe_in(
        folder: TempDir,
        fleet: &str,
        revision: &'static str,
        capabilities: Value,
    ) -> Self {
        let mut pipe = Pipe::start_in(folder, fleet, &[]);
        pipe.initialize_with(revision, capabilities).await;
        Self::over(Wire::Pipe(Box::new(pipe)), revision)
    }

    fn over(wire: Wire, revision: &'static str) -> Self {
        Self {
            wire,
            revision,
            ids: 0,
        }
    }

    /// What it is, for messages.
    pub fn shown(&self) -> String {
        let wire = match self.wire {
            Wire::Http(_) => "HTTP",
            Wire::Sse(_) => "HTTP+SSE",
            Wire::Pipe(_) => "a pipe",
        };
        format!("{} over {wire}", self.revision)
    }

    /// Sends a request without waiting for anything; returns its id.
    pub async fn begin(&mut self, method: &str, params: Value) -> String {
        self.ids += 1;
        let id = format!("call-{}", self.ids);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        match &mut self.wire {
            Wire::Http(http) => http.begin(&id, &request),
            Wire::Sse(client) => client.say(&request).await,
            Wire::Pipe(pipe) => pipe.say(&request).await,
        }
        id
    }

    /// Sends a response or a notification, or a batch of them.
    pub async fn say(&mut self, message: &Value) {
        match &mut self.wire {
            Wire::Http(http) => {
                let answer = http.client.post(message).await;
                assert_eq!(answer.status, 202, "{message}");
            }
            Wire::Sse(client) => client.say(message).await,
            Wire::Pipe(pipe) => pipe.say(message).await,
        }
    }

    /// Asks, and waits for the response; what else comes is kept.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        self.response(&id).await
    }

    /// Waits for the response to this request.
    pub async fn response(&mut self, id: &str) -> Value {
        self.hear(|message| message["id"] == id && message["method"].is_null())
            .await
    }

    /// Waits for the next question in the request `id`, and checks that it came on that request's own stream.
    pub async fn question(&mut self, id: &str) -> Value {
        match &mut self.wire {
            Wire::Http(http) => http.hear(|heard| heard.on == id && is_question(&heard.message)),
            Wire::Sse(client) => return client.hear_where(is_question).await,
            Wire::Pipe(pipe) => return pipe.hear_where(is_question).await,
        }
        .await
    }

    /// Waits for a question, or for the response to this request.
    pub async fn question_or_response(&mut self, id: &str) -> Value {
        self.hear(|message| {
            is_question(message) || (message["id"] == id && message["method"].is_null())
        })
        .await
    }

    /// Waits for the first message that fits; others are kept for whoever asks for them.
    pub async fn hear(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        match &mut self.wire {
            Wire::Http(http) => http.hear(|heard| fits(&heard.message)).await,
            Wire::Sse(client) => client.hear_where(fits).await,
            Wire::Pipe(pipe) => pipe.hear_where(fits).await,
        }
    }

    /// Waits for a notification of this kind.
    pub async fn notified(&mut self, method: &str) -> Value {
        self.hear(|message| message["method"] == method && message["id"].is_null())
            .await
    }

    /// Answers a question with a result.
    pub async fn answer(&mut self, question: &Value, result: &Value) {
        let id = &question["id"];
        self.say(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
            .await;
    }

    /// Answers a question with an error.
    pub async fn refuse(&mut self, question: &Value, code: i64, message: &str) {
        let id = &question["id"];
        let error = json!({"code": code, "message": message});
        self.say(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
            .await;
    }

    /// Asks, answers every question with what `answer` says, and returns the questions and the response.
    pub async fn converse(
        &mut self,
        method: &str,
        params: Value,
        answer: impl Fn(&Value) -> Value,
    ) -> (Vec<Value>, Value) {
        let id = self.begin(method, params).await;
        let mut questions = Vec::new();
        loop {
            let message = self.question_or_response(&id).await;
            if !is_question(&message) {
                return (questions, message);
            }
            self.answer(&message, &answer(&message)).await;
            questions.push(message);
        }
    }

    /// Cancels a request.
    pub async fn cancel(&mut self, id: &str) {
        let method = "notifications/cancelled";
        self.say(&json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": id}}))
            .await;
    }

    /// Opens the session's own stream (GET); a pipe and HTTP+SSE have it already.
    pub async fn listen(&mut self) {
        if let Wire::Http(http) = &mut self.wire {
            let answer = http.client.listen().await;
            assert_eq!(answer.status, 200);
            http.read("get", async move { answer });
        }
    }

    /// Breaks the stream of a request, as a network does.
    pub fn lose(&mut self, id: &str) {
        let Wire::Http(http) = &mut self.wire else {
            panic!("only there a request has a stream of its own");
        };
        http.reading.remove(id).unwrap().abort();
    }

    /// Messages that came while others were waited for.
    pub fn unasked(&self) -> Vec<Value> {
        match &self.wire {
            Wire::Http(http) => {
                let messages = http.early.iter().map(|heard| heard.message.clone());
                messages.filter(|message| !message.is_null()).collect()
            }
            Wire::Sse(client) => client.unasked().to_vec(),
            Wire::Pipe(pipe) => pipe.unasked().to_vec(),
        }
    }

    /// Ends the session as its wire does.
    pub async fn end(self) {
        match self.wire {
            Wire::Http(http) => assert!(http.client.delete().await.status.is_success()),
            Wire::Sse(client) => drop(client),
            Wire::Pipe(pipe) => assert!(pipe.close().await.0.success()),
        }
    }
}

impl Http {
    fn begin(&mut self, id: &str, request: &Value) {
        let (url, body) = (self.client.url.clone(), request.to_string());
        let (session, revision) = (self.client.session.clone(), self.client.revision);
        self.read(id, async move {
            let own = [
                ("mcp-session-id", session.as_str()),
                ("mcp-protocol-version", revision),
            ];
            send("POST", &url, &[JSON, BOTH, own[0], own[1]], body).await
        });
    }

    /// Reads the answer to its end, or until the stream is lost.
    fn read(&mut self, on: &str, sent: impl Future<Output = super::http::Answer> + Send + 'static) {
        let (hears, name) = (self.hears.clone(), on.to_owned());
        let hear = move |message| Heard {
            on: name.clone(),
            message,
        };
        let reading = tokio::spawn(async move {
            let mut answer = sent.await;
            if answer
                .header("content-type")
                .starts_with("text/event-stream")
            {
                while let Some(message) = answer.event().await {
                    hears.send(hear(message)).await.unwrap();
                }
            } else {
                hears.send(hear(answer.json().await)).await.unwrap();
            }
            let _ = hears.send(hear(Value::Null)).await;
        });
        self.reading.insert(on.to_owned(), reading.abort_handle());
    }

    async fn hear(&mut self, fits: impl Fn(&Heard) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&fits) {
            return self.early.remove(at).message;
        }
        loop {
            let heard = tokio::time::timeout(patience(), self.heard.recv()).await;
            let heard = heard.unwrap_or_else(|_| panic!("nothing came but {:#?}", self.early));
            let heard = heard.unwrap();
            if fits(&heard) {
                return heard.message;
            }
            self.early.push(heard);
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.reading.values().for_each(AbortHandle::abort);
    }
}

/// A request of the server.
pub fn is_question(message: &Value) -> bool {
    message["method"].is_string() && !message["id"].is_null()
}
