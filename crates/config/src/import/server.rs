//! One server of a client's list as one backend.

use serde_json::{Map, Value};

use super::references::{Place, References, only_reference, variable_name};
use super::secrets::{has_secret_name, has_secret_value, looks_secret};
use super::writer::{list, one_line, scalar};

/// A backend as it will stand in the file.
pub(super) struct Draft {
    /// The lines below its name, indented from 0.
    pub(super) lines: Vec<String>,
    /// What a person has to know.
    pub(super) remarks: Vec<String>,
    /// Whether it can be used: else its lines become comments.
    pub(super) usable: bool,
}

/// Writes `server` as the backend `name`.
pub(super) fn draft(name: &str, server: &Map<String, Value>, references: &mut References) -> Draft {
    let mut drafter = Drafter {
        name,
        server,
        references,
        draft: Draft {
            lines: Vec::new(),
            remarks: Vec::new(),
            usable: true,
        },
    };
    drafter.write();
    drafter.draft
}

struct Drafter<'a> {
    name: &'a str,
    server: &'a Map<String, Value>,
    references: &'a mut References,
    draft: Draft,
}

impl Drafter<'_> {
    fn write(&mut self) {
        let kind = self.text("type").or_else(|| self.text("transport"));
        let kind = kind.map(|kind| kind.to_ascii_lowercase().replace(['-', '_'], ""));
        let url = ["url", "serverUrl", "httpUrl"]
            .into_iter()
            .find_map(|key| self.text(key));
        match (kind.as_deref(), url) {
            (None | Some("stdio" | "local"), None) => self.stdio(),
            (Some("sse"), Some(url)) => self.remote("sse", &url),
            (None, Some(url)) if url.trim_end_matches('/').ends_with("/sse") => {
                self.remark("its URL ends in `/sse`, so it is taken for HTTP+SSE; if it is not, write `http: {urls: […]}`");
                self.remote("sse", &url);
            }
            (None | Some("http" | "streamablehttp" | "remote" | "httpstream"), Some(url)) => {
                self.remote("http", &url);
            }
            (Some("stdio" | "local"), Some(_)) => self.stdio(),
            (Some(other), _) => {
                let text = format!(
                    "its type `{}` is not one that isthmus knows",
                    one_line(other)
                );
                self.unusable(text);
            }
        }
        self.leftovers();
        let off = |key: &str, value: bool| self.server.get(key) == Some(&Value::Bool(value));
        if off("disabled", true) || off("enabled", false) {
            self.unusable("it was disabled; take the `#` away to use it");
        }
    }

    fn stdio(&mut self) {
        let Some(command) = self.text("command") else {
            self.unusable("it has neither a `command` nor a `url`");
            return;
        };
        let mut args = self.texts("args");
        let mut command = command;
        if matches!(command.to_ascii_lowercase().as_str(), "cmd" | "cmd.exe")
            && args.len() > 1
            && args[0].eq_ignore_ascii_case("/c")
        {
            command = args[1].clone();
            args.drain(..2);
            self.remark("`cmd /c`, which is for Windows, was left out");
        }
        if command.contains(' ') && !command.contains(['/', '\\']) {
            let mut words = command.split_whitespace().map(str::to_owned);
            let first = words.next().unwrap_or_default();
            args.splice(0..0, words);
            command = first;
            self.remark("its command was taken apart at the spaces");
        }
        let directory = ["cwd", "workingDirectory"]
            .into_iter()
            .find_map(|key| self.text(key));
        let place = match directory.as_deref() {
            None | Some("${workspaceFolder}" | "${workspaceFolder}/" | "." | "./") => Place::AtHome,
            Some(_) => Place::Elsewhere,
        };
        self.line(0, "stdio:");
        let command = self.references.translate(&command, Place::Path);
        self.line(1, &format!("command: {}", scalar(&command)));
        self.args(&args, place);
        self.env(place);
        if let Some(file) = self.text("envFile") {
            let file = self.references.translate(&file, Place::Path);
            self.line(1, &format!("env_file: {}", scalar(&file)));
        }
        if let Some(directory) = directory {
            let directory = self.references.translate(&directory, Place::Path);
            self.line(1, &format!("directory: {}", scalar(&directory)));
        }
    }

    fn args(&mut self, args: &[String], place: Place) {
        if args.is_empty() {
            return;
        }
        let mut written = Vec::new();
        let mut flag_before: Option<&str> = None;
        for argument in args {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (Some(flag), value),
                _ => (flag_before, argument.as_str()),
            };
            let is_flag = argument.starts_with('-');
            let start = &argument[..argument.len() - value.len()];
            let is_value = !is_flag || !start.is_empty();
            let secret = is_value
                && !value.contains("${")
                && (flag.is_some_and(|flag| looks_secret(flag, value)) || has_secret_value(value));
            if secret {
                let flag = flag.unwrap_or("secret").trim_start_matches('-');
                let reference =
                    self.hidden(flag, value, &format!("the argument `{}`", one_line(flag)));
                written.push(format!("{start}{reference}"));
            } else {
                written.push(self.references.translate(argument, place));
            }
            flag_before = (is_flag && !argument.contains('=')).then_some(argument);
        }
        let line = format!("args: {}", list(&written));
        if line.len() <= 110 {
            self.line(1, &line);
            return;
        }
        self.line(1, "args:");
        for argument in &written {
            self.line(2, &format!("- {}", scalar(argument)));
        }
    }

    fn env(&mut self, place: Place) {
        let variables = self.members("env");
        if variables.is_empty() {
            return;
        }
        self.line(1, "env:");
        for (name, value) in variables {
            let written = if looks_secret(&name, &value) && !value.contains("${") {
                let meaning = format!("`env.{}` of server `{}`", one_line(&name), self.name);
                let wanted = variable_name(&name);
                let other = variable_name(&format!("{} {name}", self.name));
                let wanted = if wanted == name {
                    wanted
                } else {
                    other.clone()
                };
                let variable = self.references.secret(&wanted, &other, &value, meaning);
                format!("{{env: {variable}}}")
            } else {
                self.value(&value, place)
            };
            self.line(2, &format!("{}: {written}", scalar(&name)));
        }
    }

    fn remote(&mut self, kind: &str, url: &str) {
        let url = self.url(url);
        self.line(0, &format!("{kind}:"));
        if kind == "http" {
            self.line(1, &format!("urls: [{}]", scalar(&url)));
        } else {
            self.line(1, &format!("url: {}", scalar(&url)));
        }
        let headers = self.members("headers");
        if headers.is_empty() {
            return;
        }
        self.line(1, "headers:");
        for (name, value) in headers {
            let written = if looks_secret(&name, &value) && !value.contains("${") {
                self.secret_header(&name, &value)
            } else {
                self.value(&value, Place::Elsewhere)
            };
            self.line(2, &format!("{}: {written}", scalar(&name)));
        }
    }

    /// A scheme such as `Bearer` stays readable, what follows it does not.
    fn secret_header(&mut self, name: &str, value: &str) -> String {
        let what = format!("the header `{}`", one_line(name));
        match value.split_once(' ') {
            Some((scheme, secret)) if scheme.chars().all(|c| c.is_ascii_alphabetic()) => {
                let reference = self.hidden("token", secret, &format!("{what} after `{scheme} `"));
                scalar(&format!("{scheme} {reference}"))
            }
            _ => {
                let reference = self.hidden(name, value, &what);
                match only_reference(&reference) {
                    Some(variable) => format!("{{env: {variable}}}"),
                    None => scalar(&reference),
                }
            }
        }
    }

    /// Takes out what a URL in a config must not hold, and hides the secrets among its parameters.
    fn url(&mut self, url: &str) -> String {
        let mut url = url.split('#').next().unwrap_or_default().to_owned();
        if let Some((scheme, rest)) = url.split_once("://") {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            if let Some((_, host)) = rest[..end].rsplit_once('@') {
                url = format!("{scheme}://{host}{}", &rest[end..]);
                self.remark("the user and password in its URL were left out: send them as a header, `Authorization: {env: NAME}`");
            }
        }
        let Some((base, query)) = url.split_once('?') else {
            return self.references.translate(&url, Place::Elsewhere);
        };
        let base = self.references.translate(base, Place::Elsewhere);
        let mut parameters = Vec::new();
        for parameter in query.split('&') {
            parameters.push(match parameter.split_once('=') {
                Some((name, value)) if looks_secret(name, value) && !value.contains("${") => {
                    let what = format!("the parameter `{}` of the URL", one_line(name));
                    format!("{name}={}", self.hidden(name, value, &what))
                }
                _ => self.references.translate(parameter, Place::Elsewhere),
            });
        }
        format!("{base}?{}", parameters.join("&"))
    }

    /// A reference to a new variable that has to hold `value`.
    fn hidden(&mut self, word: &str, value: &str, what: &str) -> String {
        let wanted = variable_name(&format!("{} {word}", self.name));
        let meaning = format!("{what} of server `{}`", self.name);
        let variable = self.references.secret(&wanted, &wanted, value, meaning);
        format!("${{{variable}}}")
    }

    /// A text, or a typed reference if it is nothing else.
    fn value(&mut self, value: &str, place: Place) -> String {
        let text = self.references.translate(value, place);
        match only_reference(&text) {
            Some(variable) => format!("{{env: {variable}}}"),
            None => scalar(&text),
        }
    }

    /// Says which settings have no counterpart.
    fn leftovers(&mut self) {
        let lost: Vec<String> = self
            .server
            .iter()
            .filter(|(key, value)| !READ.contains(&key.as_str()) && !is_nothing(value))
            .map(|(key, _)| format!("`{}`", one_line(key)))
            .collect();
        if !lost.is_empty() {
            let text = format!(
                "settings without a counterpart were left out: {}",
                lost.join(", ")
            );
            self.remark(text);
        }
        let secret_left = self
            .server
            .keys()
            .any(|key| !READ.contains(&key.as_str()) && has_secret_name(key));
        if secret_left {
            self.remark(
                "one of them may be how it authenticates: see `headers` and `env` in the reference",
            );
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        self.server
            .get(key)?
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        match self.server.get(key) {
            Some(Value::Array(items)) => items.iter().filter_map(as_text).collect(),
            Some(Value::String(one)) => one.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    fn members(&self, key: &str) -> Vec<(String, String)> {
        let members = self.server.get(key).and_then(Value::as_object);
        members
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), as_text(value)?)))
            .collect()
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.draft
            .lines
            .push(format!("{}{text}", "  ".repeat(depth)));
    }

    fn remark(&mut self, text: impl Into<String>) {
        self.draft.remarks.push(text.into());
    }

    fn unusable(&mut self, text: impl Into<String>) {
        self.remark(text);
        self.draft.usable = false;
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether leaving a setting out changes nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Settings that are read above, or say nothing that matters here.
const READ: [&str; 17] = [
    "args",
    "command",
    "cwd",
    "description",
    "disabled",
    "enabled",
    "env",
    "envFile",
    "gallery",
    "headers",
    "httpUrl",
    "serverUrl",
    "transport",
    "type",
    "url",
    "version",
    "workingDirectory",
];
