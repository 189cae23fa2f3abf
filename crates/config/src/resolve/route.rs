//! Routes.

use std::collections::HashMap;

use super::Resolver;
use super::authentication::Callers;
use super::backend::ResolvedBackend;
use crate::config::{Alphabet, Glob, Names, Override, Route, Shaping};
use crate::diagnostics::Mark;
use crate::document::{self, AlphabetWord};
use crate::yaml::{Entries, Spanned, suggest};

impl Resolver<'_> {
    pub(super) fn routes(
        &mut self,
        written: Option<Entries<document::Route>>,
        backends: &[ResolvedBackend],
        callers: &Callers,
    ) -> Vec<Route> {
        let Some(written) = written else {
            let mut route = Route::new("/mcp");
            route.authentication.methods.clone_from(&callers.common);
            route.backends = names_of(backends);
            let mark = Mark { line: 1, column: 1 };
            self.prefixes(&route, backends, mark);
            return vec![route];
        };
        if written.0.is_empty() {
            let mark = Mark { line: 1, column: 1 };
            self.complaints.add_with_help(
                mark,
                "routes",
                "no route",
                "write `/mcp: {}` or leave `routes` out",
            );
        }
        let mut taken: HashMap<String, String> = RESERVED
            .iter()
            .map(|path| ((*path).to_owned(), "the gateway itself".to_owned()))
            .collect();
        let mut routes = Vec::new();
        for (path, written) in written.0 {
            self.route_path(&path, written.legacy_sse != Some(false), &mut taken);
            routes.push(self.route(&path, written, backends, callers));
        }
        routes
    }

    fn route(
        &mut self,
        name: &Spanned<String>,
        written: document::Route,
        backends: &[ResolvedBackend],
        callers: &Callers,
    ) -> Route {
        let path = format!("routes.{}", name.value);
        let mut route = Route::new(&name.value);
        route.location = Some(self.complaints.location(name.mark));
        route.backends = match written.backends {
            Some(chosen) => self.chosen(&chosen, &path),
            None => names_of(backends),
        };
        route.names = names(written.names.as_ref());
        if let Some(cold_start) = written.cold_start {
            route.cold_start = cold_start.0;
        }
        if let Some(first_page) = written.first_page {
            route.first_page = first_page;
        }
        if let Some(legacy_sse) = written.legacy_sse {
            route.legacy_sse = legacy_sse;
        }
        route.public_url = self.public_url(written.public_url.as_ref(), &path);
        route.authentication = self.authentication(
            written.authentication.as_deref(),
            written.required_scopes.as_deref(),
            &name.value,
            callers,
        );
        route.authorization = written
            .authorization
            .map(|written| self.authorization(written, &format!("{path}.authorization")));
        self.prefixes(&route, backends, name.mark);
        let prefixes = prefixes_of(&route, backends);
        for (place, written, kind) in [
            (&mut route.tools, written.tools, "tools"),
            (&mut route.prompts, written.prompts, "prompts"),
        ] {
            let path = format!("{path}.{kind}");
            if let Some(written) = written {
                *place = self.shaping(written, &path, route.names, &prefixes);
            }
        }
        if let Some(written) = written.resources {
            route.resources = Shaping {
                include: globs(written.include),
                exclude: globs(written.exclude),
                rename: Vec::new(),
                overrides: overrides(written.overrides),
            };
        }
        route
    }

    fn route_path(
        &mut self,
        path: &Spanned<String>,
        legacy_sse: bool,
        taken: &mut HashMap<String, String>,
    ) {
        let key = format!("routes.{}", path.value);
        let text = path.value.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        let problem = if !text.starts_with('/') {
            Some(("a path begins with `/`", format!("write `/{text}`")))
        } else if text.len() > 1 && text.ends_with('/') {
            let shorter = text.trim_end_matches('/');
            Some(("a path does not end with `/`", format!("write `{shorter}`")))
        } else if text.starts_with("/.well-known/") {
            let help = "clients look there for what the gateway says of itself";
            Some((
                "paths below `/.well-known` are the gateway's own",
                help.to_owned(),
            ))
        } else if !text.chars().all(plain)
            || text.contains("//")
            || text.split('/').any(|part| matches!(part, "." | ".."))
        {
            let help = "use letters, digits, `-`, `.`, `_`, `~`, and single `/`";
            Some(("not a plain path", help.to_owned()))
        } else {
            None
        };
        if let Some((message, help)) = problem {
            self.complaints.add_with_help(path.mark, key, message, help);
            return;
        }
        let base = text.trim_end_matches('/');
        let mut wanted = vec![text.to_owned()];
        if legacy_sse {
            wanted.extend([format!("{base}/sse"), format!("{base}/messages")]);
        }
        for wanted in wanted {
            if let Some(owner) = taken.insert(wanted.clone(), format!("route `{text}`")) {
                let message = format!("`{wanted}` already belongs to {owner}");
                let help = if RESERVED.contains(&wanted.as_str()) {
                    "choose another path"
                } else {
                    "choose another path, or say `legacy_sse: false`"
                };
                self.complaints
                    .add_with_help(path.mark, key.as_str(), message, help);
            }
        }
    }

    /// The backends that a route names.
    fn chosen(&mut self, chosen: &[Spanned<String>], path: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (index, name) in chosen.iter().enumerate() {
            let path = format!("{path}.backends[{index}]");
            if names.contains(&name.value) {
                let message = format!("`{}` is there twice", name.value);
                self.complaints.add(name.mark, path, message);
            } else if self
                .written_backends
                .iter()
                .any(|known| known.value == name.value)
            {
                names.push(name.value.clone());
            } else {
                let message = format!("no backend is called `{}`", name.escape_debug());
                let known = self.written_backends.iter().map(|known| known.as_str());
                let help = match suggest(name, known) {
                    Some(guess) => format!("did you mean `{guess}`?"),
                    None => "add it to `backends`, or take it out here".to_owned(),
                };
                self.complaints
                    .add_with_help(name.mark, path, message, help);
            }
        }
        names
    }

    /// What of name collisions can be known before any backend has said what it offers.
    fn prefixes(&mut self, route: &Route, backends: &[ResolvedBackend], route_mark: Mark) {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for backend in backends {
            let (name, prefix) = (backend.value.name.as_str(), backend.value.prefix.as_str());
            if prefix.is_empty() || !route.backends.iter().any(|known| known == name) {
                continue;
            }
            if let Some(first) = seen.insert(prefix, name) {
                let path = format!("backends.{name}");
                if !self.complaints.mention(&path) {
                    let message = format!(
                        "its names would collide with those of `{first}`: both have the prefix `{prefix}`"
                    );
                    self.complaints.add_with_help(
                        backend.prefix_mark,
                        path,
                        message,
                        "give one of them another `prefix`, or put them on different routes",
                    );
                }
            }
            if prefix.len() + SHORTEST_REST > route.names.budget {
                let message = format!(
                    "the prefix `{prefix}` leaves no room in names of {} characters",
                    route.names.budget
                );
                let path = format!("routes.{}", route.path);
                self.complaints.add_with_help(
                    route_mark,
                    path,
                    message,
                    "raise `names.budget`, or give the backend a shorter `prefix`",
                );
            }
        }
    }

    fn shaping(
        &mut self,
        written: document::Shaping,
        path: &str,
        names: Names,
        prefixes: &Prefixes,
    ) -> Shaping {
        let mut rename: Vec<(String, String)> = Vec::new();
        for (from, to) in written.rename.map(|entries| entries.0).unwrap_or_default() {
            let path = format!("{path}.rename.{}", from.value);
            self.exposed_name(&from, &path, prefixes);
            if to.is_empty()
                || to.chars().count() > names.budget
                || !to.chars().all(|c| names.alphabet.allows(c))
            {
                let message = format!("`{}` cannot be a name here", to.escape_debug());
                let help = format!(
                    "use 1 to {} characters of {}",
                    names.budget,
                    alphabet_words(names.alphabet)
                );
                self.complaints
                    .add_with_help(to.mark, path.as_str(), message, help);
            }
            if let Some((other, _)) = rename.iter().find(|(_, known)| *known == to.value) {
                let message = format!("`{}` is already the new name of `{other}`", to.value);
                self.complaints.add(to.mark, path, message);
            }
            rename.push((from.value, to.value));
        }
        if let Some(entries) = &written.overrides {
            for (name, _) in &entries.0 {
                let path = format!("{path}.override.{}", name.value);
                self.exposed_name(name, &path, prefixes);
            }
        }
        Shaping {
            include: globs(written.include),
            exclude: globs(written.exclude),
            rename,
            overrides: overrides(written.overrides),
        }
    }

    /// Complains about a name that no backend of the route can have.
    fn exposed_name(&mut self, name: &Spanned<String>, path: &str, prefixes: &Prefixes) {
        let Prefixes::All(prefixes) = prefixes else {
            return;
        };
        let begins_well = |prefix: &String| {
            name.strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with("__"))
        };
        if prefixes.iter().any(begins_well) {
            return;
        }
        let message = format!(
            "no backend of this route has names like `{}`",
            name.escape_debug()
        );
        let guess = name.split_once("__").and_then(|(prefix, rest)| {
            let guess = suggest(prefix, prefixes.iter().map(String::as_str))?;
            Some(format!("did you mean `{guess}__{rest}`?"))
        });
        let help = guess.unwrap_or_else(|| {
            "write the exposed name: the backend's prefix, `__`, and its own name".to_owned()
        });
        self.complaints
            .add_with_help(name.mark, path, message, help);
    }
}

