//! What a backend says of tasks, as its caller sees it.

use std::sync::Arc;

use isthmus_exchange::{BackendName, Caller, CreatedTask, Request, Subject};
use isthmus_protocol::object::{self, ObjectEdit, member};
use isthmus_protocol::{Method, RawJson, tasks};
use isthmus_seal::SealKeys;

use super::ids;
use crate::live_route::LiveRoute;
use crate::questions::Asking;

/// Gives the tasks of one answer the ids that its caller knows.
pub(crate) struct TaskNames {
    route: Arc<LiveRoute>,
    keys: Arc<SealKeys>,
    caller: Arc<Caller>,
    backend: BackendName,
    method: Method,
    /// The id the caller used.
    asked: Option<String>,
}

impl TaskNames {
    /// For what `backend` answers to `request`, in the names its caller used.
    pub(crate) fn new(
        route: &Arc<LiveRoute>,
        keys: &Arc<SealKeys>,
        request: &Request,
        backend: &BackendName,
    ) -> Self {
        let asked = match &request.subject {
            Subject::Task(id) => Some(id.clone()),
            _ => None,
        };
        Self {
            route: route.clone(),
            keys: keys.clone(),
            caller: request.caller.clone(),
            backend: backend.clone(),
            method: request.method.clone(),
            asked,
        }
    }

    /// A task that has just been made.
    pub(crate) fn created(&self, created: &CreatedTask) -> CreatedTask {
        let task = self.named(&created.task);
        CreatedTask { task }
    }

    /// A complete result.
    pub(crate) fn result(&self, result: RawJson, asking: Asking<'_>) -> RawJson {
        match (&self.method, &self.asked) {
            (Method::TasksGet | Method::TasksCancel, Some(asked)) => {
                let result = match tasks::task_id(&result) {
                    Some(_) => tasks::with_task_id(&result, asked),
                    None => result,
                };
                match member(&result, "inputRequests") {
                    Some(questions) => {
                        let questions = asking.requests(&questions);
                        ObjectEdit::new(&result)
                            .set("inputRequests", questions)
                            .finish()
                    }
                    None => result,
                }
            }
            (Method::TasksResult, Some(asked)) => tasks::with_related_task(&result, asked),
            (Method::TasksList, _) => self.list(&result),
            _ => result,
        }
    }

    /// The parameters of a question.
    pub(crate) fn question(&self, params: RawJson) -> RawJson {
        match (&self.method, &self.asked) {
            (Method::TasksResult, Some(asked)) => tasks::with_related_task(&params, asked),
            _ => params,
        }
    }

    fn list(&self, result: &RawJson) -> RawJson {
        let listed = member(result, "tasks").and_then(|tasks| object::elements(&tasks));
        let named: Vec<RawJson> = listed
            .unwrap_or_default()
            .iter()
            .map(|task| self.named(task))
            .collect();
        ObjectEdit::new(result)
            .set("tasks", object::assemble_array(&named))
            .finish()
    }

    fn named(&self, task: &RawJson) -> RawJson {
        let Some(native) = tasks::task_id(task) else {
            return task.clone();
        };
        self.route.forget_with_scope(&self.caller);
        let (scope, principal) = (&self.caller.scope, self.caller.principal.id());
        let make = || ids::seal(&self.keys, principal, &self.backend, &native);
        let known = &self.route.tasks;
        tasks::with_task_id(task, &known.text(scope, &self.backend, &native, make))
    }
}
