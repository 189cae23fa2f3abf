//! A client of 2026-07-28 that is asked by results and comes back with answers, over HTTP and over the pipe.

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Stateless;
use super::gateway::Gateway;
use super::http::Answer;
use super::inquiry::answers_to;
use super::pipe::Pipe;

/// A client that declares what it can be asked.
pub struct Detached {
    wire: Wire,
    capabilities: Value,
}

enum Wire {
    Http(Stateless),
    Pipe(Box<Mutex<(Pipe, u32)>>),
}

impl Detached {
    /// One over HTTP that can be asked everything.
    pub fn http(gateway: &Gateway) -> Self {
        Self::http_at(&gateway.url())
    }

    /// One at this URL that can be asked everything.
    pub fn http_at(url: &str) -> Self {
        Self {
            wire: Wire::Http(Stateless::new(url)),
            capabilities: super::live::everything("2026-07-28"),
        }
    }

    /// One with a gateway of its own for `fleet`, over its pipe.
    pub fn pipe(fleet: &str) -> Self {
        Self {
            wire: Wire::Pipe(Box::new(Mutex::new((Pipe::start(fleet), 0)))),
            capabilities: super::live::everything("2026-07-28"),
        }
    }

    /// The same client with other capabilities.
    pub fn declaring(self, capabilities: Value) -> Self {
        Self {
            capabilities,
            ..self
        }
    }

    /// What it is, for messages.
    pub fn shown(&self) -> &'static str {
        match self.wire {
            Wire::Http(_) => "2026-07-28 over HTTP",
            Wire::Pipe(_) => "2026-07-28 over a pipe",
        }
    }

    /// Sends a request, and waits for the whole response.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        let shown = format!("{method} {params}");
        let answer = tokio::time::timeout(super::patience(), self.wait_for(method, params)).await;
        answer.unwrap_or_else(|_| panic!("no response to {shown}"))
    }

    async fn wait_for(&self, method: &str, params: Value) -> Value {
        match &self.wire {
            Wire::Http(_) => self.post(method, params, json!({})).await.json().await,
            Wire::Pipe(pipe) => {
                let mut pipe = pipe.lock().await;
                pipe.1 += 1;
                let id = format!("round-{}", pipe.1);
                let mut request = Stateless::request(method, params, self.meta(json!({})));
                request["id"] = json!(id);
                pipe.0.say(&request).await;
                pipe.0.response(&id).await
            }
        }
    }

    /// Posts a request with further members of `_meta`; its stream is the test's to read.
    pub async fn post(&self, method: &str, params: Value, meta: Value) -> Answer {
        let Wire::Http(client) = &self.wire else {
            panic!("only there a request has a stream of its own");
        };
        client.post(method, params, self.meta(meta)).await
    }

    /// The result of a request that has to have one.
    pub async fn result(&self, method: &str, params: Value) -> Value {
        result_of(self.ask(method, params).await)
    }

    /// Comes back to `asked` with answers.
    pub async fn retry(
        &self,
        method: &str,
        params: &Value,
        asked: &Value,
        answers: Value,
    ) -> Value {
        self.ask(method, retried(params, asked, answers)).await
    }

    /// Answers every round well until there is no more; returns the results that asked, and the last response.
    pub async fn converse(&self, method: &str, params: &Value) -> (Vec<Value>, Value) {
        let mut response = self.ask(method, params.clone()).await;
        let mut rounds = Vec::new();
        while response["result"]["resultType"] == "input_required" {
            let asked = response["result"].clone();
            response = self.retry(method, params, &asked, answers_to(&asked)).await;
            rounds.push(asked);
            assert!(rounds.len() < 50, "asked for ever");
        }
        (rounds, response)
    }

    fn meta(&self, mut meta: Value) -> Value {
        meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        meta
    }
}

/// The parameters of the request that comes back to `asked` with answers.
pub fn retried(params: &Value, asked: &Value, answers: Value) -> Value {
    let mut params = params.clone();
    params["inputResponses"] = answers;
    if let Some(state) = asked.get("requestState") {
        params["requestState"] = state.clone();
    }
    params
}

/// The result of a response that has to have one.
pub fn result_of(mut response: Value) -> Value {
    assert!(response.get("result").is_some(), "no result: {response}");
    response["result"].take()
}
