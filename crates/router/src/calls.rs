//! Sends a request to the one backend that answers it: native names on the way there, exposed ones on the way back.

use std::cell::Cell;
use std::sync::Arc;

use isthmus_backend::Parking;
use isthmus_exchange::{
    BackendName, Caller, Complete, Continuation, Error, ErrorKind, Event, InputRequired, Outcome,
    Question, Reply, Request, Step, Subject, Target,
};
use isthmus_protocol::object::{self, ObjectEdit};
use isthmus_protocol::visit::{self, UriPlace};
use isthmus_protocol::{Method, RawJson, Revision};

use crate::exposed_uri::ExposedUri;
use crate::live_backend::LiveBackend;
use crate::live_route::{LiveRoute, RouteState};
use crate::questions::Asking;
use crate::request_state::{Asked, RequestStates};
use crate::tasks::TaskNames;

/// Sends a resolved request to its backend; a retry of a parked call to that call.
///
/// # Errors
///
/// The backend's; `BackendUnavailable` if a reload has just taken it away; `Expired` for a park that is no longer there.
pub(crate) async fn forward(
    route: Arc<LiveRoute>,
    states: RequestStates,
    parking: Parking,
    mut request: Request,
) -> Result<Reply, Error> {
    let state = route.state();
    let Some(target) = request.target.clone() else {
        return Err(Error::internal("a request was dispatched without a target"));
    };
    if request.method == Method::CompletionComplete && !completes(&state, &target.backend) {
        return Ok(Reply::complete(nothing_to_complete()));
    }
    let exposure = Exposure::new(route, state.clone(), states, &request, &target);
    if state.catalog.tasks().core.is_none() {
        // Where that is not offered it means nothing (1125:basic/utilities/tasks).
        request.task = None;
    }
    request.params = native_params(&request, &target.native);
    let reply = if is_parked(&request) {
        // Whatever has become of its backend.
        parking.resume(request).await
    } else {
        let member = member(&state, &target)?;
        member.backend().clone().call(request).await
    };
    let reply = reply.map_err(|error| exposure.error(error))?;
    Ok(reply.map(move |step| exposure.step(step)))
}

fn is_parked(request: &Request) -> bool {
    let state = request
        .retry
        .as_ref()
        .and_then(|retry| retry.state.as_ref());
    matches!(state, Some(Continuation::Parked { .. }))
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
    states: RequestStates,
    caller: Arc<Caller>,
    method: Method,
    backend: BackendName,
    /// How the backend knows what was asked for.
    native: String,
    /// What was asked, if the method knows questions.
    asked: Option<Asked>,
    /// The form in which the caller wrote the URI that was asked for.
    asked_uri: Option<String>,
    is_retry: bool,
    tasks: TaskNames,
}

impl Exposure {
    /// How `request`, in the names its caller used, is answered.
    fn new(
        route: Arc<LiveRoute>,
        state: Arc<RouteState>,
        states: RequestStates,
        request: &Request,
        target: &Target,
    ) -> Self {
        let asked_uri = match &request.subject {
            Subject::Uri(uri) => Some(uri.clone()),
            _ => None,
        };
        Self {
            asked: Asked::of(request, &state.path),
            tasks: TaskNames::new(&route, states.keys(), request, target),
            route,
            state,
            states,
            caller: request.caller.clone(),
            method: request.method.clone(),
            backend: target.backend.clone(),
            native: target.native.clone(),
            asked_uri,
            is_retry: request.retry.is_some(),
        }
    }

    fn step(&self, step: Step) -> Step {
        match step {
            Step::Done(Ok(Outcome::Complete(complete))) => {
                Step::Done(Ok(Outcome::Complete(self.complete(complete))))
            }
            Step::Done(Ok(Outcome::InputRequired(required))) => {
                Step::Done(self.input_required(required).map(Outcome::InputRequired))
            }
            Step::Done(Ok(Outcome::Task(created))) => {
                Step::Done(Ok(Outcome::Task(self.tasks.created(&created))))
            }
            Step::Event(Event::Question(question)) => {
                Step::Event(Event::Question(self.question(question)))
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
        let reads = self.method == Method::ResourcesRead;
        let public = Cell::new(self.state.same_for_everyone());
        if reads || !self.state.catalog.keeps_uris() {
            result = visit::rewrite_result(&self.method, &result, &|_: UriPlace, uri| {
                let exposed = self.exposed(uri);
                public.set(public.get() && exposed.same_for_everyone());
                exposed.into_new()
            });
        }
        let form = |_: UriPlace, uri: &str| self.exposed(uri).into_new();
        result = self.tasks.result(result, self.asking(&form));
        if reads {
            result = visit::drop_app_domain(&result);
        }
        if self.is_retry {
            // It depends on answers (26:server/utilities/caching).
            cache = None;
        }
        if let Some(hint) = &mut cache {
            hint.public &= public.get();
        }
        Complete { result, cache }
    }

    fn question(&self, mut question: Question) -> Question {
        question.params = self
            .asking(&|_: UriPlace, uri| self.exposed(uri).into_new())
            .params(&question.method, &question.params);
        question.params = self.tasks.question(question.params);
        question
    }

    fn input_required(&self, required: InputRequired) -> Result<InputRequired, Error> {
        let Some(asked) = &self.asked else {
            let (backend, method) = (&self.backend, &self.method);
            let message = format!("`{backend}` wants input for `{method}`, which has none");
            return Err(Error::new(
                ErrorKind::BackendMisbehaved(backend.clone()),
                message,
            ));
        };
        let exposed = |_: UriPlace, uri: &str| self.exposed(uri).into_new();
        let asking = self.asking(&exposed);
        let InputRequired { requests, state } = required;
        let requests = requests.map(|requests| asking.requests(&requests));
        let required = InputRequired { requests, state };
        self.states
            .seal(asked, &self.backend, &self.native, required)
    }

    fn asking<'a>(&'a self, exposed: visit::UriMap<'a>) -> Asking<'a> {
        Asking {
            backend: &self.backend,
            among_others: self.state.members.len() > 1,
            exposed,
        }
    }

    /// How a native URI looks to the caller.
    fn exposed(&self, uri: &str) -> ExposedUri {
        if let Some(asked) = &self.asked_uri
            && self.native == uri
        {
            // Whoever asked in one form is answered in that form (digest §3.7).
            return if asked == uri {
                ExposedUri::Raw
            } else {
                ExposedUri::Prefixed(asked.clone())
            };
        }
        ExposedUri::of(&self.route, &self.state, &self.caller, &self.backend, uri)
    }

    /// An error that repeats the URI it is about gets the form the caller used.
    fn error(&self, error: Error) -> Error {
        let native = &self.native;
        let Some(asked) = self.asked_uri.as_ref().filter(|asked| *asked != native) else {
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
