//! Sends a request to the one backend that answers it: native names on the way there, exposed ones on the way back.

use std::sync::Arc;

use isthmus_catalog::{UriForm, prefixed_uri};
use isthmus_exchange::{
    BackendName, Complete, Continuation, Error, ErrorKind, Outcome, Reply, Request, Scope, Step,
    Subject, Target,
};
use isthmus_protocol::object::{self, ObjectEdit};
use isthmus_protocol::visit::{self, UriPlace};
use isthmus_protocol::{Method, RawJson, Revision};
use isthmus_seal::SealKeys;

use crate::live_backend::LiveBackend;
use crate::live_route::{LiveRoute, RouteState};
use crate::request_state::Asked;

/// Sends a resolved request to its backend.
///
/// # Errors
///
/// The backend's; `BackendUnavailable` if a reload has just taken it away.
pub(crate) async fn forward(
    route: Arc<LiveRoute>,
    keys: Arc<SealKeys>,
    mut request: Request,
) -> Result<Reply, Error> {
    let state = route.state();
    let Some(target) = request.target.clone() else {
        return Err(Error::internal("a request was dispatched without a target"));
    };
    let member = member(&state, &target)?;
    if request.method == Method::CompletionComplete && !completes(&state, &target.backend) {
        return Ok(Reply::complete(nothing_to_complete()));
    }
    let asked = Asked::of(&request, &target.backend);
    if let Some(retry) = &mut request.retry
        && let (Some(asked), Some(Continuation::Opaque(state))) = (&asked, retry.state.take())
    {
        retry.state = asked.unseal(&keys, &state)?;
    }
    request.params = native_params(&request, &target.native);
    let exposure = Exposure::new(route, state.clone(), &request, target);
    let reply = member.backend().clone().call(request).await;
    let reply = reply.map_err(|error| exposure.error(error))?;
    let reply = match asked {
        Some(asked) => reply.map(move |step| match step {
            Step::Done(Ok(Outcome::InputRequired(required))) => {
                Step::Done(Ok(Outcome::InputRequired(asked.seal(&keys, required))))
            }
            other => other,
        }),
        None => reply,
    };
    Ok(if exposure.changes_nothing() {
        reply
    } else {
        reply.map(move |step| exposure.step(step))
    })
}

/// The backend of a target.
///
/// # Errors
///
/// `BackendUnavailable` if a reload has just taken it away.
pub(crate) fn member<'s>(
    state: &'s RouteState,
    target: &Target,
) -> Result<&'s Arc<LiveBackend>, Error> {
    state.member(&target.backend).ok_or_else(|| {
        let backend = target.backend.clone();
        let message = format!("`{backend}` is no longer there");
        Error::new(ErrorKind::BackendUnavailable(backend), message)
    })
}

/// Whether a backend answers completions: it says so, or its revision has no word for it (digest §1.1).
fn completes(state: &RouteState, backend: &BackendName) -> bool {
    let catalog = &state.catalog;
    let listing = catalog.listing(backend);
    listing.is_some_and(|listing| listing.facts.revision == Revision::V2024_11_05)
        || catalog
            .capabilities(backend)
            .is_none_or(|can| can.completions)
}

fn nothing_to_complete() -> RawJson {
    RawJson::from_serialize(&serde_json::json!({"completion": {"values": []}}))
}

/// The parameters with the name by which the backend knows the subject.
fn native_params(request: &Request, native: &str) -> RawJson {
    let params = &request.params;
    let native = |exposed: &str| (exposed != native).then(|| RawJson::string(native));
    let set = |key: &'static str, native: Option<RawJson>| match native {
        Some(native) => ObjectEdit::new(params).set(key, native).finish(),
        None => params.clone(),
    };
    let set_in_reference = |key: &'static str, native: Option<RawJson>| match native {
        Some(native) => object::edit_member(params, "ref", |edit| edit.set(key, native)),
        None => params.clone(),
    };
    match &request.subject {
        Subject::Name(name) => set("name", native(name)),
        Subject::Uri(uri) => set("uri", native(uri)),
        Subject::PromptReference(name) => set_in_reference("name", native(name)),
        Subject::ResourceReference(uri) => set_in_reference("uri", native(uri)),
        Subject::Task(id) => set("taskId", native(id)),
        Subject::None => params.clone(),
    }
}

/// Turns what one backend answers into what clients see.
struct Exposure {
    route: Arc<LiveRoute>,
    state: Arc<RouteState>,
    scope: Arc<Scope>,
    method: Method,
    backend: BackendName,
    /// The resource that was asked for: its native URI and the form the caller used.
    asked: Option<(String, String)>,
}

impl Exposure {
    fn new(
        route: Arc<LiveRoute>,
        state: Arc<RouteState>,
        request: &Request,
        target: Target,
    ) -> Self {
        let asked = match &request.subject {
            Subject::Uri(uri) => Some((target.native, uri.clone())),
            _ => None,
        };
        Self {
            route,
            state,
            scope: request.caller.scope.clone(),
            method: request.method.clone(),
            backend: target.backend,
            asked,
        }
    }

    fn changes_nothing(&self) -> bool {
        let reads = self.method == Method::ResourcesRead;
        !reads && self.state.catalog.keeps_uris()
    }

    fn step(&self, step: Step) -> Step {
        match step {
            Step::Done(Ok(Outcome::Complete(complete))) => {
                Step::Done(Ok(Outcome::Complete(self.complete(complete))))
            }
            Step::Done(Err(error)) => Step::Done(Err(self.error(error))),
            other => other,
        }
    }

    fn complete(&self, complete: Complete) -> Complete {
        let Complete {
            mut result,
            mut cache,
        } = complete;
        result =
            visit::rewrite_result(&self.method, &result, &|_: UriPlace, uri| self.exposed(uri));
        if self.method == Method::ResourcesRead {
            result = visit::drop_app_domain(&result);
        }
        if let Some(hint) = &mut cache {
            hint.public &= self.route.same_for_everyone();
        }
        Complete { result, cache }
    }

    /// What a native URI becomes; `None` if it stays.
    fn exposed(&self, uri: &str) -> Option<String> {
        if let Some((native, asked)) = &self.asked
            && native == uri
        {
            // Whoever asked in one form is answered in that form (digest §3.7).
            return (asked != uri).then(|| asked.clone());
        }
        match self.state.catalog.uri_form(&self.backend, uri) {
            UriForm::Raw => None,
            UriForm::Prefixed(uri) => Some(uri),
            UriForm::RawIfRemembered => self
                .route
                .links
                .claim(&self.scope, uri, &self.backend)
                .map(|_other| prefixed_uri(&self.backend, uri)),
        }
    }

    /// An error that repeats the URI it is about gets the form the caller used.
    fn error(&self, error: Error) -> Error {
        let Some((native, asked)) = self
            .asked
            .as_ref()
            .filter(|(native, asked)| native != asked)
        else {
            return error;
        };
        let ErrorKind::Answered {
            backend,
            error: answered,
        } = error.kind()
        else {
            return error;
        };
        let repeats = answered
            .data
            .as_ref()
            .filter(|data| object::string_member(data, "uri").as_ref() == Some(native));
        let Some(data) = repeats else {
            return error;
        };
        let mut answered = answered.clone();
        answered.data = Some(
            ObjectEdit::new(data)
                .set("uri", RawJson::string(asked))
                .finish(),
        );
        Error::answered(backend.clone(), answered)
    }
}
