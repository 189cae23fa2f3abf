//! What a backend says of tasks, as its caller sees it.

use std::sync::Arc;

use isthmus_exchange::{BackendName, Caller, CreatedTask, Decision, Request, Subject, Target};
use isthmus_protocol::object::{self, ObjectEdit, member};
use isthmus_protocol::{Method, RawJson, tasks};
use isthmus_seal::SealKeys;

use super::ids::{self, MadeBy, TaskId};
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
    /// The tool that is called.
    made_by: Option<MadeBy>,
}

impl TaskNames {
    /// For what the backend of `target` answers to `request`, in the names its caller used.
    pub(crate) fn new(
        route: &Arc<LiveRoute>,
        keys: &Arc<SealKeys>,
        request: &Request,
        target: &Target,
    ) -> Self {
        let asked = match &request.subject {
            Subject::Task(id) => Some(id.clone()),
            _ => None,
        };
        let made_by = match (&request.method, &request.subject) {
            (Method::ToolsCall, Subject::Name(exposed)) => Some(MadeBy {
                native: target.native.clone(),
                exposed: exposed.clone(),
            }),
            _ => None,
        };
        Self {
            route: route.clone(),
            keys: keys.clone(),
            caller: request.caller.clone(),
            backend: target.backend.clone(),
            method: request.method.clone(),
            asked,
            made_by,
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
            .filter(|task| self.may_be_listed(task))
            .map(|task| self.named(task))
            .collect();
        ObjectEdit::new(result)
            .set("tasks", object::assemble_array(&named))
            .finish()
    }

    /// Whether the caller may still use the tool whose call a task is. Where that depends on rules, a task that nobody knows
    /// the tool of is not listed.
    fn may_be_listed(&self, task: &RawJson) -> bool {
        let state = self.route.state();
        if state.same_for_everyone() {
            return true;
        }
        let scope = self.caller.scope.id();
        let known = tasks::task_id(task)
            .and_then(|native| self.route.tasks.known(scope, &self.backend, &native));
        let made_by = known.and_then(|known| known.made_by);
        let decision = state.task_decision(&self.caller, &self.backend, made_by.as_ref());
        decision == Decision::Allow
    }

    fn named(&self, task: &RawJson) -> RawJson {
        let Some(native) = tasks::task_id(task) else {
            return task.clone();
        };
        self.route.forget_with_scope(&self.caller);
        let (scope, principal) = (&self.caller.scope, self.caller.principal.id());
        let id = TaskId {
            backend: self.backend.clone(),
            native,
            made_by: self.made_by.clone(),
        };
        let make = || ids::seal(&self.keys, principal, &id);
        tasks::with_task_id(task, &self.route.tasks.text(scope, &id, make))
    }
}
