//! A scripted backend whose tools run as tasks, of either kind.
//!
//! `work` is done after a few looks, `ask` needs a name and a colour, `long` never ends by itself, `fail` ends with an
//! error and `wrong` with a result that says so; `plain` is no task. All but `work` and `plain` insist on being one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::support::backend::{Program, Running};
use crate::support::{Backend, Reaction};

pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";
const LOOKS: usize = 2;

/// One that is running, and what it knows of its tasks.
pub struct Workshop {
    pub backend: Backend,
    tasks: Arc<Tasks>,
    entry: String,
    pipe: Option<(Program, TempDir)>,
}

#[derive(Default)]
struct Tasks(
    Mutex<BTreeMap<String, Task>>,
    Mutex<Vec<mpsc::Sender<String>>>,
);

#[derive(Default, Clone)]
struct Task {
    tool: String,
    looks: usize,
    answers: BTreeMap<String, Value>,
    cancelled: bool,
}

impl Workshop {
    /// One with the extension.
    pub async fn of_extension() -> Self {
        let tasks = Arc::new(Tasks::default());
        let script = tasks.clone();
        let backend = Backend::start("2026-07-28", move |method, params| {
            script.extension(method, params)
        });
        Self::over_http(backend.await, tasks)
    }

    /// One with the tasks of 2025-11-25.
    pub async fn of_core() -> Self {
        let tasks = Arc::new(Tasks::default());
        let script = tasks.clone();
        let backend = Backend::start("2025-11-25", move |method, params| {
            script.core(method, params)
        });
        Self::over_http(backend.await, tasks)
    }

    fn over_http(backend: Backend, tasks: Arc<Tasks>) -> Self {
        Self {
            entry: backend.entry("b"),
            backend,
            tasks,
            pipe: None,
        }
    }

    /// The same as a program.
    pub async fn behind_a_pipe(self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = self.backend.behind_a_pipe(folder.path(), "b").await;
        Self {
            entry: program.entry(),
            pipe: Some((program, folder)),
            ..self
        }
    }

    pub fn fleet(&self) -> String {
        format!("backends:\n{}", self.entry)
    }

    /// Ends the program without a word.
    pub fn crash(&self) {
        self.pipe.as_ref().expect("it is one").0.crash();
    }

    /// Whether the task was cancelled.
    pub fn is_cancelled(&self, id: &str) -> bool {
        self.tasks.0.lock().unwrap()[id].cancelled
    }

    /// How often a task was looked at.
    pub fn looks(&self, id: &str) -> usize {
        self.tasks.0.lock().unwrap()[id].looks
    }
}

