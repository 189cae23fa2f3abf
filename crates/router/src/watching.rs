//! `resources/subscribe` and `resources/unsubscribe`: what a session watches, one resource at a time.

use std::sync::Arc;

use isthmus_exchange::{Caller, Error, ErrorKind, Reply, Request, Subject};
use isthmus_protocol::RawJson;
use tokio::sync::oneshot;

use crate::calls;
use crate::live_route::LiveRoute;
use crate::subscriptions::{Asked, WATCHED_PER_SCOPE, Watched};

/// Makes the caller's scope watch a resource. Once is as good as twice. The backend is asked whether or not it declares
/// subscriptions: the Python SDK does not declare what its servers answer.
///
/// # Errors
///
/// Invalid parameters if the backend refuses or the scope watches too much; `MethodNotFound` for whoever has no session,
/// since its subscription would have no end; else the backend's.
pub(crate) async fn subscribe(route: Arc<LiveRoute>, request: Request) -> Result<Reply, Error> {
    let watched = watched(&request)?;
    let caller = session(&request)?;
    let target = request.target.as_ref().ok_or_else(no_target)?;
    let backend = calls::member(&route.state(), target)?.backend().clone();
    let work = route.clone();
    let subscribed = finish(&route, async move {
        let (subscriptions, scope) = (&work.subscriptions, &caller.scope);
        subscriptions
            .hold(&backend, &caller, &watched.native)
            .await?;
        work.forget_with_scope(&caller);
        match subscriptions.ask(scope.id(), &watched) {
            Asked::New if scope.ended().is_cancelled() => {
                if subscriptions.forget(scope.id(), &watched) {
                    subscriptions.release(scope.id(), &watched).await;
                }
            }
            Asked::New => {}
            Asked::Again => subscriptions.release(scope.id(), &watched).await,
            Asked::TooMuch => {
                subscriptions.release(scope.id(), &watched).await;
                let message = format!("more than {WATCHED_PER_SCOPE} subscriptions");
                return Err(Error::invalid_params(message));
            }
        }
        Ok(())
    });
    subscribed.await.map(|()| done())
}

/// Ends what [`subscribe`] began.
///
/// # Errors
///
/// `MethodNotFound` as in [`subscribe`]. A subscription that was never there is ended too.
pub(crate) async fn unsubscribe(route: Arc<LiveRoute>, request: Request) -> Result<Reply, Error> {
    let watched = watched(&request)?;
    let scope = session(&request)?.scope.id();
    if route.subscriptions.forget(scope, &watched) {
        let work = route.clone();
        let released = finish(&route, async move {
            work.subscriptions.release(scope, &watched).await;
            Ok(())
        });
        released.await?;
    }
    Ok(done())
}

/// Waits for `work`, which goes on if nobody waits for it any more: what is counted here must be what the backend knows.
async fn finish(
    route: &LiveRoute,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    let (answer, heard) = oneshot::channel();
    route.run(async move {
        // Whoever asked may have left.
        let _ = answer.send(work.await);
    });
    heard
        .await
        .unwrap_or_else(|gone| Err(Error::internal(gone)))
}

/// The caller, who has to have a session.
fn session(request: &Request) -> Result<Arc<Caller>, Error> {
    let caller = &request.caller;
    if caller.scope.is_session() {
        return Ok(caller.clone());
    }
    let message = format!(
        "`{}` needs a session; use `subscriptions/listen`",
        request.method
    );
    Err(Error::new(ErrorKind::MethodNotFound, message))
}

/// Whether the backend of a resource offers subscriptions, as far as is known.
pub(crate) fn can_watch(route: &LiveRoute, watched: &Watched) -> bool {
    let state = route.state();
    let capabilities = state.catalog.capabilities(&watched.backend);
    capabilities.is_none_or(|can| can.resources_subscribe)
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
