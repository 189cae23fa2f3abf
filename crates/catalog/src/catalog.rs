//! The merged catalog of one route: an immutable snapshot that lists and calls are answered from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use isthmus_config::Shaping;
use isthmus_exchange::{
    Attempt, Authorization, BackendName, Caller, Decision, Item, ItemId, ItemKind, Listing, Target,
    Verdict,
};
use isthmus_protocol::{RawJson, ServerCapabilities};
use isthmus_seal::SealKeys;

use crate::apps;
use crate::cursor::{self, InvalidCursor, ListId};
use crate::item_list::{ItemList, ListDigest};
use crate::remark::Remark;
use crate::tasks::TaskOffer;
use crate::uri_map::{Position, UriForm, UriMap};

/// Everything the backends of a route offer, merged. Built by [`Catalog::build`].
#[derive(Debug)]
pub struct Catalog {
    pub(crate) route: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) tools: NameIndex,
    pub(crate) prompts: NameIndex,
    pub(crate) uris: UriMap,
    /// Which resources and templates a route shows.
    pub(crate) shaping: Shaping,
    /// In the order of [`ItemKind::ALL`].
    pub(crate) lists: [ItemList; 4],
    pub(crate) offer: RawJson,
    pub(crate) tasks: TaskOffer,
    pub(crate) remarks: Vec<Remark>,
}

/// Through whose eyes a catalog is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Who is looking.
    pub caller: &'a Caller,
    /// What that one may see and use.
    pub authorization: &'a dyn Authorization,
}

/// A name does not lead to one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// It leads to none.
    Unknown,
    /// It is the native name of several.
    Ambiguous,
}

/// What one backend brings.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: BackendName,
    pub(crate) capabilities: Option<ServerCapabilities>,
    pub(crate) listing: Option<Arc<Listing>>,
    pub(crate) cold: bool,
    /// By native URI; `None` for one that is hidden.
    pub(crate) resources: HashMap<String, Option<Arc<Item>>>,
    /// By native template; `None` for one that is hidden.
    pub(crate) templates: HashMap<String, Option<Arc<Item>>>,
}

/// Tools or prompts by name.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    exposed: HashMap<String, Arc<Item>>,
    native: HashMap<String, Vec<Arc<Item>>>,
    /// Stands for every name that is not there.
    nobody: Nobody,
    /// What the route leaves out, by backend and native name.
    left_out: HashSet<(Position, String)>,
}

impl Catalog {
    /// One page of a list: the result object of the list method in the caller's revision, hop members left out.
    ///
    /// # Errors
    ///
    /// [`InvalidCursor`] if `cursor` was not handed out for this list to this principal.
    pub fn page(
        &self,
        kind: ItemKind,
        cursor: Option<&str>,
        view: View<'_>,
        keys: &SealKeys,
    ) -> Result<RawJson, InvalidCursor> {
        let list = self.list(kind).seen(|| apps::shows_pages(view.caller));
        let id = ListId {
            route: &self.route,
            kind,
        };
        let principal = view.caller.principal.id();
        let after = cursor
            .map(|cursor| cursor::unseal(keys, id, principal, cursor))
            .transpose()?;
        let revision = view.caller.revision;
        let page = if after.is_none() && view.authorization.same_for_everyone() {
            list.first_page(revision)
        } else {
            list.page(after.as_deref(), |item| view.sees(item), revision)
        };
        let next = page
            .more_behind
            .as_ref()
            .map(|last| cursor::seal(keys, id, principal, &last.exposed));
        Ok(page.into_result(next.as_deref()))
    }

    /// The tool or prompt that `name` means: an exposed name, or a native one that only one item has of those that the
    /// caller sees (MCP Apps pages call tools by bare names). A native name that a second backend starts to use becomes
    /// ambiguous; it is never captured (trap 14).
    ///
    /// # Errors
    ///
    /// [`Unresolved`]; for what the caller may not see the same as for what is not there.
    pub fn find(&self, kind: ItemKind, name: &str, view: View<'_>) -> Result<Target, Unresolved> {
        let index = match kind {
            ItemKind::Tool => &self.tools,
            ItemKind::Prompt => &self.prompts,
            ItemKind::Resource | ItemKind::ResourceTemplate => return Err(Unresolved::Unknown),
        };
        // What is hidden and what is absent cost the same: something is decided about either.
        let exposed = index.exposed.get(name);
        let sees = view.sees(exposed.unwrap_or(&index.nobody.0));
        if let Some(item) = exposed.filter(|_| sees) {
            return Ok(target(item));
        }
        let same_name = index.native.get(name).map_or(&[][..], Vec::as_slice);
        let mut visible = same_name.iter().filter(|item| view.lists(item));
        match (visible.next(), visible.next()) {
            (Some(only), None) => Ok(target(only)),
            (Some(_), Some(_)) => Err(Unresolved::Ambiguous),
            (None, _) => Err(Unresolved::Unknown),
        }
    }

