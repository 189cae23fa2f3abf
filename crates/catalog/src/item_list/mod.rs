//! The items of one kind as pages of a list.
//!
//! A list that fits one page keeps the order of config and backends. One that does not is ordered by exposed key, since
//! only then does a cursor have a place that survives any change between two pages. First pages are rendered once per
//! revision and shared by every caller who sees everything; where some tools are for pages of apps only, once more for
//! callers who show none.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use isthmus_exchange::{Item, ItemKind};
use isthmus_protocol::{RawJson, Revision, convert, object};

use crate::apps;

/// How much goes into one page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLimit {
    /// Items; at least one is always handed out.
    pub(crate) items: usize,
    /// Bytes of definitions; one definition may be larger.
    pub(crate) bytes: usize,
}

/// What identifies the content of a list, whatever its order: a backend that shuffles has not changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ListDigest(u128);

/// The shown items of one kind.
#[derive(Debug)]
pub(crate) struct ItemList {
    kind: ItemKind,
    items: Vec<Arc<Item>>,
    limit: PageLimit,
    digest: ListDigest,
    /// How many items the first page has for somebody who sees everything.
    first_page: usize,
    first_pages: [OnceLock<RawJson>; Revision::ALL.len()],
    /// The list for callers who show no pages of apps, if it is another.
    without_pages: Option<Box<Self>>,
}

/// A rendered page and where the next one begins.
#[derive(Debug)]
pub(crate) struct Page {
    /// The result object without `nextCursor`.
    pub(crate) result: RawJson,
    /// The exposed key of the last item, if more follow.
    pub(crate) more_behind: Option<Arc<Item>>,
}

impl ItemList {
    /// The list of `items`, which come in the order of config and backends.
    pub(crate) fn new(kind: ItemKind, items: Vec<Arc<Item>>, limit: PageLimit) -> Self {
        let for_all = items.iter().filter(|item| !apps::is_for_pages_only(item));
        let for_all: Vec<_> = match kind {
            ItemKind::Tool => for_all.cloned().collect(),
            _ => items.clone(),
        };
        let differs = for_all.len() < items.len();
        let without_pages = differs.then(|| Box::new(Self::plain(kind, for_all, limit)));
        Self {
            without_pages,
            ..Self::plain(kind, items, limit)
        }
    }

    fn plain(kind: ItemKind, mut items: Vec<Arc<Item>>, limit: PageLimit) -> Self {
        let first_page = |items: &[Arc<Item>]| limit.page(items.iter()).len();
        if first_page(&items) < items.len() {
            items.sort_by(|one, other| one.exposed.cmp(&other.exposed));
        }
        let list = Self {
            kind,
            digest: ListDigest::of(&items),
            first_page: first_page(&items),
            items,
            limit,
            first_pages: Default::default(),
            without_pages: None,
        };
        // Stateful clients' first pages are rendered when the first of them asks.
        list.first_page(Revision::LATEST);
        list
    }

    /// All shown items.
    pub(crate) fn items(&self) -> &[Arc<Item>] {
        &self.items
    }

    /// The list as it is for callers who do or do not show pages of apps.
    pub(crate) fn seen(&self, shows_pages: impl FnOnce() -> bool) -> &Self {
        match &self.without_pages {
            Some(without) if !shows_pages() => without,
            _ => self,
        }
    }

    /// Whether what is answered depends on who asks: callers who show pages of apps see what others do not, and a cursor
    /// works for the principal it was given to.
    pub(crate) const fn depends_on_caller(&self) -> bool {
        self.without_pages.is_some() || self.first_page < self.items.len()
    }

    /// What identifies the content.
    pub(crate) const fn digest(&self) -> ListDigest {
        self.digest
    }

    /// The first page for somebody who sees everything. Costs no formatting once a revision has been asked for.
    pub(crate) fn first_page(&self, revision: Revision) -> Page {
        let items = &self.items[..self.first_page];
        let slot = &self.first_pages[revision as usize];
        let result = slot.get_or_init(|| render(self.kind, items.iter(), revision));
        Page {
            result: result.clone(),
            more_behind: items
                .last()
                .filter(|_| self.first_page < self.items.len())
                .cloned(),
        }
    }

    /// The page behind `after` (or the first) of what `sees` lets through.
    pub(crate) fn page(
        &self,
        after: Option<&str>,
        sees: impl Fn(&Item) -> bool,
        revision: Revision,
    ) -> Page {
        let mut rest = self
            .items
            .iter()
            .filter(|item| after.is_none_or(|after| item.exposed.as_str() > after))
            .filter(|item| sees(item))
            .peekable();
        let page = self.limit.page(&mut rest);
        Page {
            result: render(self.kind, page.iter().copied(), revision),
            more_behind: page
                .last()
                .filter(|_| rest.peek().is_some())
                .map(|item| Arc::clone(item)),
        }
    }
}

impl PageLimit {
    /// As many of `items` as fit one page.
    fn page<'i>(self, items: impl Iterator<Item = &'i Arc<Item>>) -> Vec<&'i Arc<Item>> {
        let mut items = items.peekable();
        let mut page = Vec::new();
        let mut bytes = 0;
        while page.len() < self.items.max(1)
            && let Some(item) = items.peek()
            && (page.is_empty() || bytes + item.definition.len() <= self.bytes)
        {
            bytes += item.definition.len();
            page.extend(items.next());
        }
        page
    }
}

impl Page {
    /// The result, with `next_cursor` if there is one.
    pub(crate) fn into_result(self, next_cursor: Option<&str>) -> RawJson {
        let Some(cursor) = next_cursor else {
            return self.result;
        };
        let open = &self.result.as_bytes()[..self.result.len() - 1];
        let cursor = RawJson::from_serialize(cursor);
        let mut text = Vec::with_capacity(self.result.len() + cursor.len() + 16);
        text.extend_from_slice(open);
        text.extend_from_slice(b",\"nextCursor\":");
        text.extend_from_slice(cursor.as_bytes());
        text.push(b'}');
        RawJson::assembled(text)
    }
}

impl ListDigest {
    fn of(items: &[Arc<Item>]) -> Self {
        let sum = items.iter().fold(0_u128, |sum, item| {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(item.exposed.as_bytes());
            hash.update(&[0]);
            hash.update(item.definition.as_bytes());
            let hash = hash.finish();
            let half = hash.as_ref()[..16].iter();
            sum.wrapping_add(half.fold(0, |half, byte| half << 8 | u128::from(*byte)))
        });
        Self(sum)
    }
}

fn render<'i>(
    kind: ItemKind,
    items: impl Iterator<Item = &'i Arc<Item>>,
    revision: Revision,
) -> RawJson {
    let definitions: Vec<RawJson> = items
        .map(|item| convert::downgrade_definition(kind.member(), &item.definition, revision))
        .collect();
    let array = object::assemble_array(&definitions);
    object::assemble([(kind.member(), array)])
}

#[cfg(test)]
mod tests;
