//! What the router does, seen from a client's side, with backends that follow a script and a clock that stands still.

#![allow(clippy::unwrap_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "tasks end with their test")]

mod apps;
mod asking;
mod calls;
mod gaps;
mod listening;
mod lists;
mod model;
mod reloads;
mod rules_at_random;
mod scripted;
mod tasks;
mod watching;

use std::sync::{Arc, Mutex};

use isthmus_backend::Parking;
use isthmus_config::{Bounds, Route};
use isthmus_exchange::{
    AllAllowed, Attachment, Attempt, Authorization, BoxStage, Caller, ClientCapabilities, Complete,
    Decision, Error, Event, Item, ItemKind, ListenFilter, Notice, Outcome, Principal, Reply,
    Request, RouteName, Scope, ScopeId, Step, Subject, Verdict,
};
use isthmus_protocol::{Method, RawJson, Revision};
use isthmus_router::{AnyBackend, Router};
use isthmus_seal::SealKeys;
use scripted::Scripted;
use tokio::runtime::Handle;

const TOOL: ItemKind = ItemKind::Tool;
const PROMPT: ItemKind = ItemKind::Prompt;
const RESOURCE: ItemKind = ItemKind::Resource;
const TEMPLATE: ItemKind = ItemKind::ResourceTemplate;

/// A router with one route to `backends`, and the route's stage.
fn router<const N: usize>(backends: [&Arc<Scripted>; N]) -> (Router, BoxStage) {
    router_that_shows(Arc::new(AllAllowed), backends)
}

/// The same, where not everybody may see everything.
fn router_that_shows<const N: usize>(
    authorization: Arc<impl Authorization + 'static>,
    backends: [&Arc<Scripted>; N],
) -> (Router, BoxStage) {
    let authorization: Arc<dyn Authorization> = authorization;
    let router = Router::new(
        Arc::new(SealKeys::generate()),
        Parking::new(&Bounds::default(), Handle::current()),
        Handle::current(),
    );
    serve_by(&router, &authorization, Route::new("/mcp"), backends);
    let stage = router.stage(&RouteName::new("/mcp")).unwrap();
    (router, stage)
}

/// Hides items by their native keys.
#[derive(Debug, Default)]
struct Hides(Mutex<Vec<&'static str>>);

impl Authorization for Hides {
    fn decide(&self, _caller: &Caller, item: &Item, _attempt: Option<Attempt<'_>>) -> Verdict {
        let hidden = self.0.lock().unwrap().contains(&item.native.as_str());
        Verdict::by_default(if hidden {
            Decision::Hide
        } else {
            Decision::Allow
        })
    }
}

/// Makes the router's one route lead to `backends`.
fn serve<const N: usize>(
    router: &Router,
    backends: [&Arc<Scripted>; N],
) -> isthmus_router::Reloaded {
    serve_as(router, Route::new("/mcp"), backends)
}

/// Makes the router serve `route` alone, which leads to `backends`, to everybody.
fn serve_as<const N: usize>(
    router: &Router,
    route: Route,
    backends: [&Arc<Scripted>; N],
) -> isthmus_router::Reloaded {
    let all: Arc<dyn Authorization> = Arc::new(AllAllowed);
    serve_by(router, &all, route, backends)
}

/// Makes the router serve `route` alone, which leads to `backends`, to whom `authorization` allows.
fn serve_by<const N: usize>(
    router: &Router,
    authorization: &Arc<dyn Authorization>,
    mut route: Route,
    backends: [&Arc<Scripted>; N],
) -> isthmus_router::Reloaded {
    route.backends = backends
        .iter()
        .map(|backend| backend.name().to_string())
        .collect();
    let settings: Vec<_> = backends
        .iter()
        .map(|backend| backend.settings().clone())
        .collect();
    router
        .reload(
            &[route],
            &settings,
            |_| authorization.clone(),
            |settings| {
                let same = |backend: &&&Arc<Scripted>| backend.settings() == settings;
                let backend = backends.iter().find(same).unwrap();
                Ok::<_, Error>(Arc::clone(backend) as Arc<dyn AnyBackend>)
            },
        )
        .unwrap()
}

fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

/// Somebody with a stateful session.
fn session(id: u128) -> Arc<Caller> {
    let principal = Principal::authenticated("key", "", &id.to_string(), "");
    caller(
        Scope::session(ScopeId(id), principal.id().clone()),
        principal,
        Revision::V2025_11_25,
    )
}

/// Somebody whose requests describe themselves.
fn stateless() -> Arc<Caller> {
    let principal = Principal::anonymous();
    caller(
        Scope::principal(ScopeId(0), principal.id().clone()),
        principal,
        Revision::V2026_07_28,
    )
}

/// The same, known by name.
fn stateless_as(name: &str) -> Arc<Caller> {
    let principal = Principal::authenticated("key", "", name, "");
    let id = name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte));
    caller(
        Scope::principal(ScopeId(id), principal.id().clone()),
        principal,
        Revision::V2026_07_28,
    )
}

