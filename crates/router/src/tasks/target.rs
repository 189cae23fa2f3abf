//! Where a request about a task goes.

use isthmus_exchange::{Decision, Error, ErrorKind, Request, Subject, Target};
use isthmus_protocol::{Era, Method};
use isthmus_seal::SealKeys;

use super::ids::{self, TaskId};
use crate::gate;
use crate::live_route::LiveRoute;

/// The backend of the task that a request is about, and how the task is called there; `None` if the request is about none.
///
/// # Errors
///
/// Invalid parameters for a task that is not this caller's on this route, or is a call of what the caller may not use any
/// more; `InsufficientScope` if that takes another credential; `MethodNotFound` where no task can be.
pub(crate) async fn target(
    route: &LiveRoute,
    keys: &SealKeys,
    request: &Request,
) -> Result<Option<Target>, Error> {
    let about_one = match request.method {
        Method::TasksGet | Method::TasksResult | Method::TasksUpdate | Method::TasksCancel => true,
        Method::TasksList => false,
        _ => return Ok(None),
    };
    let state = route.state();
    if !about_one {
        let offers_lists = state.catalog.tasks().core.is_some_and(|core| core.list);
        return match &state.members[..] {
            [only] if offers_lists => Ok(Some(Target {
                backend: only.name().clone(),
                native: String::new(),
                item: None,
            })),
            _ => Err(unknown_method(&request.method)),
        };
    }
    let found = match &request.subject {
        Subject::Task(id) => ids::unseal(keys, request.caller.principal.id(), id),
        _ => None,
    };
    match found.filter(|task| state.member(&task.backend).is_some()) {
        Some(task) => {
            admit(route, request, &task).await?;
            Ok(Some(Target {
                backend: task.backend,
                native: task.native,
                item: None,
            }))
        }
        None if offers(route, request) => Err(no_such_task()),
        None => Err(unknown_method(&request.method)),
    }
}

/// Lets a request through whose caller may still use the tool whose call the task is.
async fn admit(route: &LiveRoute, request: &Request, task: &TaskId) -> Result<(), Error> {
    let state = route.state();
    if state.same_for_everyone() {
        return Ok(());
    }
    if state.catalog.cold().any(|cold| *cold == task.backend) {
        // We were restarted meanwhile: what rules may look at is not known yet.
        route.warmed_up(state.settings.cold_start).await;
    }
    let made_by = task.made_by.as_ref();
    let decision = route
        .state()
        .task_decision(&request.caller, &task.backend, made_by);
    match decision {
        Decision::Allow => Ok(()),
        Decision::Hide => Err(no_such_task()),
        Decision::StepUp(scopes) => {
            let tool = made_by.map_or("", |made_by| &made_by.exposed);
            Err(gate::insufficient(tool, scopes))
        }
    }
}

fn no_such_task() -> Error {
    Error::invalid_params("no such task")
}

/// Whether a caller of this era may know such a method here.
fn offers(route: &LiveRoute, request: &Request) -> bool {
    let offer = route.state().catalog.tasks();
    match request.caller.revision.era() {
        Era::Stateless => offer.extension,
        Era::Stateful => offer.core.is_some(),
    }
}

fn unknown_method(method: &Method) -> Error {
    let text = format!("the method `{method}` is not served here");
    Error::new(ErrorKind::MethodNotFound, text)
}
