//! Finds out where a request goes and attaches that as its target; nothing below looks a name up again.

use std::sync::Arc;

use isthmus_catalog::{Unresolved, View};
use isthmus_config::Shaping;
use isthmus_exchange::{
    AllAllowed, Continuation, Error, ErrorKind, ItemKind, Request, Retry, Subject, Target,
};
use isthmus_protocol::Method;

use crate::live_route::{LiveRoute, RouteState};
use crate::request_state::{Asked, RequestStates, Resumed};
use crate::tasks;

/// The same request with its target, if its method has one. A retry that repeats a state of ours goes where that says.
///
/// # Errors
///
/// Invalid parameters for a name that leads nowhere or to several items, and for a state that is none of this caller's;
/// `ResourceNotFound` for a URI that leads nowhere.
pub(crate) async fn resolve(
    route: &LiveRoute,
    states: &RequestStates,
    mut request: Request,
) -> Result<Request, Error> {
    if let Some(target) = tasks::target(route, states.keys(), &request).await? {
        if let Some(trail) = &request.trail {
            trail.led_to(&target);
        }
        request.target = Some(target);
        return Ok(request);
    }
    let Some(lookup) = Lookup::of(&request) else {
        return Ok(request);
    };
    if let Some(resumed) = resumed(route, states, &mut request)? {
        let target = lookup.clone().again(route, resumed, &request).await?;
        lookup.admit(&route.state(), &target, &request)?;
        request.target = Some(target);
        return Ok(request);
    }
    let state = route.state();
    let mut found = lookup.run(route, &state, &request);
    let unheard = match &found {
        Err(unresolved) => *unresolved == Unresolved::Unknown,
        // What a tool is, such as whether it runs as a task, is known from the list only.
        Ok(target) => target.item.is_none() && matches!(lookup, Lookup::Name(..)),
    };
    if unheard && state.catalog.cold().next().is_some() {
        // It may belong to a backend that is still starting.
        route.warmed_up(state.settings.cold_start).await;
        found = lookup.run(route, &route.state(), &request);
    }
    let target = match found {
        Ok(target) => target,
        Err(unresolved) => {
            lookup.note_hidden(route, &route.state(), &request);
            return Err(lookup.refused(unresolved));
        }
    };
    lookup.admit(&route.state(), &target, &request)?;
    request.target = Some(target);
    Ok(request)
}

/// Opens the state that a retry repeats, and puts the backend's own in its place.
fn resumed(
    route: &LiveRoute,
    states: &RequestStates,
    request: &mut Request,
) -> Result<Option<Resumed>, Error> {
    if request.retry.is_none() {
        return Ok(None);
    }
    let Some(asked) = Asked::of(request, &route.state().path) else {
        request.retry = None;
        return Ok(None);
    };
    let Some(Retry { state, .. }) = &mut request.retry else {
        return Ok(None);
    };
    let Some(Continuation::Opaque(token)) = state.take() else {
        return Ok(None);
    };
    let resumed = states.unseal(&asked, &token)?;
    state.clone_from(&resumed.state);
    Ok(Some(resumed))
}

/// Where a name leads that nobody lists, on a route that shows one backend as it is.
///
/// A tool may exist in the caller's session only, or be callable without being listed; the backend knows. Where names are
/// changed, chosen or kept from somebody, what is not in the catalog is not there.
fn unlisted(state: &RouteState, kind: ItemKind, name: &str) -> Option<Target> {
    let [only] = &state.members[..] else {
        return None;
    };
    let shaping = match kind {
        ItemKind::Tool => &state.settings.tools,
        ItemKind::Prompt => &state.settings.prompts,
        ItemKind::Resource | ItemKind::ResourceTemplate => return None,
    };
    let as_it_is = only.backend().settings().prefix.is_empty()
        && *shaping == Shaping::default()
        && state.same_for_everyone();
    as_it_is.then(|| Target {
        backend: only.name().clone(),
        native: name.to_owned(),
        item: None,
    })
}

/// What has to be looked up.
#[derive(Debug, Clone)]
enum Lookup {
    Name(ItemKind, String),
    Uri(String),
    Reference(String),
    /// The method needs a subject and there is none.
    Nothing(&'static str),
}

impl Lookup {
    fn of(request: &Request) -> Option<Self> {
        let lookup = match (&request.method, &request.subject) {
            (Method::ToolsCall, Subject::Name(name)) => Self::Name(ItemKind::Tool, name.clone()),
            (Method::PromptsGet, Subject::Name(name))
            | (Method::CompletionComplete, Subject::PromptReference(name)) => {
                Self::Name(ItemKind::Prompt, name.clone())
            }
            (
                Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe,
                Subject::Uri(uri),
            ) => Self::Uri(uri.clone()),
            (Method::CompletionComplete, Subject::ResourceReference(reference)) => {
                Self::Reference(reference.clone())
            }
            (Method::ToolsCall | Method::PromptsGet, _) => Self::Nothing("name"),
            (
                Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe,
                _,
            ) => Self::Nothing("uri"),
            (Method::CompletionComplete, _) => Self::Nothing("ref"),
            _ => return None,
        };
        Some(lookup)
    }

