//! The script of a backend that asks its client, in the means of its era: by requests in the middle of a call, or by
//! results that want answers first.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::Reaction;
use super::backend::Running;
use super::offering::{prompts, resources, text, tools};

/// A question in the shape of 2026-07-28.
#[derive(Debug, Clone)]
pub struct Question {
    pub key: &'static str,
    pub method: &'static str,
    pub params: Value,
}

/// What is asked one after the other; the questions of one round at the same time.
pub type Rounds = Vec<Vec<Question>>;

/// Asks for a text.
pub fn form(key: &'static str) -> Question {
    let schema =
        json!({"type": "object", "properties": {key: {"type": "string"}}, "required": [key]});
    let message = format!("Your {key}?");
    question(
        key,
        "elicitation/create",
        json!({"mode": "form", "message": message, "requestedSchema": schema}),
    )
}

/// Sends the user to a URL.
pub fn url(key: &'static str) -> Question {
    let url = format!("https://pay.example/{key}");
    question(
        key,
        "elicitation/create",
        json!({"mode": "url", "message": format!("Go to {key}."), "url": url}),
    )
}

/// Wants the client's model to say something.
pub fn sampling(key: &'static str) -> Question {
    let content = json!({"type": "text", "text": format!("Say {key}")});
    let params = json!({"messages": [{"role": "user", "content": content}], "maxTokens": 10});
    question(key, "sampling/createMessage", params)
}

/// The same with a tool that the model may use.
pub fn sampling_with_tools(key: &'static str) -> Question {
    let mut asked = sampling(key);
    asked.params["tools"] = json!([{"name": "look", "inputSchema": {"type": "object"}}]);
    asked
}

/// Asks for the client's roots.
pub fn roots(key: &'static str) -> Question {
    question(key, "roots/list", Value::Null)
}

fn question(key: &'static str, method: &'static str, params: Value) -> Question {
    Question {
        key,
        method,
        params,
    }
}

/// A good answer to a question.
pub fn answer_to(question: &Value) -> Value {
    let params = &question["params"];
    match question["method"].as_str().unwrap() {
        "roots/list" => json!({"roots": [{"uri": "file:///work", "name": "work"}]}),
        "sampling/createMessage" => {
            let said = params["messages"][0]["content"]["text"].as_str().unwrap();
            json!({"role": "assistant", "model": "m", "stopReason": "endTurn", "content": {"type": "text", "text": said}})
        }
        "elicitation/create" if params["mode"] == "url" => json!({"action": "accept"}),
        "elicitation/create" => {
            let asked = params["requestedSchema"]["properties"].as_object().unwrap();
            let content: Map<_, _> = asked
                .keys()
                .map(|key| (key.clone(), json!(format!("my {key}"))))
                .collect();
            json!({"action": "accept", "content": content})
        }
        other => panic!("nobody asks `{other}`"),
    }
}

/// Good answers to all questions of an `input_required` result.
pub fn answers_to(asked: &Value) -> Value {
    let requests = asked["inputRequests"].as_object();
    let requests = requests.unwrap_or_else(|| panic!("nothing is asked: {asked}"));
    let answers = requests
        .iter()
        .map(|(key, request)| (key.clone(), answer_to(request)));
    Value::Object(answers.collect())
}

/// What a backend was told when all of `rounds` were answered by [`answer_to`].
pub fn all_told(rounds: &Rounds) -> Value {
    let told = |question: &Question| {
        let request = json!({"method": question.method, "params": question.params});
        (question.key.to_owned(), answer_to(&request))
    };
    rounds
        .iter()
        .map(|round| Value::Object(round.iter().map(told).collect()))
        .collect()
}

/// What the backend says that it was told: an answer by key for each round.
pub fn told(answer: &Value) -> Value {
    serde_json::from_str(text(answer)).unwrap_or_else(|_| panic!("{answer}"))
}

/// What peers of these two revisions can ask and be asked: two rounds, the first with several questions.
pub fn all_between(one: &str, other: &str) -> Rounds {
    match one.min(other) {
        "2024-11-05" | "2025-03-26" => {
            vec![vec![sampling("one"), roots("two")], vec![sampling("three")]]
        }
        "2025-06-18" => vec![
            vec![form("one"), sampling("two"), roots("three")],
            vec![form("four")],
        ],
        _ => vec![
            vec![form("one"), sampling("two"), roots("three")],
            vec![url("four"), sampling_with_tools("five")],
        ],
    }
}

/// How a stateful backend asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// On the stream of the request.
    There,
    /// On the stream of the session.
    Beside,
}

