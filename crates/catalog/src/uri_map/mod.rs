//! Which backend a URI belongs to, and how a backend's URI looks to clients.
//!
//! URIs are kept as they are wherever that leads back to the backend they came from; else they get their prefixed form.
//! Both directions ask the same rule, so a URI that was handed out always finds home: the raw form goes to the first
//! backend in config order that lists it (whether or not it is available), then to the template with the longest literal
//! prefix, then to the first whose definitions link to it (MCP Apps pages need not be listed), and last to a template that
//! begins with no literal, since that claims everything. The prefixed form goes to the backend it names, unless somebody
//! lists that very text. No backend is ever probed (digest §3.7, trap 15).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use isthmus_exchange::BackendName;
use isthmus_protocol::UriTemplate;

use crate::uris::{prefixed_uri, split_prefixed_uri};

/// Position of a backend on its route, in config order.
pub(crate) type Position = usize;

/// How a native URI looks to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriForm {
    /// As it is.
    Raw,
    /// As it is, but nothing in the catalog leads back: whoever hands it out has to remember whose it is.
    RawIfRemembered,
    /// With the backend in front.
    Prefixed(String),
}

/// Who owns which URI on one route.
#[derive(Debug, Default)]
pub(crate) struct UriMap {
    backends: Vec<Mapped>,
    listed: HashMap<String, Vec<Position>>,
    listed_templates: HashMap<String, Vec<Position>>,
    linked: HashMap<String, Vec<Position>>,
    matchers: Vec<Matcher>,
}

#[derive(Debug)]
struct Mapped {
    name: BackendName,
    always_prefixed: bool,
}

#[derive(Debug)]
struct Matcher {
    template: UriTemplate,
    /// The template as its backend wrote it.
    native: String,
    backend: Position,
}

impl UriMap {
    /// Adds a backend behind those already there.
    pub(crate) fn add_backend(&mut self, name: BackendName, always_prefixed: bool) -> Position {
        self.backends.push(Mapped {
            name,
            always_prefixed,
        });
        self.backends.len() - 1
    }

    /// Notes that a backend lists `uri`; `false` if it did so before. Backends come in config order.
    pub(crate) fn list(&mut self, backend: Position, uri: &str) -> bool {
        claim(&self.backends, &mut self.listed, backend, uri)
    }

    /// Notes that a backend lists `template`; `false` if it did so before. Backends come in config order.
    pub(crate) fn list_template(&mut self, backend: Position, template: &str) -> bool {
        let new = claim(
            &self.backends,
            &mut self.listed_templates,
            backend,
            template,
        );
        // What is no template of RFC 6570 is listed all the same and matches nothing.
        if new && let Ok(parsed) = UriTemplate::parse(template) {
            self.matchers.push(Matcher {
                template: parsed,
                native: template.to_owned(),
                backend,
            });
        }
        new
    }

    /// Notes that a definition of a backend points at `uri`. Backends come in config order.
    pub(crate) fn link(&mut self, backend: Position, uri: &str) {
        claim(&self.backends, &mut self.linked, backend, uri);
    }

    /// Ranks the templates. To be called once everything is listed.
    pub(crate) fn seal(&mut self) {
        // Stable: among equals, config order and then the backend's own order decide.
        self.matchers
            .sort_by_key(|matcher| Reverse(matcher.template.literal_prefix().len()));
    }

