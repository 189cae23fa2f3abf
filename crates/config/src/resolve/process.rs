//! Programs to start.

use std::path::PathBuf;

use super::{Resolver, env_file};
use crate::config::{Located, Process, ProcessLimits, Secret};
use crate::document;
use crate::yaml::{Entries, Spanned};

impl Resolver<'_> {
    pub(super) fn process(&mut self, written: document::Process, path: &str) -> Process {
        let command = self.command(&written.command, path);
        let mut variables = Variables::default();
        self.inherit(&written, path, &mut variables);
        if let Some(file) = &written.env_file {
            self.env_file(file, path, &mut variables);
        }
        self.env(written.env, path, &mut variables);
        let args = written.args.unwrap_or_default();
        if args.iter().any(|argument| argument.contains('\0')) {
            let path = format!("{path}.args");
            self.complaints.add(
                written.command.mark,
                path,
                "an argument cannot hold a zero byte",
            );
        }
        let directory = match written.directory {
            Some(directory) => {
                let location = self.complaints.location(directory.mark);
                Located::new(self.path(&directory), location)
            }
            None => Located::nowhere(self.folder.clone()),
        };
        Process {
            command,
            args,
            env: variables.0,
            directory,
            limits: limits(written.limits.as_ref()),
        }
    }

    /// A path is taken from the config file's folder, a bare name is left for `PATH`.
    fn command(&mut self, written: &Spanned<String>, path: &str) -> Located<PathBuf> {
        let text = written.value.as_str();
        if text.is_empty() || text.contains('\0') {
            let path = format!("{path}.command");
            self.complaints
                .add(written.mark, path, "not the name of a program");
        } else if text.contains(char::is_whitespace) && !text.contains('/') {
            let path = format!("{path}.command");
            let message = "a program's name and arguments in one text: no shell takes them apart";
            self.complaints.add_with_help(
                written.mark,
                path,
                message,
                "put the arguments into `args`",
            );
        }
        let command = if text.contains('/') {
            self.path(text)
        } else {
            PathBuf::from(text)
        };
        Located::new(command, self.complaints.location(written.mark))
    }

    fn inherit(&mut self, written: &document::Process, path: &str, variables: &mut Variables) {
        let named = written.inherit_env.as_deref().unwrap_or_default();
        for (index, pattern) in named.iter().enumerate() {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            if name.contains(['*', '=', '\0']) || (name.is_empty() && !pattern.ends_with('*')) {
                let path = format!("{path}.inherit_env[{index}]");
                let message = "not the name of an environment variable";
                self.complaints.add_with_help(
                    pattern.mark,
                    path,
                    message,
                    "`*` may stand at the end only",
                );
            }
        }
        let patterns = || {
            INHERITED
                .into_iter()
                .chain(named.iter().map(|pattern| pattern.value.as_str()))
        };
        let wanted = |name: &str| {
            patterns().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
        };
        for (name, value) in self.environment.variables() {
            if wanted(name) {
                variables.set(name, Secret::new(value));
            }
        }
    }

    fn env_file(&mut self, file: &Spanned<String>, path: &str, variables: &mut Variables) {
        let path = format!("{path}.env_file");
        let Some(text) = self.read(file, file.mark, &path) else {
            return;
        };
        match env_file::parse(&text) {
            Ok(all) => {
                for (name, value) in all {
                    variables.set(&name, Secret::new(value));
                }
            }
            Err(lines) => {
                for line in lines {
                    let message = format!("line {line} of `{}` is not `NAME=value`", file.value);
                    self.complaints.add(file.mark, path.as_str(), message);
                }
            }
        }
    }

    fn env(
        &mut self,
        written: Option<Entries<Spanned<document::Secret>>>,
        path: &str,
        variables: &mut Variables,
    ) {
        for (name, value) in written.map(|entries| entries.0).unwrap_or_default() {
            let path = format!("{path}.env.{}", name.value);
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = "not the name of an environment variable";
                self.complaints.add(name.mark, path.as_str(), message);
            }
            let Some(secret) = self.secret(&value, &path) else {
                continue;
            };
            if secret.expose().contains('\0') {
                let message = "a variable cannot hold a zero byte";
                self.complaints.add(value.mark, path, message);
            }
            variables.set(&name, secret);
        }
    }
}

/// Variables in the order they came, each once: the last value counts.
#[derive(Default)]
struct Variables(Vec<(String, Secret)>);

impl Variables {
    fn set(&mut self, name: &str, value: Secret) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

fn limits(written: Option<&document::ProcessLimits>) -> ProcessLimits {
    written.map_or_else(ProcessLimits::default, |written| ProcessLimits {
        memory: written.memory.map(|size| size.0),
        open_files: written.open_files,
        processes: written.processes,
    })
}

/// What every child gets (design §5): what programs need to run at all, and nothing that may be secret.
const INHERITED: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_*",
];