impl Tasks {
    fn extension(self: &Arc<Self>, method: &str, params: &Value) -> Option<Reaction> {
        let meta = &params["_meta"];
        let declared = &meta["io.modelcontextprotocol/clientCapabilities"]["extensions"];
        let declared = declared.get(EXTENSION).is_some();
        let tool = params["name"].as_str().unwrap_or_default();
        Some(match method {
            "server/discover" => Reaction::Result(json!({
                "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {}, "extensions": {EXTENSION: {}}},
            })),
            "tools/list" => tools(false),
            "subscriptions/listen" if params["notifications"]["taskIds"].is_array() => {
                let (feed, fed) = mpsc::channel(16);
                let acknowledged = json!({
                    "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                    "params": {"notifications": params["notifications"],
                        "_meta": {"io.modelcontextprotocol/subscriptionId": "$id"}},
                });
                // The id is a number.
                let acknowledged = acknowledged.to_string().replace("\"$id\"", "$id");
                feed.try_send(acknowledged).unwrap();
                self.1.lock().unwrap().push(feed);
                Reaction::Stream(fed)
            }
            "tools/call" if tool == "plain" || (tool == "work" && !declared) => {
                Reaction::Result(text("done"))
            }
            "tools/call" if declared => {
                let mut task = self.make(tool);
                task["resultType"] = json!("task");
                Reaction::Result(task)
            }
            "tools/call" | "tasks/get" | "tasks/update" | "tasks/cancel" if !declared => {
                let needed = json!({"requiredCapabilities": {"extensions": {EXTENSION: {}}}});
                let error = json!({"code": -32021, "message": "tasks!", "data": needed});
                Reaction::Error(error)
            }
            "tasks/get" => match self.look(params) {
                None => unknown(),
                Some(task) => Reaction::Result(task.in_extension(&params["taskId"])),
            },
            "tasks/update" => {
                let answers = params["inputResponses"].as_object().unwrap().clone();
                match self.change(params, |task| task.answers.extend(answers)) {
                    None => unknown(),
                    Some(_) => Reaction::Result(json!({})),
                }
            }
            "tasks/cancel" => match self.change(params, |task| task.cancelled |= !task.is_done()) {
                None => unknown(),
                Some(_) => Reaction::Result(json!({})),
            },
            _ => return None,
        })
    }

    fn core(self: &Arc<Self>, method: &str, params: &Value) -> Option<Reaction> {
        let tool = params["name"].as_str().unwrap_or_default();
        Some(match method {
            "initialize" => {
                let calls = json!({"tools": {"call": {}}});
                let tasks = json!({"list": {}, "cancel": {}, "requests": calls});
                Reaction::Result(json!({
                    "protocolVersion": "2025-11-25", "serverInfo": {"name": "w", "version": "1"},
                    "capabilities": {"tools": {}, "tasks": tasks},
                }))
            }
            "tools/list" => tools(true),
            "tools/call" if params.get("task").is_some() && tool != "plain" => {
                let mut task = self.make(tool);
                let id = task["taskId"].as_str().unwrap().to_owned();
                task = self.get(&id).unwrap().in_core(&json!(id), "working");
                task["ttl"] = params["task"]["ttl"].clone();
                Reaction::Result(json!({"task": task}))
            }
            "tools/call" if matches!(tool, "plain" | "work") => Reaction::Result(text("done")),
            "tools/call" => Reaction::Error(json!({"code": -32601, "message": "only as a task"})),
            "tasks/get" => match self.look(params) {
                None => unknown(),
                Some(task) => Reaction::Result(task.in_core(&params["taskId"], task.status())),
            },
            "tasks/list" => {
                let tasks = self.0.lock().unwrap();
                let listed = tasks
                    .iter()
                    .map(|(id, task)| task.in_core(&json!(id), task.status()));
                Reaction::Result(json!({"tasks": listed.collect::<Vec<_>>()}))
            }
            "tasks/cancel" => match self.change(params, |_| {}) {
                Some(task) if !task.is_done() => {
                    let task = self.change(params, |task| task.cancelled = true).unwrap();
                    Reaction::Result(task.in_core(&params["taskId"], "cancelled"))
                }
                _ => unknown(),
            },
            "tasks/result" => {
                let (tasks, params) = (self.clone(), params.clone());
                match self.change(&params, |_| {}) {
                    None => unknown(),
                    Some(_) => Reaction::run(move |running| async move {
                        tasks.result(&params, &running).await
                    }),
                }
            }
            _ => return None,
        })
    }

    /// `tasks/result`: asks what has to be asked, then hands out what the task came to.
    async fn result(&self, params: &Value, running: &Running) -> Value {
        let related = json!({RELATED: {"taskId": params["taskId"]}});
        let open = self.change(params, |_| {}).unwrap().open();
        for key in open {
            let mut asked = form(key)["params"].clone();
            asked["_meta"] = related.clone();
            let answer = running.ask("elicitation/create", asked).await;
            let answer = answer["result"].clone();
            self.change(params, |task| task.answers.insert(key.to_owned(), answer));
        }
        let task = self.change(params, |_| {}).unwrap();
        if task.tool == "long" && !task.cancelled {
            std::future::pending::<()>().await;
        }
        match task.came_to() {
            Ok(mut result) => {
                result["_meta"] = related;
                result
            }
            Err(error) => json!({"error": error}),
        }
    }

    fn make(&self, tool: &str) -> Value {
        let mut tasks = self.0.lock().unwrap();
        let id = format!("native-{}", tasks.len() + 1);
        let task = Task {
            tool: tool.to_owned(),
            ..Task::default()
        };
        let made = task.shape(&json!(id), "working");
        tasks.insert(id, task);
        made
    }

    fn get(&self, id: &str) -> Option<Task> {
        self.0.lock().unwrap().get(id).cloned()
    }

    fn look(&self, params: &Value) -> Option<Task> {
        self.change(params, |task| task.looks += 1)
    }

    fn change<T>(&self, params: &Value, change: impl FnOnce(&mut Task) -> T) -> Option<Task> {
        let mut tasks = self.0.lock().unwrap();
        let task = tasks.get_mut(params["taskId"].as_str().unwrap())?;
        change(task);
        Some(task.clone())
    }
}