    /// The backend and native URI that `uri`, as a client wrote it, belongs to.
    pub(crate) fn owner<'u>(&self, uri: &'u str) -> Option<(Position, Cow<'u, str>)> {
        if let Some(&first) = self.listed.get(uri).and_then(|backends| backends.first()) {
            return Some((first, uri.into()));
        }
        let alone = matches!(self.backends.as_slice(), [alone] if !alone.always_prefixed);
        let mut prefixed = self.split(uri);
        if let Some((backend, native)) = &prefixed {
            if self.knows(*backend, native) {
                return prefixed;
            }
            if alone {
                prefixed = None;
            }
        }
        // A template beats the backend's name in front only if it says more than that name: `{+any}` says nothing.
        let named = prefixed
            .as_ref()
            .map_or(0, |(_, native)| uri.len() - native.len());
        let says_more = |m: &&Matcher| m.template.literal_prefix().len() > named;
        let mut matchers = self.matchers.iter().take_while(says_more);
        if let Some(matcher) = matchers.find(|m| m.template.matches(uri)) {
            return Some((matcher.backend, uri.into()));
        }
        if prefixed.is_some() {
            return prefixed;
        }
        let linked = self.linked.get(uri).and_then(|backends| backends.first());
        let greedy = || {
            let mut greedy = self.matchers.iter();
            let greedy =
                greedy.find(|m| m.template.literal_prefix().is_empty() && m.template.matches(uri));
            greedy.map(|m| m.backend)
        };
        // A backend that is alone owns everything, and never hands out a prefixed form of what it does not list.
        let owner = linked
            .copied()
            .or_else(greedy)
            .or((self.backends.len() == 1).then_some(0));
        owner.map(|owner| (owner, uri.into()))
    }

    /// The backend and native template that `template`, as a client wrote it, belongs to.
    pub(crate) fn template_owner<'u>(&self, template: &'u str) -> Option<(Position, Cow<'u, str>)> {
        if let Some(&first) = self
            .listed_templates
            .get(template)
            .and_then(|backends| backends.first())
        {
            return Some((first, template.into()));
        }
        self.split(template)
            .filter(|(backend, native)| self.lists_template(*backend, native))
    }

    /// The template of `backend` that `native` matches best, as its backend wrote it.
    pub(crate) fn matching_template(&self, backend: Position, native: &str) -> Option<&str> {
        self.matchers
            .iter()
            .find(|m| m.backend == backend && m.template.matches(native))
            .map(|m| m.native.as_str())
    }

    /// How the native URI of a backend looks to clients.
    pub(crate) fn form(&self, backend: Position, native: &str) -> UriForm {
        let mapped = &self.backends[backend];
        let prefixed = || UriForm::Prefixed(prefixed_uri(&mapped.name, native));
        if mapped.always_prefixed {
            return prefixed();
        }
        match self.owner(native) {
            Some((owner, same)) if owner == backend && same == native => UriForm::Raw,
            Some(_) => prefixed(),
            None => UriForm::RawIfRemembered,
        }
    }

    /// How the native template of a backend looks to clients.
    pub(crate) fn template_form(&self, backend: Position, native: &str) -> UriForm {
        let mapped = &self.backends[backend];
        match self.template_owner(native) {
            Some((owner, _)) if owner == backend && !mapped.always_prefixed => UriForm::Raw,
            _ => UriForm::Prefixed(prefixed_uri(&mapped.name, native)),
        }
    }

    /// Whether URIs look the same on both sides, whatever they are.
    pub(crate) fn is_identity(&self) -> bool {
        match self.backends.as_slice() {
            [] => true,
            [alone] => !alone.always_prefixed,
            _ => false,
        }
    }

    /// The position of the backend called `name`.
    pub(crate) fn position(&self, name: &str) -> Option<Position> {
        self.backends
            .iter()
            .position(|mapped| mapped.name.as_str() == name)
    }

    fn split<'u>(&self, uri: &'u str) -> Option<(Position, Cow<'u, str>)> {
        let (name, native) = split_prefixed_uri(uri)?;
        Some((self.position(name)?, native))
    }

    fn knows(&self, backend: Position, native: &str) -> bool {
        let claimed = |by: &HashMap<String, Vec<Position>>| {
            by.get(native).is_some_and(|b| b.contains(&backend))
        };
        claimed(&self.listed)
            || claimed(&self.linked)
            || self.matching_template(backend, native).is_some()
    }

    fn lists_template(&self, backend: Position, native: &str) -> bool {
        self.listed_templates
            .get(native)
            .is_some_and(|backends| backends.contains(&backend))
    }
}

/// Adds `backend` to those that claim `key`. Backends that want prefixed URIs stand behind those that do not.
fn claim(
    backends: &[Mapped],
    claims: &mut HashMap<String, Vec<Position>>,
    backend: Position,
    key: &str,
) -> bool {
    let claimants = match claims.get_mut(key) {
        Some(claimants) => claimants,
        None => claims.entry(key.to_owned()).or_default(),
    };
    if claimants.contains(&backend) {
        return false;
    }
    let rank = |position: Position| (backends[position].always_prefixed, position);
    let place = claimants.partition_point(|other| rank(*other) < rank(backend));
    claimants.insert(place, backend);
    true
}

#[cfg(test)]
mod tests;
