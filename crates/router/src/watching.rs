//! `resources/subscribe` and `resources/unsubscribe`: what a session watches, one resource at a time.

use std::sync::Arc;

use isthmus_exchange::{Caller, Error, ErrorKind, Reply, Request, Subject};
use isthmus_protocol::RawJson;

use crate::calls;
use crate::live_route::LiveRoute;
use crate::subscriptions::{Asked, WATCHED_PER_SCOPE, Watched};

/// Makes the caller's scope watch a resource. Once is as good as twice. The backend is asked whether or not it declares
/// subscriptions: the Python SDK does not declare what its servers answer.
///
/// # Errors
///
/// Invalid parameters if the backend refuses or the scope watches too much; else the backend's.
pub(crate) async fn subscribe(route: Arc<LiveRoute>, request: Request) -> Result<Reply, Error> {
    let watched = watched(&request)?;
    let state = route.state();
    let backend = calls::member(&state, request.target.as_ref().ok_or_else(no_target)?)?.backend();
    let caller = &request.caller;
    let scope = &caller.scope;
    match route.subscriptions.ask(scope.id(), &watched) {
        Asked::Again => return Ok(done()),
        Asked::TooMuch => {
            let message = format!("more than {WATCHED_PER_SCOPE} subscriptions");
            return Err(Error::invalid_params(message));
        }
        Asked::New { first } => {
            if first && scope.is_session() {
                forget_with_scope(&route, &request);
            }
        }
    }
    let held = route.subscriptions.hold(backend, caller, &watched.native);
    if let Err(error) = held.await {
        route.subscriptions.forget(scope.id(), &watched);
        return Err(error);
    }
    Ok(done())
}

/// Ends what [`subscribe`] began.
///
/// # Errors
///
/// None but a defect of ours: a subscription that was never there is ended too.
pub(crate) async fn unsubscribe(route: Arc<LiveRoute>, request: Request) -> Result<Reply, Error> {
    let watched = watched(&request)?;
    let caller = &request.caller;
    if route.subscriptions.forget(caller.scope.id(), &watched) {
        release(&route, caller, &watched).await;
    }
    Ok(done())
}

/// Takes one reason for watching away.
pub(crate) async fn release(route: &LiveRoute, caller: &Arc<Caller>, watched: &Watched) {
    let state = route.state();
    let member = state.member(&watched.backend);
    let backend = member.map(|member| member.backend());
    route.subscriptions.release(backend, caller, watched).await;
}

/// Whether the backend of a resource offers subscriptions, as far as is known.
pub(crate) fn can_watch(route: &LiveRoute, watched: &Watched) -> bool {
    let state = route.state();
    let capabilities = state.catalog.capabilities(&watched.backend);
    capabilities.is_none_or(|can| can.resources_subscribe)
}

/// When the session ends, so does everything it watches.
fn forget_with_scope(route: &Arc<LiveRoute>, request: &Request) {
    let weak = Arc::downgrade(route);
    let caller = request.caller.clone();
    route.run(async move {
        caller.scope.ended().cancelled().await;
        let Some(route) = weak.upgrade() else { return };
        for watched in route.subscriptions.forget_all(caller.scope.id()) {
            release(&route, &caller, &watched).await;
        }
    });
}

fn watched(request: &Request) -> Result<Watched, Error> {
    let target = request.target.as_ref().ok_or_else(no_target)?;
    let Subject::Uri(exposed) = &request.subject else {
        return Err(no_target());
    };
    Ok(Watched {
        exposed: exposed.clone(),
        backend: target.backend.clone(),
        native: target.native.clone(),
    })
}

fn no_target() -> Error {
    Error::new(ErrorKind::Internal, "internal error of the gateway")
        .caused_by("a subscription was dispatched without a target")
}

fn done() -> Reply {
    Reply::complete(RawJson::empty_object())
}