impl Task {
    /// What is still to be answered.
    fn open(&self) -> Vec<&'static str> {
        let asked: &[&str] = if self.tool == "ask" {
            &["name", "colour"]
        } else {
            &[]
        };
        let open = asked.iter().copied();
        open.filter(|key| !self.answers.contains_key(*key))
            .collect()
    }

    fn is_done(&self) -> bool {
        self.cancelled
            || match self.tool.as_str() {
                "long" => false,
                "ask" => self.open().is_empty(),
                _ => self.looks >= LOOKS,
            }
    }

    /// As 2025-11-25 has it.
    fn status(&self) -> &'static str {
        match (self.cancelled, self.tool.as_str()) {
            (true, _) => "cancelled",
            (_, "ask") if !self.is_done() => "input_required",
            (_, "fail" | "wrong") if self.is_done() => "failed",
            _ if self.is_done() => "completed",
            _ => "working",
        }
    }

    fn came_to(&self) -> Result<Value, Value> {
        match self.tool.as_str() {
            "ask" => Ok(text(&json!(self.answers).to_string())),
            "fail" => Err(json!({"code": -32603, "message": "broken"})),
            "wrong" => {
                let mut result = text("wrong");
                result["isError"] = json!(true);
                Ok(result)
            }
            _ => Ok(text("done")),
        }
    }

    fn shape(&self, id: &Value, status: &str) -> Value {
        let time = "2026-11-20T00:00:00Z";
        json!({
            "taskId": id, "status": status, "createdAt": time, "lastUpdatedAt": time,
            "ttlMs": 60_000, "pollIntervalMs": 50,
        })
    }

    fn in_extension(&self, id: &Value) -> Value {
        let status = match self.status() {
            "failed" if self.came_to().is_ok() => "completed",
            status => status,
        };
        let mut task = self.shape(id, status);
        match status {
            "completed" => task["result"] = self.came_to().unwrap(),
            "failed" => task["error"] = self.came_to().unwrap_err(),
            "input_required" => {
                let open = self.open().into_iter();
                let asked = open.map(|key| (key.to_owned(), form(key)));
                task["inputRequests"] = Value::Object(asked.collect());
            }
            _ => {}
        }
        task
    }

    fn in_core(&self, id: &Value, status: &str) -> Value {
        let mut task = self.shape(id, status);
        let members = task.as_object_mut().unwrap();
        let ttl = members.remove("ttlMs").unwrap();
        let poll = members.remove("pollIntervalMs").unwrap();
        members.insert("ttl".to_owned(), ttl);
        members.insert("pollInterval".to_owned(), poll);
        task
    }
}

fn tools(core: bool) -> Reaction {
    let names = ["work", "ask", "long", "fail", "wrong", "plain"];
    let tools = names.map(|name| {
        let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
        let support = match name {
            "work" => "optional",
            "plain" => "forbidden",
            _ => "required",
        };
        if core {
            tool["execution"] = json!({"taskSupport": support});
        }
        tool
    });
    Reaction::Result(json!({"tools": tools, "ttlMs": 60_000, "cacheScope": "private"}))
}

fn form(key: &str) -> Value {
    let schema = json!({"type": "object", "properties": {key: {"type": "string"}}});
    let message = format!("Your {key}?");
    let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
    json!({"method": "elicitation/create", "params": params})
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn unknown() -> Reaction {
    Reaction::Error(json!({"code": -32602, "message": "no such task"}))
}
