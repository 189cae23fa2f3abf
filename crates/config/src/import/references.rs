//! What clients write as `${…}`, and what of the environment the result needs.

use serde_json::Value;

use super::writer::one_line;
use crate::yaml::is_variable;

/// Where a text stands: decides what `${workspaceFolder}` can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A path that starts at the config file's folder.
    Path,
    /// A text that a program reads, which runs in the config file's folder.
    AtHome,
    /// Any other text.
    Elsewhere,
}

/// An environment variable that the written config refers to.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) name: String,
    /// What it has to hold, in words.
    pub(super) meaning: String,
    /// The value that was in the file, to tell whether two servers mean the same.
    value: Option<String>,
}

/// Collects what the texts refer to.
#[derive(Debug, Default)]
pub(super) struct References {
    inputs: Vec<Value>,
    pub(super) needed: Vec<Needed>,
    /// Whether a text became a path from the config file's folder.
    pub(super) used_workspace: bool,
}

impl References {
    pub(super) const fn new(inputs: Vec<Value>) -> Self {
        Self {
            inputs,
            needed: Vec::new(),
            used_workspace: false,
        }
    }

    /// A text with the client's variables turned into ours.
    pub(super) fn translate(&mut self, text: &str, place: Place) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            result.push_str(&rest[..start]);
            let Some((body, after)) = rest[start + 2..].split_once('}') else {
                result.push_str("$${");
                rest = &rest[start + 2..];
                continue;
            };
            let at_start = result.is_empty();
            let whole_part = after.is_empty() || after.starts_with('/');
            if matches!(body, "workspaceFolder" | "workspaceRoot" | "cwd")
                && at_start
                && whole_part
                && place != Place::Elsewhere
            {
                self.used_workspace = true;
                result.push('.');
            } else {
                let replacement = self.variable(body);
                result.push_str(&replacement);
            }
            rest = after;
        }
        result.push_str(rest);
        result
    }

    /// The environment variable for a secret that was written out; `wanted` unless another secret has it.
    pub(super) fn secret(
        &mut self,
        wanted: &str,
        other: &str,
        value: &str,
        meaning: String,
    ) -> String {
        for name in [wanted, other] {
            let known = self.needed.iter().find(|needed| needed.name == name);
            match known.map(|needed| needed.value.as_deref()) {
                Some(Some(known)) if known == value => return name.to_owned(),
                Some(_) => {}
                None => {
                    self.need(name.to_owned(), meaning, Some(value.to_owned()));
                    return name.to_owned();
                }
            }
        }
        let numbered = (2..).map(|number| format!("{other}_{number}"));
        for name in numbered {
            if self.needed.iter().all(|needed| needed.name != name) {
                self.need(name.clone(), meaning, Some(value.to_owned()));
                return name;
            }
        }
        other.to_owned()
    }

    /// The text for `${body}`.
    fn variable(&mut self, body: &str) -> String {
        let (kind, rest) = body.split_once(':').unwrap_or(("", body));
        match (kind, rest) {
            ("", "userHome") => "${HOME}".to_owned(),
            ("", "pathSeparator" | "/") => "/".to_owned(),
            ("", "workspaceFolder" | "workspaceRoot" | "cwd") | ("workspaceFolder", _) => {
                let meaning = "the folder that the editor had open".to_owned();
                self.refer("WORKSPACE_FOLDER", meaning)
            }
            ("env", name) if is_variable(name) => {
                self.refer(name, "as in the environment of the editor".to_owned())
            }
            ("input", id) => self.input(id),
            // As Claude Code writes it: `${X}` and `${X:-default}`, which is our own form.
            (name, default) if is_variable(name) && default.starts_with('-') => {
                format!("${{{body}}}")
            }
            ("", name) if is_variable(name) && !EDITOR_VARIABLES.contains(&name) => {
                self.refer(name, "as in the environment of the client".to_owned())
            }
            _ => {
                let meaning = format!("what `${{{}}}` meant to the client", one_line(body));
                self.refer(&variable_name(body), meaning)
            }
        }
    }

    /// What the editor asked its user for.
    fn input(&mut self, id: &str) -> String {
        let input = self
            .inputs
            .iter()
            .find(|input| input.get("id").and_then(Value::as_str) == Some(id));
        let field = |key: &str| input?.get(key)?.as_str().map(str::to_owned);
        let name = variable_name(id);
        let meaning =
            field("description").unwrap_or_else(|| format!("the input `{}`", one_line(id)));
        let secret = input.and_then(|input| input.get("password")) == Some(&Value::Bool(true));
        match field("default")
            .filter(|default| !secret && !default.is_empty() && !default.contains(['}', '$']))
        {
            Some(default) => format!("${{{name}:-{default}}}"),
            None => self.refer(&name, one_line(&meaning)),
        }
    }

    fn refer(&mut self, name: &str, meaning: String) -> String {
        if self.needed.iter().all(|needed| needed.name != name) {
            self.need(name.to_owned(), meaning, None);
        }
        format!("${{{name}}}")
    }

    fn need(&mut self, name: String, meaning: String, value: Option<String>) {
        self.needed.push(Needed {
            name,
            meaning,
            value,
        });
    }
}

/// The variable, if `text` is nothing but one reference without a default.
pub(super) fn only_reference(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    is_variable(name).then_some(name)
}

/// Words joined as the name of an environment variable.
pub(super) fn variable_name(words: &str) -> String {
    let mut name = String::new();
    for character in words.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_uppercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_matches('_');
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("VALUE_{name}").trim_end_matches('_').to_owned()
    }
}

/// Variables of editors that look like variables of the environment.
const EDITOR_VARIABLES: [&str; 6] = [
    "workspaceFolderBasename",
    "file",
    "fileDirname",
    "relativeFile",
    "execPath",
    "defaultBuildTask",
];