    /// Where the tool, prompt or resource `native` of `backend` leads, whatever its name means today: for a retry, which
    /// goes where the request before it went, also when the backend has left the route meanwhile. `exposed` is what the
    /// client calls it. `None`: the caller may not see it (any more).
    #[must_use]
    pub fn target_at(
        &self,
        kind: ItemKind,
        backend: &BackendName,
        native: &str,
        exposed: &str,
        view: View<'_>,
    ) -> Option<Target> {
        let position = self.uris.position(backend.as_str());
        let index = match (kind, position) {
            (ItemKind::Resource | ItemKind::ResourceTemplate, Some(position)) => {
                return self.locate_native(position, native, view);
            }
            (ItemKind::Tool, _) => Some(&self.tools),
            (ItemKind::Prompt, _) => Some(&self.prompts),
            (ItemKind::Resource | ItemKind::ResourceTemplate, None) => None,
        };
        if let Some(index) = index {
            let same_name = index.native.get(native).into_iter().flatten();
            if let Some(item) = same_name.clone().find(|item| item.backend == *backend) {
                return view.sees(item).then(|| target(item));
            }
            if position.is_some_and(|position| index.leaves_out(position, native)) {
                return None;
            }
        }
        let shown = view.sees_unlisted(kind, backend, native, exposed);
        shown.then(|| Target {
            backend: backend.clone(),
            native: native.to_owned(),
            item: None,
        })
    }

    /// Where a resource is read, by a URI as a client wrote it; `None` if the catalog leads nowhere.
    #[must_use]
    pub fn locate(&self, uri: &str, view: View<'_>) -> Option<Target> {
        let Some((backend, native)) = self.uris.owner(uri) else {
            // As in [`Catalog::find`].
            let _ = view.sees(&self.tools.nobody.0);
            return None;
        };
        self.locate_native(backend, &native, view)
    }

    /// Where a resource is read whose raw URI was handed out earlier by `backend`.
    #[must_use]
    pub fn locate_link(&self, backend: &BackendName, uri: &str, view: View<'_>) -> Option<Target> {
        self.locate_native(self.uris.position(backend.as_str())?, uri, view)
    }

    /// Where the `ref/resource` of a completion leads: a template or a URI, as a client wrote it.
    #[must_use]
    pub fn locate_reference(&self, reference: &str, view: View<'_>) -> Option<Target> {
        let Some((backend, native)) = self.uris.template_owner(reference) else {
            return self.locate(reference, view);
        };
        let item = self.parts[backend].templates.get(&*native)?.as_ref()?;
        view.sees(item).then(|| target(item))
    }

    fn locate_native(&self, backend: Position, native: &str, view: View<'_>) -> Option<Target> {
        let part = &self.parts[backend];
        if let Some(listed) = part.resources.get(native) {
            return listed.as_ref().filter(|item| view.sees(item)).map(target);
        }
        let exposed = self.exposed_uri(backend, native);
        let sees_uri = || view.sees_unlisted(ItemKind::Resource, &part.name, native, &exposed);
        let item = match self.uris.matching_template(backend, native) {
            Some(template) => {
                let item = part.templates.get(template)?.as_ref()?;
                let excluded = self
                    .shaping
                    .exclude
                    .iter()
                    .any(|glob| glob.matches(&exposed));
                (!excluded && view.sees(item) && sees_uri()).then(|| Some(item.clone()))
            }
            None => (self.shaping.shows(&exposed) && sees_uri()).then_some(None),
        }?;
        Some(Target {
            backend: part.name.clone(),
            native: native.to_owned(),
            item,
        })
    }

    /// What may be done with a target: with the item it is; with what nobody lists as itself, and where that is reached
    /// through a template, as far as the template allows. `asked` is what the client calls it.
    #[must_use]
    pub fn verdict(
        &self,
        kind: ItemKind,
        target: &Target,
        asked: &str,
        view: View<'_>,
        attempt: Option<Attempt<'_>>,
    ) -> Verdict {
        let Target {
            backend,
            native,
            item,
        } = target;
        if let Some(item) = item.as_ref().filter(|item| item.kind == kind) {
            return view.decide(item, attempt);
        }
        let position = self.uris.position(backend.as_str());
        let exposed = match (kind, position) {
            (ItemKind::Resource | ItemKind::ResourceTemplate, Some(position)) => {
                self.exposed_uri(position, native)
            }
            _ => asked.to_owned(),
        };
        let own = view.decide_unlisted(kind, backend, native, &exposed, attempt);
        match item {
            Some(template) => view.decide(template, attempt).and(own),
            None => own,
        }
    }

    fn exposed_uri(&self, backend: Position, native: &str) -> String {
        match self.uris.form(backend, native) {
            UriForm::Prefixed(uri) => uri,
            UriForm::Raw | UriForm::RawIfRemembered => native.to_owned(),
        }
    }

    /// How the native URI of a backend looks to clients.
    #[must_use]
    pub fn uri_form(&self, backend: &BackendName, native: &str) -> UriForm {
        match self.uris.position(backend.as_str()) {
            Some(position) => self.uris.form(position, native),
            None => UriForm::RawIfRemembered,
        }
    }