    fn run(
        &self,
        route: &LiveRoute,
        state: &Arc<RouteState>,
        request: &Request,
    ) -> Result<Target, Unresolved> {
        self.look(route, state, request, state.view(&request.caller))
    }

    fn look(
        &self,
        route: &LiveRoute,
        state: &Arc<RouteState>,
        request: &Request,
        view: View<'_>,
    ) -> Result<Target, Unresolved> {
        let catalog = &state.catalog;
        match self {
            Self::Name(kind, name) => catalog
                .find(*kind, name, view)
                .or_else(|unresolved| unlisted(state, *kind, name).ok_or(unresolved)),
            Self::Uri(uri) => catalog
                .locate(uri, view)
                .or_else(|| {
                    let owner = route.links.owner(request.caller.scope.id(), uri)?;
                    catalog.locate_link(&owner, uri, view)
                })
                .ok_or(Unresolved::Unknown),
            Self::Reference(reference) => catalog
                .locate_reference(reference, view)
                .ok_or(Unresolved::Unknown),
            Self::Nothing(_) => Err(Unresolved::Ambiguous),
        }
    }

    /// Where a retry goes: to the backend that asked, if the caller may still see what it asked for.
    async fn again(
        self,
        route: &LiveRoute,
        resumed: Resumed,
        request: &Request,
    ) -> Result<Target, Error> {
        let Resumed {
            backend, native, ..
        } = resumed;
        let (kind, exposed) = match &self {
            Self::Name(kind, name) => (*kind, name),
            Self::Uri(uri) => (ItemKind::Resource, uri),
            Self::Reference(_) | Self::Nothing(_) => return Err(self.refused(Unresolved::Unknown)),
        };
        if route.state().catalog.cold().any(|cold| *cold == backend) {
            // We were restarted meanwhile: what may be seen of it is not known yet.
            route.warmed_up(route.state().settings.cold_start).await;
        }
        let state = route.state();
        let view = state.view(&request.caller);
        let target = state
            .catalog
            .target_at(kind, &backend, &native, exposed, view);
        target.ok_or_else(|| self.refused(Unresolved::Unknown))
    }

    /// Lets a request through that may go to `target`.
    fn admit(self, state: &RouteState, target: &Target, request: &Request) -> Result<(), Error> {
        if let Some(trail) = &request.trail {
            trail.led_to(target);
        }
        if state.same_for_everyone() {
            return Ok(());
        }
        let (kind, asked) = match &self {
            Self::Name(kind, name) => (*kind, name.clone()),
            Self::Uri(uri) => (ItemKind::Resource, uri.clone()),
            Self::Reference(reference) => {
                let named = target.item.as_ref();
                let named = named.filter(|item| item.native == target.native);
                let kind = named.map_or(ItemKind::Resource, |item| item.kind);
                (kind, reference.clone())
            }
            Self::Nothing(_) => return Ok(()),
        };
        state.admit(kind, target, &asked, request, || {
            self.refused(Unresolved::Unknown)
        })
    }

    /// Leaves behind what the caller must not learn and the operator wants to know: that there is such a target, and which
    /// rule hides it.
    fn note_hidden(&self, route: &LiveRoute, state: &Arc<RouteState>, request: &Request) {
        let Some(trail) = request.trail.as_deref() else {
            return;
        };
        if state.same_for_everyone() {
            return;
        }
        let everything = View {
            caller: &request.caller,
            authorization: &AllAllowed,
        };
        let Ok(target) = self.look(route, state, request, everything) else {
            return;
        };
        let kind = match self {
            Self::Name(kind, _) => *kind,
            Self::Uri(_) | Self::Reference(_) | Self::Nothing(_) => ItemKind::Resource,
        };
        let view = state.view(&request.caller);
        let asked = target.native.clone();
        let verdict = state.catalog.verdict(kind, &target, &asked, view, None);
        trail.led_to(&target);
        trail.decided(&verdict);
    }

    fn refused(self, unresolved: Unresolved) -> Error {
        let invalid = |message: String| Error::invalid_params(message);
        match (self, unresolved) {
            (Self::Nothing(member), _) => invalid(format!("`{member}` is missing or not valid")),
            (Self::Uri(uri), _) => {
                let message = format!("no resource `{uri}`");
                Error::new(ErrorKind::ResourceNotFound { uri }, message)
            }
            (Self::Reference(reference), _) => {
                invalid(format!("no resource or resource template `{reference}`"))
            }
            (Self::Name(kind, name), Unresolved::Unknown) => {
                invalid(format!("unknown {kind}: {name}"))
            }
            (Self::Name(kind, name), Unresolved::Ambiguous) => invalid(format!(
                "several backends have a {kind} called `{name}`: use the name from the list"
            )),
        }
    }
}
