//! Fetches everything a backend lists: all pages of all kinds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{
    BackendName, Error, ErrorKind, Freshness, ItemKind, ListedItem, Listing, Outcome,
};
use isthmus_protocol::listing::{ListPage, parse_list_page};
use isthmus_protocol::{RawJson, ServerCapabilities, code, object};

use crate::capabilities;
use crate::conversation::{Conversation, Outgoing};

/// How much of a list is read before the rest is refused (design §11).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListBounds {
    /// Pages of one list.
    pub(crate) pages: usize,
    /// Items of all kinds together.
    pub(crate) items: usize,
}

/// Fetches all pages of every kind that the backend has the capability for.
///
/// # Errors
///
/// The first failure of any page; a kind that the backend does not implement after all is empty, not a failure.
/// `BackendMisbehaved` if a list has no end or is larger than `bounds`.
pub(crate) async fn fetch(
    backend: &BackendName,
    conversation: &Arc<dyn Conversation>,
    bounds: ListBounds,
) -> Result<Listing, Error> {
    let facts = conversation.facts().clone();
    let offered = ServerCapabilities::parse(&facts.capabilities);
    let mut items = Vec::new();
    let mut ttl: Option<Duration> = None;
    let mut public = true;
    for kind in ItemKind::ALL {
        let has = match kind {
            ItemKind::Tool => offered.tools.is_some(),
            ItemKind::Prompt => offered.prompts.is_some(),
            ItemKind::Resource | ItemKind::ResourceTemplate => offered.resources.is_some(),
        };
        if !has {
            continue;
        }
        let mut walk = Walk::new(backend, kind, bounds);
        while let Some(params) = walk.next_params() {
            let Some(page) = fetch_page(conversation, kind, params, backend).await? else {
                break;
            };
            if let Some(ms) = page.ttl_ms {
                let page_ttl = Duration::from_millis(ms);
                ttl = Some(ttl.map_or(page_ttl, |ttl| ttl.min(page_ttl)));
            }
            public &= page.cache_public.unwrap_or(false);
            let listed = page.items.into_iter().map(|(key, definition)| ListedItem {
                kind,
                key,
                definition,
            });
            items.extend(listed);
            walk.turn(page.next_cursor, items.len())?;
        }
    }
    let freshness = Freshness {
        ttl,
        public,
        watched: conversation.hears(),
    };
    Ok(Listing {
        facts,
        items,
        freshness,
    })
}

async fn fetch_page(
    conversation: &Arc<dyn Conversation>,
    kind: ItemKind,
    params: RawJson,
    backend: &BackendName,
) -> Result<Option<ListPage>, Error> {
    // A stateless backend is told with each request; a stateful one when the conversation opened.
    let outgoing = Outgoing {
        capabilities: capabilities::for_listing(),
        ..Outgoing::plain(kind.list_method(), params)
    };
    let answer = match conversation.clone().request(outgoing).await {
        Ok(reply) => reply.outcome().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(Outcome::Complete(complete)) => {
            let mut page = parse_list_page(kind.member(), kind.key_member(), &complete.result)
                .map_err(|error| {
                    misbehaved(
                        backend,
                        format!("`{backend}` sent a list of {kind}s that cannot be read"),
                    )
                    .caused_by(error)
                })?;
            if let Some(hint) = complete.cache {
                page.ttl_ms = u64::try_from(hint.ttl.as_millis()).ok();
                page.cache_public = Some(hint.public);
            }
            Ok(Some(page))
        }
        Ok(Outcome::InputRequired(_) | Outcome::Task(_)) => Err(misbehaved(
            backend,
            format!("`{backend}` asked for input to a list of {kind}s"),
        )),
        // Some servers declare `resources` and know nothing of templates.
        Err(error) if is_method_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether anything listed has a user interface (digest §1.14).
pub(crate) fn has_apps(listing: &Listing) -> bool {
    let paths = [["_meta", "ui"], ["_meta", "ui/resourceUri"]];
    listing.items.iter().any(|item| {
        item.kind == ItemKind::Tool
            && paths
                .iter()
                .any(|path| object::member_at(&item.definition, path).is_some())
    })
}

fn is_method_not_found(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::MethodNotFound => true,
        ErrorKind::Answered { error, .. } => error.code == code::METHOD_NOT_FOUND,
        _ => false,
    }
}

fn misbehaved(backend: &BackendName, message: String) -> Error {
    Error::new(ErrorKind::BackendMisbehaved(backend.clone()), message)
}

/// One walk over the pages of one list, with an end whatever the backend says (trap 24).
struct Walk<'a> {
    backend: &'a BackendName,
    kind: ItemKind,
    bounds: ListBounds,
    next: Option<Option<String>>,
    seen: HashSet<String>,
    pages: usize,
}

impl<'a> Walk<'a> {
    fn new(backend: &'a BackendName, kind: ItemKind, bounds: ListBounds) -> Self {
        Self {
            backend,
            kind,
            bounds,
            next: Some(None),
            seen: HashSet::new(),
            pages: 0,
        }
    }

    fn next_params(&mut self) -> Option<RawJson> {
        Some(match self.next.take()? {
            None => RawJson::empty_object(),
            Some(cursor) => RawJson::from_serialize(&serde_json::json!({ "cursor": cursor })),
        })
    }

    fn turn(&mut self, next_cursor: Option<String>, items: usize) -> Result<(), Error> {
        self.pages += 1;
        let Self { backend, kind, .. } = self;
        if items > self.bounds.items {
            let message = format!("`{backend}` lists more than {} items", self.bounds.items);
            return Err(misbehaved(backend, message));
        }
        let Some(cursor) = next_cursor else {
            return Ok(());
        };
        if self.pages >= self.bounds.pages || !self.seen.insert(cursor.clone()) {
            let message = format!("the list of {kind}s of `{backend}` has no end");
            return Err(misbehaved(backend, message));
        }
        self.next = Some(Some(cursor));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk_over(cursors: &[Option<&str>]) -> Result<usize, Error> {
        let backend = BackendName::parse("b").unwrap();
        let mut walk = Walk::new(
            &backend,
            ItemKind::Tool,
            ListBounds {
                pages: 5,
                items: 100,
            },
        );
        let mut cursors = cursors.iter();
        let mut pages = 0;
        while walk.next_params().is_some() {
            pages += 1;
            walk.turn(cursors.next().copied().flatten().map(str::to_owned), pages)?;
        }
        Ok(pages)
    }

    #[test]
    fn every_page_is_read_and_an_empty_cursor_is_a_cursor() {
        assert_eq!(walk_over(&[Some(""), Some("b"), None]).unwrap(), 3);
    }

    #[test]
    fn a_list_without_end_is_refused() {
        assert!(walk_over(&[Some("a"), Some("b"), Some("a")]).is_err());
        assert!(
            walk_over(&[
                Some("a"),
                Some("b"),
                Some("c"),
                Some("d"),
                Some("e"),
                Some("f")
            ])
            .is_err()
        );
    }

    #[test]
    fn a_list_with_too_many_items_is_refused() {
        let backend = BackendName::parse("b").unwrap();
        let mut walk = Walk::new(
            &backend,
            ItemKind::Tool,
            ListBounds {
                pages: 5,
                items: 10,
            },
        );
        assert!(walk.turn(None, 10).is_ok());
        assert!(walk.turn(None, 11).is_err());
    }
}
