//! Where a request about a task goes.

use isthmus_exchange::{Error, ErrorKind, Request, Subject, Target};
use isthmus_protocol::{Era, Method};
use isthmus_seal::SealKeys;

use super::ids;
use crate::live_route::LiveRoute;

/// The backend of the task that a request is about, and how the task is called there; `None` if the request is about none.
///
/// # Errors
///
/// Invalid parameters for a task that is not this caller's on this route; `MethodNotFound` where no task can be.
pub(crate) fn target(
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
    match found.filter(|(backend, _)| state.member(backend).is_some()) {
        Some((backend, native)) => Ok(Some(Target {
            backend,
            native,
            item: None,
        })),
        None if offers(route, request) => Err(Error::invalid_params("no such task")),
        None => Err(unknown_method(&request.method)),
    }
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