fn caller(scope: Scope, principal: Principal, revision: Revision) -> Arc<Caller> {
    Arc::new(Caller {
        principal,
        revision,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        scope: Arc::new(scope),
        attachment: Attachment::Detached,
        address: None,
    })
}

/// A request with its subject read from `params`, as the rims do it.
fn request(caller: &Arc<Caller>, method: Method, params: &str) -> Request {
    let params = json(params);
    let text = |key| isthmus_protocol::object::string_member(&params, key);
    let reference = isthmus_protocol::object::member(&params, "ref");
    let of_reference = |key| isthmus_protocol::object::string_member(reference.as_ref()?, key);
    let subject = match (
        text("name"),
        text("uri"),
        of_reference("name"),
        of_reference("uri"),
    ) {
        (Some(name), ..) => Subject::Name(name),
        (_, Some(uri), ..) => Subject::Uri(uri),
        (_, _, Some(name), _) => Subject::PromptReference(name),
        (_, _, _, Some(uri)) => Subject::ResourceReference(uri),
        _ => Subject::None,
    };
    Request {
        subject,
        ..Request::new(method, params, caller.clone())
    }
}

async fn ask(stage: &BoxStage, method: Method, params: &str) -> Result<RawJson, Error> {
    ask_as(&stateless(), stage, method, params).await
}

async fn ask_as(
    caller: &Arc<Caller>,
    stage: &BoxStage,
    method: Method,
    params: &str,
) -> Result<RawJson, Error> {
    complete(stage.run(request(caller, method, params)).await?)
        .await
        .map(|complete| complete.result)
}

async fn complete(reply: Reply) -> Result<Complete, Error> {
    match reply.outcome().await? {
        Outcome::Complete(complete) => Ok(complete),
        other => panic!("{other:?}"),
    }
}

/// The keys that a list shows.
async fn list(stage: &BoxStage, kind: ItemKind) -> Vec<String> {
    scripted::keys(&ask(stage, kind.list_method(), "{}").await.unwrap(), kind)
}

/// Opens a listen and returns what is acknowledged, and the rest.
async fn listen(
    stage: &BoxStage,
    caller: &Arc<Caller>,
    filter: ListenFilter,
) -> (ListenFilter, Reply) {
    let request = Request {
        listen: Some(filter),
        ..request(caller, Method::SubscriptionsListen, "{}")
    };
    let mut reply = stage.run(request).await.unwrap();
    match reply.next().await {
        Step::Event(Event::Acknowledged(acknowledged)) => (acknowledged.filter, reply),
        other => panic!("{other:?}"),
    }
}

/// Everything a stateful session listens to.
fn everything() -> ListenFilter {
    ListenFilter {
        tools: true,
        prompts: true,
        resources: true,
        follow_scope: true,
        ..ListenFilter::default()
    }
}

async fn next_notice(reply: &mut Reply) -> Notice {
    match reply.next().await {
        Step::Event(Event::Notice(notice)) => notice,
        other => panic!("{other:?}"),
    }
}

/// Lets everything that can happen without time passing happen.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Whether nothing is to be heard now.
async fn is_silent(reply: &mut Reply) -> bool {
    settle().await;
    futures_util::poll!(std::pin::pin!(reply.next())).is_pending()
}
