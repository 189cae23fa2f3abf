//! From one shape of a task to the other.

use super::related::without_related_task;
use crate::object::{self, ObjectEdit, member, string_member};
use crate::result::milliseconds;
use crate::{JsonRpcError, RawJson};

/// What a task of the extension has inside, beyond what 2025-11-25 says of one.
#[derive(Debug, Clone)]
pub enum Detail {
    /// The result of the call: the task is completed.
    Result(RawJson),
    /// The error the call failed with.
    Error(JsonRpcError),
    /// What the server asks, by key: the task wants input.
    Questions(Vec<(String, RawJson)>),
}

/// A task of 2025-11-25 in the words of the extension. `ttlMs` is null where the other has no `ttl`.
#[must_use]
pub fn from_core(task: &RawJson) -> RawJson {
    let ttl = member(task, "ttl").or_else(|| member(task, "ttlMs"));
    let ttl = ttl
        .and_then(|ttl| whole(&ttl))
        .unwrap_or_else(RawJson::null);
    let poll = member(task, "pollInterval").or_else(|| member(task, "pollIntervalMs"));
    let poll = poll
        .and_then(|poll| whole(&poll))
        .filter(|poll| !poll.is_null());
    let edit = ObjectEdit::new(task)
        .remove("ttl")
        .remove("pollInterval")
        .set("ttlMs", ttl);
    let task = match poll {
        Some(poll) => edit.set("pollIntervalMs", poll),
        None => edit.remove("pollIntervalMs"),
    };
    without_related_task(&task.finish())
}

/// A task of the extension in the words of 2025-11-25, which has neither result nor questions inside.
#[must_use]
pub fn to_core(task: &RawJson) -> RawJson {
    let mut edit = ObjectEdit::new(task);
    for gone in [
        "ttlMs",
        "pollIntervalMs",
        "result",
        "error",
        "inputRequests",
    ] {
        edit = edit.remove(gone);
    }
    edit = edit.set("ttl", member(task, "ttlMs").unwrap_or_else(RawJson::null));
    if let Some(poll) = member(task, "pollIntervalMs") {
        edit = edit.set("pollInterval", poll);
    }
    edit.finish()
}

/// The task inside a `CreateTaskResult` of 2025-11-25; `None` if the result is none.
#[must_use]
pub fn created_from_core(result: &RawJson) -> Option<RawJson> {
    let task = member(result, "task")?;
    task_id(&task)?;
    let task = from_core(&task);
    Some(match member(result, "_meta") {
        Some(meta) => without_related_task(&ObjectEdit::new(&task).set("_meta", meta).finish()),
        None => task,
    })
}

/// A `CreateTaskResult` of 2025-11-25.
#[must_use]
pub fn created_to_core(task: &RawJson) -> RawJson {
    let meta = member(task, "_meta").map(|meta| ("_meta", meta));
    let task = ObjectEdit::new(&to_core(task)).remove("_meta").finish();
    object::assemble([("task", task)].into_iter().chain(meta))
}

/// The result of `tasks/list` with each task in the words of the extension.
#[must_use]
pub fn list_from_core(result: &RawJson) -> RawJson {
    each_task(result, from_core)
}

/// The result of `tasks/list` with each task in the words of 2025-11-25.
#[must_use]
pub fn list_to_core(result: &RawJson) -> RawJson {
    each_task(result, to_core)
}

/// The id of a task.
#[must_use]
pub fn task_id(task: &RawJson) -> Option<String> {
    string_member(task, "taskId")
}

/// A task, or parameters about one, with another id.
#[must_use]
pub fn with_task_id(task: &RawJson, id: &str) -> RawJson {
    ObjectEdit::new(task)
        .set("taskId", RawJson::string(id))
        .finish()
}

/// A task with what it has come to, and the status that says so.
#[must_use]
pub fn detailed(task: &RawJson, detail: Detail) -> RawJson {
    let (status, key, value) = match detail {
        Detail::Result(result) => {
            // The result of the call as 2026-07-28 has it; the official client reads no other.
            let result = ObjectEdit::new(&without_related_task(&result))
                .set("resultType", RawJson::string("complete"))
                .finish();
            ("completed", "result", result)
        }
        Detail::Error(error) => ("failed", "error", RawJson::from_serialize(&error)),
        Detail::Questions(questions) => {
            let questions = questions
                .iter()
                .map(|(key, question)| (key.as_str(), question.clone()));
            (
                "input_required",
                "inputRequests",
                object::assemble(questions),
            )
        }
    };
    ObjectEdit::new(task)
        .set("status", RawJson::string(status))
        .set(key, value)
        .finish()
}

fn each_task(result: &RawJson, change: impl Fn(&RawJson) -> RawJson) -> RawJson {
    let Some(tasks) = member(result, "tasks").and_then(|tasks| object::elements(&tasks)) else {
        return result.clone();
    };
    let tasks: Vec<RawJson> = tasks.iter().map(change).collect();
    ObjectEdit::new(result)
        .set("tasks", object::assemble_array(&tasks))
        .finish()
}

/// A duration as the extension wants it: null, or a whole number of milliseconds; `None` if it is neither.
fn whole(value: &RawJson) -> Option<RawJson> {
    if value.is_null() {
        return Some(RawJson::null());
    }
    let whole = milliseconds(value.as_bytes()).or_else(|| {
        let number: f64 = value.read().ok()?;
        milliseconds(number.ceil().to_string().as_bytes())
    })?;
    Some(RawJson::from_serialize(&whole))
}
