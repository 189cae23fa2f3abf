//! From document to config: references followed, defaults filled in, everything checked.
//!
//! Each part adds what is wrong to the resolver's complaints and goes on with something harmless, so that one reading
//! reports every mistake. A config leaves this module only if there was none.

mod audit;
mod authentication;
mod authorization;
mod backend;
mod bounds;
mod credentials;
mod env_file;
mod http;
mod listener;
mod login;
mod process;
mod route;
mod secret;
mod tls;
mod who_may_call;

pub(crate) use backend::is_backend_name;
pub(crate) use credentials::{FORWARDED, INSTEAD};

use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use crate::config::{Config, Log, LogFormat, SealKey};
use crate::diagnostics::{Complaints, Diagnostics, Mark};
use crate::document::{self, Document, LogWord};
use crate::environment::Environment;
use crate::yaml::{self, Node, Spanned};

/// Reads the config in `path`, with the process's environment.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    let environment = Environment::of_process();
    let bytes = std::fs::read(environment.directory().join(path))
        .map_err(|error| Diagnostics::about_file(path, format!("cannot be read: {error}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Diagnostics::about_file(path, "is not UTF-8 text"))?;
    parse(&text, path, &environment)
}

/// Reads a config from `text`, as if it stood in `path`: relative paths start at its folder. Reads the files that the
/// document refers to.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Config, Diagnostics> {
    let mut complaints = Complaints::new(path);
    let Some(mut tree) = yaml::parse(text, &mut complaints) else {
        return complaints.unless_any(Config::default());
    };
    yaml::interpolate(&mut tree, "", environment, &mut complaints);
    let Some(sound) = yaml::check(&tree, &SCHEMA, &mut complaints) else {
        return complaints.unless_any(Config::default());
    };
    let document = match yaml::from_node::<Document>(&sound) {
        Ok(document) => document,
        Err(defect) => {
            let message =
                format!("the schema and its types disagree, a defect of isthmus: {defect}");
            complaints.add(sound.mark, "", message);
            return complaints.unless_any(Config::default());
        }
    };
    let file = clean(&environment.directory().join(path));
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut resolver = Resolver {
        environment,
        folder,
        complaints,
        files: vec![file],
        written_backends: keys_of(&tree, "backends"),
    };
    let config = resolver.config(document);
    resolver.complaints.unless_any(config)
}

/// What every part needs.
struct Resolver<'a> {
    environment: &'a Environment,
    /// The config file's folder, absolute.
    folder: PathBuf,
    complaints: Complaints,
    /// Every file read.
    files: Vec<PathBuf>,
    /// Names of all backends in the file, also of those with mistakes: naming one of these is not another mistake.
    written_backends: Vec<Spanned<String>>,
}

impl Resolver<'_> {
    fn config(&mut self, document: Document) -> Config {
        let backends = self.backends(document.backends);
        let callers = self.callers(document.api_keys, document.authentication.as_deref());
        let rules = document
            .authorization
            .map(|written| self.authorization(written, "authorization"));
        let mut listeners = self.listeners(document.listeners);
        let mut routes = self.routes(document.routes, &backends, &callers);
        for route in &mut routes {
            route.authorization = route.authorization.take().or_else(|| rules.clone());
        }
        self.who_may_call(&mut listeners, &routes, &callers);
        Config {
            listeners: listeners.into_iter().map(|found| found.value).collect(),
            routes,
            backends: backends.into_iter().map(|found| found.value).collect(),
            bounds: self.bounds(document.bounds),
            state_directory: self.state_directory(document.state_directory),
            seal_keys: self.seal_keys(document.seal_keys.unwrap_or_default()),
            log: Self::log(document.log),
            audit: document.audit.map(|audit| self.audit(audit)),
            files: std::mem::take(&mut self.files),
        }
    }

    fn state_directory(&self, written: Option<Spanned<String>>) -> Option<PathBuf> {
        if let Some(written) = written {
            return Some(self.path(&written));
        }
        let home = || Some(Path::new(self.environment.filled("HOME")?).join(".local/state"));
        let state = self.environment.filled("XDG_STATE_HOME").map(PathBuf::from);
        Some(state.or_else(home)?.join("isthmus"))
    }

    fn seal_keys(&mut self, written: Vec<document::SealKey>) -> Vec<SealKey> {
        let mut keys: Vec<SealKey> = Vec::new();
        for (index, written) in written.into_iter().enumerate() {
            let path = format!("seal_keys[{index}]");
            if keys.iter().any(|key| key.id == written.id.value) {
                let message = format!("key {} is there twice", written.id.value);
                self.complaints
                    .add(written.id.mark, format!("{path}.id"), message);
            }
            let path = format!("{path}.key");
            let Some(key) = self.secret(&written.key, &path) else {
                continue;
            };
            let key = SealKey {
                id: written.id.value,
                key,
            };
            if key.bytes().is_none() {
                self.complaints.add_with_help(
                    written.key.mark,
                    path,
                    "not a key of 64 hexadecimal digits",
                    "make one by `openssl rand -hex 32`",
                );
            }
            keys.push(key);
        }
        keys
    }

    fn log(written: Option<document::Log>) -> Log {
        let mut log = Log::default();
        let Some(written) = written else { return log };
        if let Some(filter) = written.filter {
            log.filter = filter;
        }
        log.format = match written.format {
            Some(LogWord::Json) => LogFormat::Json,
            Some(LogWord::Text) | None => LogFormat::Text,
        };
        log
    }

    /// A path as written, from the config file's folder or the home folder.
    fn path(&self, written: &str) -> PathBuf {
        let home = written
            .strip_prefix("~/")
            .and_then(|rest| Some(Path::new(self.environment.filled("HOME")?).join(rest)));
        match home {
            Some(path) => clean(&path),
            None => clean(&self.folder.join(written)),
        }
    }

    /// Reads a file the document names. Complains if that is not possible.
    fn read(&mut self, written: &str, mark: Mark, key: &str) -> Option<String> {
        let path = self.path(written);
        if !self.files.contains(&path) {
            self.files.push(path.clone());
        }
        let text = match std::fs::metadata(&path) {
            Ok(facts) if facts.len() > MAX_FILE => Err("is too large".to_owned()),
            Ok(facts) if facts.is_dir() => Err("is a folder".to_owned()),
            _ => match std::fs::read(&path) {
                Ok(bytes) => String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()),
                Err(error) => Err(format!("cannot be read: {error}")),
            },
        };
        match text {
            Ok(text) => Some(text),
            Err(why) => {
                let message = format!("`{}` {why}", path.display());
                self.complaints.add(mark, key, message);
                None
            }
        }
    }
}

/// Takes out `.` and resolves `..` by name.
fn clean(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if result.file_name().is_some() => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

fn keys_of(tree: &Node, key: &str) -> Vec<Spanned<String>> {
    let entries = tree.get(key).map_or(&[][..], Node::entries);
    entries
        .iter()
        .map(|entry| Spanned {
            value: entry.key.clone(),
            mark: entry.key_mark,
        })
        .collect()
}

/// Secrets and lists of variables are small.
const MAX_FILE: u64 = 1 << 20;

static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(document::json_schema);
