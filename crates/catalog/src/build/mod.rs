//! From what every backend lists to one catalog.
//!
//! Two passes: first every URI finds its owner, then every definition gets its exposed key, the URIs clients see, and the
//! operator's words. What an absent backend listed keeps its names and URIs, so that nothing changes hands because a
//! backend is away (design §6: by configuration, not by availability); it is not shown, but can still be asked for.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use isthmus_config::{Backend, Names, Route, Shaping, Wire};
use isthmus_exchange::{BackendName, Item, ItemId, ItemKind, ListedItem, Listing, PeerFacts};
use isthmus_protocol::headers::HeaderParameters;
use isthmus_protocol::{Era, RawJson, ServerCapabilities, visit};

use crate::apps;
use crate::catalog::{Catalog, NameIndex, Part};
use crate::item_list::{ItemList, PageLimit};
use crate::names::exposed_name;
use crate::offer::{Voice, offer};
use crate::remark::{Reason, Remark};
use crate::tasks::TaskOffer;
use crate::uri_map::{Position, UriForm, UriMap};
use crate::words::reworded;

/// One backend of a route and what is known of it.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Its name.
    pub name: BackendName,
    /// Its settings.
    pub settings: &'a Backend,
    /// What is known of it.
    pub standing: Standing,
}

/// What is known of a backend.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Nothing yet, but it is starting.
    Cold,
    /// It is there and listed this.
    Listed(Arc<Listing>),
    /// It is away; what it listed when it was there, if it ever was.
    Absent(Option<Arc<Listing>>),
}

impl Catalog {
    /// Merges what `members`, the route's backends in config order, list.
    #[must_use]
    pub fn build(route: &Route, members: &[Member<'_>]) -> Self {
        Builder::new(route, members).build()
    }
}

struct Builder<'a> {
    route: &'a Route,
    members: &'a [Member<'a>],
    tasks: TaskOffer,
    uris: UriMap,
    remarks: Vec<Remark>,
}

/// An item on its way into the catalog.
struct Candidate<'a> {
    backend: Position,
    listed: &'a ListedItem,
    /// The exposed key as made: what the route's settings speak of.
    made: String,
    /// The exposed key as clients see it.
    exposed: String,
}

/// What became of the items of one kind.
#[derive(Default)]
struct Merged {
    /// By native key, in the order of config and backends.
    items: Vec<(Position, String, Fate)>,
}

/// What became of an item.
enum Fate {
    /// It is there.
    Offered(Arc<Item>),
    /// The route leaves it out.
    LeftOut,
    /// Another item has its exposed key.
    Taken,
}