/// A backend of this revision that asks whoever uses its tool `ask`, its prompt `ask` or its resource `ask://me`, and
/// then answers with what it was told. `rounds` chooses what is asked by the parameters of the request. Its tool `plain`
/// asks nothing.
pub fn script(
    revision: &'static str,
    asks: Asks,
    rounds: impl Fn(&Value) -> Rounds + Send + Sync + 'static,
) -> impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync + 'static {
    move |method, params| {
        if let Some(listed) = lists(revision, method) {
            return Some(listed);
        }
        if params["name"] == "plain" {
            return Some(Reaction::Result(finished(method, &json!("plain"))));
        }
        if !["tools/call", "prompts/get", "resources/read"].contains(&method) {
            return None;
        }
        let rounds = rounds(params);
        if revision == "2026-07-28" {
            return Some(Reaction::Result(next_round(method, params, &rounds)));
        }
        Some(Reaction::run(async move |running| {
            inquire(&running, revision, asks, &rounds).await
        }))
    }
}

/// Asks all rounds, and answers with what was told.
pub async fn inquire(
    running: &Running,
    revision: &str,
    asks: Asks,
    rounds: &[Vec<Question>],
) -> Value {
    let mut told = Vec::new();
    for round in rounds {
        let mut asked = Vec::new();
        for question in round {
            let params = stateful_params(revision, question);
            asked.push(match asks {
                Asks::There => running.begin(question.method, params).await,
                Asks::Beside => running.begin_beside(question.method, params).await,
            });
        }
        let answers = join_all(asked.iter().map(|one| one.answer())).await;
        let by_key = round.iter().zip(answers).map(|(question, mut answer)| {
            let result = answer.get_mut("result").map(Value::take);
            (question.key.to_owned(), result.unwrap_or(answer))
        });
        told.push(Value::Object(by_key.collect()));
    }
    finished(&running.method, &json!(told))
}

/// The result of a stateless backend: the next round, or the end. Its state is what it was told so far.
fn next_round(method: &str, params: &Value, rounds: &Rounds) -> Value {
    let mut told: Vec<Value> = match params["requestState"].as_str() {
        None => Vec::new(),
        Some(state) => serde_json::from_str(state.strip_prefix("native-state:").unwrap()).unwrap(),
    };
    if params.get("inputResponses").is_some() || params.get("requestState").is_some() {
        told.push(params["inputResponses"].clone());
    }
    let Some(round) = rounds.get(told.len()) else {
        return finished(method, &json!(told));
    };
    let requests: Map<_, _> = round
        .iter()
        .map(|question| {
            let mut request = json!({"method": question.method});
            if !question.params.is_null() {
                request["params"] = question.params.clone();
            }
            (question.key.to_owned(), request)
        })
        .collect();
    let state = format!("native-state:{}", json!(told));
    json!({"resultType": "input_required", "inputRequests": requests, "requestState": state})
}

/// The parameters as a backend of this revision writes them.
fn stateful_params(revision: &str, question: &Question) -> Value {
    let mut params = question.params.clone();
    if params["mode"] == "url" {
        params["elicitationId"] = json!(native_elicitation(question.key));
    } else if revision < "2025-11-25"
        && let Some(params) = params.as_object_mut()
    {
        params.remove("mode");
    }
    params
}

/// By which id a stateful backend calls the elicitation that sends a user to a URL.
pub fn native_elicitation(key: &str) -> String {
    format!("native-elicitation-{key}")
}

/// The result of a finished request: this text.
pub fn finished(method: &str, told: &Value) -> Value {
    let text = told.to_string();
    match method {
        "tools/call" => json!({"content": [{"type": "text", "text": text}]}),
        "prompts/get" => {
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]})
        }
        _ => json!({
            "contents": [{"uri": "ask://me", "text": text}], "ttlMs": 0, "cacheScope": "private",
        }),
    }
}

/// What every such backend lists.
pub fn lists(revision: &str, method: &str) -> Option<Reaction> {
    let mut page = match method {
        "tools/list" => json!({"tools": tools(&["ask", "other", "plain"])}),
        "prompts/list" => json!({"prompts": prompts(&["ask"])}),
        "resources/list" => json!({"resources": resources(&["ask://me"])}),
        _ => return None,
    };
    if revision == "2026-07-28" {
        page["ttlMs"] = json!(60_000);
        page["cacheScope"] = json!("private");
    }
    Some(Reaction::Result(page))
}

/// The three requests in the middle of which one may be asked, at a backend called `b`.
pub fn requests() -> [(&'static str, Value); 3] {
    [
        ("tools/call", json!({"name": "b__ask", "arguments": {}})),
        ("prompts/get", json!({"name": "b__ask"})),
        ("resources/read", json!({"uri": "ask://me"})),
    ]
}