/// With what the names of a route can begin.
enum Prefixes {
    /// With anything: a backend has no prefix, or one with mistakes.
    Open,
    /// With one of these and `__`.
    All(Vec<String>),
}

fn prefixes_of(route: &Route, backends: &[ResolvedBackend]) -> Prefixes {
    let mut prefixes = Vec::new();
    for name in &route.backends {
        match backends.iter().find(|backend| backend.value.name == *name) {
            Some(backend) if !backend.value.prefix.is_empty() => {
                prefixes.push(backend.value.prefix.clone());
            }
            _ => return Prefixes::Open,
        }
    }
    Prefixes::All(prefixes)
}

fn names_of(backends: &[ResolvedBackend]) -> Vec<String> {
    backends
        .iter()
        .map(|backend| backend.value.name.clone())
        .collect()
}

fn names(written: Option<&document::Names>) -> Names {
    let default = Names::default();
    let Some(written) = written else {
        return default;
    };
    Names {
        alphabet: match written.alphabet {
            Some(AlphabetWord::Portable) | None => Alphabet::Portable,
            Some(AlphabetWord::Specification) => Alphabet::Specification,
            Some(AlphabetWord::Any) => Alphabet::Any,
        },
        budget: written.budget.unwrap_or(default.budget),
    }
}

fn globs(written: Option<Vec<String>>) -> Vec<Glob> {
    let written = written.unwrap_or_default();
    written.into_iter().map(Glob::new).collect()
}

fn overrides(written: Option<Entries<document::Override>>) -> Vec<(String, Override)> {
    let written = written.map(|entries| entries.0).unwrap_or_default();
    written
        .into_iter()
        .map(|(name, words)| {
            let words = Override {
                title: words.title,
                description: words.description,
                annotations: words.annotations,
            };
            (name.value, words)
        })
        .collect()
}

const fn alphabet_words(alphabet: Alphabet) -> &'static str {
    match alphabet {
        Alphabet::Portable => "letters, digits, `_` and `-`",
        Alphabet::Specification => "letters, digits, `_`, `-` and `.`",
        Alphabet::Any => "any kind",
    }
}

/// Paths that the gateway answers itself.
const RESERVED: [&str; 2] = ["/healthz", "/readyz"];

/// `__`, one character of the name, `_` and six characters of a hash (design §6).
const SHORTEST_REST: usize = 10;