impl<'a> Builder<'a> {
    fn new(route: &'a Route, members: &'a [Member<'a>]) -> Self {
        let mut uris = UriMap::default();
        for member in members {
            uris.add_backend(member.name.clone(), member.settings.prefixed_uris);
        }
        let facts: Vec<_> = members.iter().map(|member| member.facts()).collect();
        let may_come = members
            .iter()
            .any(|member| matches!(member.standing, Standing::Cold));
        Self {
            route,
            members,
            tasks: TaskOffer::of(&facts, may_come),
            uris,
            remarks: Vec::new(),
        }
    }

    fn build(mut self) -> Catalog {
        let usable = self.usable_items();
        self.map_uris(&usable);
        let [tools, prompts, resources, templates] =
            ItemKind::ALL.map(|kind| self.merge(kind, &usable));
        self.note_captured(&tools);
        self.note_captured(&prompts);
        let voices: Vec<Voice<'_>> = self.members.iter().map(Member::voice).collect();
        let has_pages = tools.offered().any(|tool| apps::has_page(tool));
        let list =
            |kind, merged: &Merged| ItemList::new(kind, merged.shown(self.members), self.limit());
        Catalog {
            route: self.route.path.clone(),
            lists: [
                list(ItemKind::Tool, &tools),
                list(ItemKind::Prompt, &prompts),
                list(ItemKind::Resource, &resources),
                list(ItemKind::ResourceTemplate, &templates),
            ],
            tools: tools.into_name_index(),
            prompts: prompts.into_name_index(),
            offer: offer(&voices, has_pages, self.tasks),
            tasks: self.tasks,
            parts: parts(self.members, resources, templates),
            uris: self.uris,
            shaping: self.route.resources.clone(),
            remarks: self.remarks,
        }
    }

    /// Every listed item that can be offered at all, by backend in config order.
    fn usable_items(&mut self) -> Vec<(Position, &'a ListedItem)> {
        let mut usable = Vec::new();
        for (position, member) in self.members.iter().enumerate() {
            let Some(listing) = member.listing() else {
                continue;
            };
            let mut seen = HashSet::new();
            for item in &listing.items {
                let problem = if !seen.insert((item.kind, item.key.as_str())) {
                    Some(Reason::Repeated)
                } else if item.key.len() > LONGEST_KEY {
                    let length = item.key.len();
                    Some(Reason::TooLong { length })
                } else {
                    member.header_problem(listing, item)
                };
                match problem {
                    None => usable.push((position, item)),
                    Some(reason) => {
                        self.remarks
                            .push(Remark::new(item.kind, &member.name, &item.key, reason))
                    }
                }
            }
        }
        usable
    }

    fn map_uris(&mut self, usable: &[(Position, &'a ListedItem)]) {
        for (position, item) in usable {
            match item.kind {
                ItemKind::Resource => {
                    self.uris.list(*position, &item.key);
                }
                ItemKind::ResourceTemplate => {
                    self.uris.list_template(*position, &item.key);
                }
                ItemKind::Tool | ItemKind::Prompt => {}
            }
        }
        for (position, item) in usable {
            for uri in links_in(item) {
                self.uris.link(*position, &uri);
            }
        }
        self.uris.seal();
    }

    fn merge(&mut self, kind: ItemKind, usable: &[(Position, &'a ListedItem)]) -> Merged {
        let candidates: Vec<_> = usable
            .iter()
            .filter(|(_, item)| item.kind == kind)
            .map(|(position, item)| self.candidate(*position, item))
            .collect();
        let holders = self.holders(&candidates);
        let mut items = Vec::with_capacity(candidates.len());
        for (index, candidate) in candidates.iter().enumerate() {
            let holder = holders.get(candidate.exposed.as_str()).copied();
            let fate = if !self.shaping(kind).shows(&candidate.made) {
                Fate::LeftOut
            } else if holder == Some(index) {
                Fate::Offered(Arc::new(self.item(candidate)))
            } else {
                let by = holder.map(|holder| candidates[holder].backend);
                self.taken(candidate, by);
                Fate::Taken
            };
            items.push((candidate.backend, candidate.listed.key.clone(), fate));
        }
        Merged { items }
    }

    /// Which candidate holds which exposed key: those the operator named first, then in config order.
    fn holders<'c>(&self, candidates: &'c [Candidate<'_>]) -> HashMap<&'c str, usize> {
        let mut holders = HashMap::with_capacity(candidates.len());
        for renamed in [true, false] {
            for (index, candidate) in candidates.iter().enumerate() {
                let kind = candidate.listed.kind;
                if (candidate.made != candidate.exposed) == renamed
                    && self.shaping(kind).shows(&candidate.made)
                    && self.leads_back(candidate)
                {
                    holders.entry(candidate.exposed.as_str()).or_insert(index);
                }
            }
        }
        holders
    }

    /// Whether a client that asks for the exposed URI gets this item: another backend may list the very text that is
    /// our prefixed form.
    fn leads_back(&self, candidate: &Candidate<'_>) -> bool {
        let owner = match candidate.listed.kind {
            ItemKind::Tool | ItemKind::Prompt => return true,
            ItemKind::Resource => self.uris.owner(&candidate.exposed),
            ItemKind::ResourceTemplate => self.uris.template_owner(&candidate.exposed),
        };
        owner.is_some_and(|(backend, native)| {
            backend == candidate.backend && native == candidate.listed.key
        })
    }

    fn taken(&mut self, candidate: &Candidate<'_>, by: Option<Position>) {
        let by = by.or_else(|| Some(self.uris.owner(&candidate.exposed)?.0));
        let by = by.unwrap_or(candidate.backend);
        let reason = Reason::Taken {
            exposed: candidate.exposed.clone(),
            by: self.members[by].name.clone(),
        };
        let backend = &self.members[candidate.backend].name;
        let listed = candidate.listed;
        let remark = Remark::new(listed.kind, backend, &listed.key, reason);
        self.remarks.push(remark);
    }

    /// A page of an app calls tools by their own names. Where such a name is another backend's exposed one it leads there,
    /// since that one's clients were shown it: an operator should know.
    fn note_captured(&mut self, merged: &Merged) {
        let exposed: HashMap<&str, &BackendName> = merged
            .offered()
            .map(|item| (item.exposed.as_str(), &item.backend))
            .collect();
        for item in merged.offered() {
            let Some(by) = exposed.get(item.native.as_str()) else {
                continue;
            };
            if **by != item.backend {
                let by = (*by).clone();
                let reason = Reason::Captured { by };
                let remark = Remark::new(item.kind, &item.backend, &item.native, reason);
                self.remarks.push(remark);
            }
        }
    }

    fn candidate(&self, backend: Position, listed: &'a ListedItem) -> Candidate<'a> {
        let member = &self.members[backend];
        let native = &listed.key;
        let raw_or_prefixed = |form| match form {
            UriForm::Prefixed(uri) => uri,
            UriForm::Raw | UriForm::RawIfRemembered => native.clone(),
        };
        let made = match listed.kind {
            ItemKind::Tool | ItemKind::Prompt => {
                exposed_name(self.names(), &member.settings.prefix, &member.name, native)
            }
            ItemKind::Resource => raw_or_prefixed(self.uris.form(backend, native)),
            ItemKind::ResourceTemplate => raw_or_prefixed(self.uris.template_form(backend, native)),
        };
        let renamed = self.shaping(listed.kind).renamed(&made);
        let exposed = renamed.map_or_else(|| made.clone(), str::to_owned);
        Candidate {
            backend,
            listed,
            made,
            exposed,
        }
    }

    fn item(&self, candidate: &Candidate<'_>) -> Item {
        let listed = candidate.listed;
        let kind = listed.kind;
        let map = |_: visit::UriPlace, uri: &str| match self.uris.form(candidate.backend, uri) {
            UriForm::Prefixed(uri) => Some(uri),
            UriForm::Raw | UriForm::RawIfRemembered => None,
        };
        let mut definition = visit::rewrite_definition(
            kind.member(),
            &listed.definition,
            kind.key_member(),
            &candidate.exposed,
            &map,
        );
        if matches!(kind, ItemKind::Resource | ItemKind::ResourceTemplate) {
            definition = visit::drop_app_domain(&definition);
        }
        if kind == ItemKind::Tool {
            definition = self.tasks.honest(definition);
        }
        if let Some(words) = self.shaping(kind).override_of(&candidate.made) {
            definition = reworded(&definition, words);
        }
        Item {
            id: ItemId::next(),
            kind,
            backend: self.members[candidate.backend].name.clone(),
            native: listed.key.clone(),
            exposed: candidate.exposed.clone(),
            definition,
            native_definition: listed.definition.clone(),
        }
    }

    const fn shaping(&self, kind: ItemKind) -> &'a Shaping {
        match kind {
            ItemKind::Tool => &self.route.tools,
            ItemKind::Prompt => &self.route.prompts,
            ItemKind::Resource | ItemKind::ResourceTemplate => &self.route.resources,
        }
    }

    const fn names(&self) -> Names {
        self.route.names
    }

    const fn limit(&self) -> PageLimit {
        PageLimit {
            items: self.route.first_page,
            bytes: PAGE_BYTES,
        }
    }
}

impl Member<'_> {
    const fn listing(&self) -> Option<&Arc<Listing>> {
        match &self.standing {
            Standing::Cold | Standing::Absent(None) => None,
            Standing::Listed(listing) | Standing::Absent(Some(listing)) => Some(listing),
        }
    }

    fn facts(&self) -> Option<&PeerFacts> {
        self.listing().map(|listing| &listing.facts)
    }

    fn is_shown(&self) -> bool {
        matches!(self.standing, Standing::Listed(_))
    }

    fn voice(&self) -> Voice<'_> {
        Voice {
            backend: &self.name,
            prefix: &self.settings.prefix,
            facts: self.facts(),
            may_come: matches!(self.standing, Standing::Cold),
        }
    }

    /// What is wrong with the headers a tool asks for, where they have to be sent.
    fn header_problem(&self, listing: &Listing, item: &ListedItem) -> Option<Reason> {
        let sends_headers = item.kind == ItemKind::Tool
            && matches!(self.settings.wire, Wire::Http(_))
            && listing.facts.revision.era() == Era::Stateless;
        if !sends_headers {
            return None;
        }
        let problem = HeaderParameters::from_tool(&item.definition).err()?;
        let explanation = problem.to_string();
        Some(Reason::InvalidHeaders { explanation })
    }
}

impl Merged {
    fn offered(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.items.iter().filter_map(|(.., fate)| match fate {
            Fate::Offered(item) => Some(item),
            Fate::LeftOut | Fate::Taken => None,
        })
    }

    fn shown(&self, members: &[Member<'_>]) -> Vec<Arc<Item>> {
        let shown = self
            .items
            .iter()
            .filter(|(backend, ..)| members[*backend].is_shown());
        shown.filter_map(|(.., fate)| fate.offered()).collect()
    }

    fn into_name_index(self) -> NameIndex {
        let mut index = NameIndex::default();
        for (backend, native, fate) in self.items {
            match fate {
                Fate::Offered(item) => index.insert(item),
                Fate::LeftOut => index.leave_out(backend, native),
                Fate::Taken => {}
            }
        }
        index
    }
}

impl Fate {
    fn offered(&self) -> Option<Arc<Item>> {
        match self {
            Self::Offered(item) => Some(item.clone()),
            Self::LeftOut | Self::Taken => None,
        }
    }
}

fn parts(members: &[Member<'_>], resources: Merged, templates: Merged) -> Vec<Part> {
    let mut parts: Vec<Part> = members
        .iter()
        .map(|member| Part {
            name: member.name.clone(),
            capabilities: member
                .listing()
                .map(|listing| ServerCapabilities::parse(&listing.facts.capabilities)),
            listing: member.listing().cloned(),
            cold: matches!(member.standing, Standing::Cold),
            resources: HashMap::new(),
            templates: HashMap::new(),
        })
        .collect();
    for (backend, native, fate) in resources.items {
        parts[backend].resources.insert(native, fate.offered());
    }
    for (backend, native, fate) in templates.items {
        parts[backend].templates.insert(native, fate.offered());
    }
    parts
}

/// The URIs that a definition points at, apart from its own key.
fn links_in(item: &ListedItem) -> Vec<String> {
    let links = RefCell::new(Vec::new());
    let note = |_: visit::UriPlace, uri: &str| {
        if uri != item.key {
            links.borrow_mut().push(uri.to_owned());
        }
        None
    };
    let _unchanged: RawJson = visit::rewrite_definition(
        item.kind.member(),
        &item.definition,
        item.kind.key_member(),
        &item.key,
        &note,
    );
    links.into_inner()
}

/// Bytes of definitions in one page: far below what clients refuse to read (16 MiB).
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a native key: a cursor carries one, and cursors travel in parameters.
const LONGEST_KEY: usize = 8 << 10;

#[cfg(test)]
mod tests;