    /// Whether every URI of every backend looks to clients as it is: then nothing has to be looked for in results.
    #[must_use]
    pub fn keeps_uris(&self) -> bool {
        self.uris.is_identity()
    }

    /// The result of `server/discover` without what belongs to the hop: `{capabilities, instructions?}`.
    #[must_use]
    pub const fn offer(&self) -> &RawJson {
        &self.offer
    }

    /// Which kinds of task the route offers.
    #[must_use]
    pub const fn tasks(&self) -> TaskOffer {
        self.tasks
    }

    /// The shown items of a kind.
    #[must_use]
    pub fn items(&self, kind: ItemKind) -> &[Arc<Item>] {
        self.list(kind).items()
    }

    /// Whether everybody who may see all items of a kind is answered the same: not where callers who show pages of MCP Apps
    /// get tools that others do not, and not where there are cursors, which work for one principal.
    #[must_use]
    pub fn is_same_for_all(&self, kind: ItemKind) -> bool {
        !self.list(kind).depends_on_caller()
    }

    /// What identifies the shown items of a kind: changes if and only if they do.
    #[must_use]
    pub fn digest(&self, kind: ItemKind) -> ListDigest {
        self.list(kind).digest()
    }

    /// What an operator should know about it.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The backends that have not been heard of: more may come.
    pub fn cold(&self) -> impl Iterator<Item = &BackendName> {
        self.parts
            .iter()
            .filter(|part| part.cold)
            .map(|part| &part.name)
    }

    /// What a backend last listed, if it ever did.
    #[must_use]
    pub fn listing(&self, backend: &BackendName) -> Option<&Arc<Listing>> {
        self.part(backend)?.listing.as_ref()
    }

    /// What a backend says it can do; `None` if it has not been heard of.
    #[must_use]
    pub fn capabilities(&self, backend: &BackendName) -> Option<&ServerCapabilities> {
        self.part(backend)?.capabilities.as_ref()
    }

    fn part(&self, backend: &BackendName) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == *backend)
    }

    fn list(&self, kind: ItemKind) -> &ItemList {
        &self.lists[kind as usize]
    }
}

impl View<'_> {
    /// Whether the item may be seen and used.
    #[must_use]
    pub fn sees(&self, item: &Item) -> bool {
        self.authorization.visible(self.caller, item)
    }

    /// What may be done with the item.
    #[must_use]
    pub fn decide(&self, item: &Item, attempt: Option<Attempt<'_>>) -> Verdict {
        self.authorization.decide(self.caller, item, attempt)
    }

    /// Whether the item stands in the caller's lists.
    fn lists(&self, item: &Item) -> bool {
        self.sees(item) && (apps::shows_pages(self.caller) || !apps::is_for_pages_only(item))
    }

    /// Whether something that nobody lists may be used.
    fn sees_unlisted(
        &self,
        kind: ItemKind,
        backend: &BackendName,
        native: &str,
        exposed: &str,
    ) -> bool {
        if self.authorization.same_for_everyone() {
            return true;
        }
        let verdict = self.decide_unlisted(kind, backend, native, exposed, None);
        verdict.decision != Decision::Hide
    }

    fn decide_unlisted(
        &self,
        kind: ItemKind,
        backend: &BackendName,
        native: &str,
        exposed: &str,
        attempt: Option<Attempt<'_>>,
    ) -> Verdict {
        if self.authorization.same_for_everyone() {
            return Verdict::by_default(Decision::Allow);
        }
        let definition = RawJson::empty_object();
        let item = Item {
            id: ItemId::UNLISTED,
            kind,
            backend: backend.clone(),
            native: native.to_owned(),
            exposed: exposed.to_owned(),
            native_definition: definition.clone(),
            definition,
        };
        self.decide(&item, attempt)
    }
}

/// An item that no list shows and no name leads to.
#[derive(Debug)]
struct Nobody(Arc<Item>);

impl Default for Nobody {
    fn default() -> Self {
        let definition = RawJson::empty_object();
        Self(Arc::new(Item {
            id: ItemId::next(),
            kind: ItemKind::Tool,
            backend: BackendName::parse("nobody").expect("a backend may have that name"),
            native: String::new(),
            exposed: String::new(),
            native_definition: definition.clone(),
            definition,
        }))
    }
}

impl NameIndex {
    /// Adds an item whose exposed name is not taken.
    pub(crate) fn insert(&mut self, item: Arc<Item>) {
        let same_name = self.native.entry(item.native.clone()).or_default();
        same_name.push(item.clone());
        self.exposed.insert(item.exposed.clone(), item);
    }

    /// Notes that the route leaves an item out.
    pub(crate) fn leave_out(&mut self, backend: Position, native: String) {
        self.left_out.insert((backend, native));
    }

    fn leaves_out(&self, backend: Position, native: &str) -> bool {
        // Asked on a retry only; a key of two parts cannot be looked up without owning both.
        self.left_out.contains(&(backend, native.to_owned()))
    }
}

fn target(item: &Arc<Item>) -> Target {
    Target {
        backend: item.backend.clone(),
        native: item.native.clone(),
        item: Some(item.clone()),
    }
}
