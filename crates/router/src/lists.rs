//! Answers from the catalog alone: the four lists, and what a route offers.

use std::time::Duration;

use isthmus_catalog::merged_cache_hint;
use isthmus_exchange::{CacheHint, Complete, Error, ItemKind, Outcome, Reply, Request};
use isthmus_protocol::{RawJson, object};
use isthmus_seal::SealKeys;

use crate::live_route::{LiveRoute, RouteState};

/// One page of a list.
///
/// # Errors
///
/// Invalid parameters for a cursor that is not ours.
pub(crate) async fn page(
    route: &LiveRoute,
    kind: ItemKind,
    request: Request,
    keys: &SealKeys,
) -> Result<Reply, Error> {
    let cursor = cursor(&request.params)?;
    // Also in the middle of a list: it may have been begun before this gateway was started.
    route.warmed_up(route.state().settings.cold_start).await;
    // Whoever is in the middle of a list does not wait for more of it.
    if cursor.is_none() {
        route.freshened().await;
    }
    let state = route.state();
    for member in &state.members {
        member.backend().expect(&request.caller);
    }
    let view = state.view(&request.caller);
    let page = state.catalog.page(kind, cursor.as_deref(), view, keys);
    let result = page.map_err(|invalid| Error::invalid_params(invalid.to_string()))?;
    let same_for_all = state.catalog.is_same_for_all(kind);
    Ok(complete(result, cache_hint(&state, same_for_all)))
}

/// What the route offers: `{capabilities, instructions?}`. Rims make the results of `initialize` and `server/discover`
/// of it.
pub(crate) async fn offer(route: &LiveRoute) -> Reply {
    let patience = route.state().settings.cold_start.min(OFFER_PATIENCE);
    route.warmed_up(patience).await;
    let state = route.state();
    complete(state.catalog.offer().clone(), cache_hint(&state, true))
}

fn cursor(params: &RawJson) -> Result<Option<String>, Error> {
    match object::member(params, "cursor") {
        None => Ok(None),
        Some(cursor) if cursor.is_null() => Ok(None),
        Some(cursor) => match object::text(&cursor) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(Error::invalid_params("`cursor` is not a string")),
        },
    }
}

/// Public only if nothing depends on who asks (trap 13).
fn cache_hint(state: &RouteState, same_for_all: bool) -> CacheHint {
    let parts = state
        .members
        .iter()
        .map(|member| member.known().cache_part());
    merged_cache_hint(parts, same_for_all && state.same_for_everyone())
}

fn complete(result: RawJson, cache: CacheHint) -> Reply {
    let cache = Some(cache);
    Reply::ready(Outcome::Complete(Complete { result, cache }))
}

/// Instructions reach a stateful client only in the answer to `initialize`, so a moment is worth waiting for them; not
/// longer, since lists are announced when they come (digest §3.1).
const OFFER_PATIENCE: Duration = Duration::from_secs(1);
