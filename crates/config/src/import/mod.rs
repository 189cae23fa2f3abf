//! A client's list of servers as a `gateway.yaml`.
//!
//! Reads what Claude Desktop, Claude Code, VS Code and Cursor write. Nothing is lost in silence: what has no counterpart
//! becomes a remark, and a server that cannot be used becomes a comment. Secrets that were written out become
//! references, with a remark that says what to export. What comes out loads, once that has been exported.

mod json_comments;
mod references;
mod secrets;
mod server;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::Location;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::resolve::{is_backend_name, parse};
use references::References;
use server::Draft;
use writer::one_line;

/// What an import made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The config, with the remarks as comments.
    pub yaml: String,
    /// What a person has to know or do.
    pub remarks: Vec<Remark>,
}

/// Something a person has to know or do after an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The server in the imported file, if it is about one.
    pub server: Option<String>,
    /// One sentence, without a full stop. Never a secret.
    pub text: String,
}

/// Turns a client's list of servers, read from `file`, into a config.
///
/// # Errors
///
/// What keeps the text from being such a list: not JSON (comments and trailing commas are fine), or no `mcpServers` and
/// no `servers` in it.
pub fn import(text: &str, file: &Path) -> Result<Imported, Diagnostics> {
    let text = json_comments::strip(text.strip_prefix('\u{feff}').unwrap_or(text));
    let root: Value = serde_json::from_str(&text).map_err(|error| not_json(&error, file))?;
    let servers = servers(&root).ok_or_else(|| no_servers(file))?;
    let inputs = [root.get("inputs"), root.pointer("/mcp/inputs")];
    let inputs = inputs.into_iter().flatten().find_map(Value::as_array);
    let mut references = References::new(inputs.cloned().unwrap_or_default());
    let mut blocks = Vec::new();
    let mut taken = HashSet::new();
    for (name, server) in servers {
        blocks.push(Block::new(name, server, &mut taken, &mut references));
    }
    Ok(assemble(blocks, &references, file))
}

/// One backend of the result.
struct Block {
    original: String,
    name: String,
    draft: Draft,
}

impl Block {
    fn new(
        original: &str,
        server: &Value,
        taken: &mut HashSet<String>,
        references: &mut References,
    ) -> Self {
        let name = backend_name(original, taken);
        taken.insert(name.clone());
        let empty = Map::new();
        let server = server.as_object().unwrap_or(&empty);
        let mut block = Self {
            original: original.to_owned(),
            draft: server::draft(&name, server, references),
            name,
        };
        if block.name != block.original {
            let text = format!(
                "its name became `{}`, which its tools are exposed under: `{0}__…`",
                block.name
            );
            block.draft.remarks.insert(0, text);
        }
        block.refuse_what_does_not_load(references);
        block
    }

    /// The last word is the config's own: what it would refuse becomes a comment.
    fn refuse_what_does_not_load(&mut self, references: &References) {
        if !self.draft.usable {
            return;
        }
        let mut names: Vec<&str> = references.needed.iter().map(|n| n.name.as_str()).collect();
        names.push("HOME");
        let environment = Environment::new(names.into_iter().map(|name| (name, "x")), "/");
        let yaml = format!("backends:\n{}", self.yaml(""));
        let Err(complaints) = parse(&yaml, Path::new("gateway.yaml"), &environment) else {
            return;
        };
        for complaint in complaints.all() {
            // The file may well be somewhere else, or not be written yet.
            if complaint.path.ends_with(".env_file") {
                continue;
            }
            self.draft.usable = false;
            let text = format!(
                "isthmus would refuse it: {}: {}",
                complaint.path, complaint.message
            );
            self.draft.remarks.push(text);
        }
    }

    /// The backend's lines, each after `start`.
    fn yaml(&self, start: &str) -> String {
        let mut text = format!("  {start}{}:\n", self.name);
        for line in &self.draft.lines {
            text.push_str(&format!("  {start}  {line}\n"));
        }
        text
    }
}

fn assemble(blocks: Vec<Block>, references: &References, file: &Path) -> Imported {
    let mut remarks = Vec::new();
    let file = one_line(&file.display().to_string());
    let mut yaml = format!("# Made by `isthmus import {file}`.\n");
    let mut general = |text: String, yaml: &mut String| {
        yaml.push_str(&format!("# {text}.\n"));
        remarks.push(Remark { server: None, text });
    };
    if references.used_workspace {
        let text = "paths in the editor's folder became paths from the folder of gateway.yaml: keep it there";
        general(text.to_owned(), &mut yaml);
    }
    for needed in &references.needed {
        let text = format!(
            "export {} before you start isthmus: {}",
            needed.name, needed.meaning
        );
        general(text, &mut yaml);
    }
    yaml.push_str("\nbackends:\n");
    for block in blocks {
        for text in &block.draft.remarks {
            yaml.push_str(&format!(
                "  # {}: {}.\n",
                one_line(&block.original),
                one_line(text)
            ));
        }
        yaml.push_str(&block.yaml(if block.draft.usable { "" } else { "# " }));
        let server = Some(block.original);
        let own = block.draft.remarks.into_iter();
        remarks.extend(own.map(|text| Remark {
            server: server.clone(),
            text,
        }));
    }
    Imported { yaml, remarks }
}

/// The list, wherever the client keeps it.
fn servers(root: &Value) -> Option<&Map<String, Value>> {
    ["/mcpServers", "/servers", "/mcp/servers"]
        .into_iter()
        .find_map(|place| root.pointer(place)?.as_object())
}

/// A backend name as near to `original` as the rules allow, that is not taken yet.
fn backend_name(original: &str, taken: &HashSet<String>) -> String {
    let mut name = String::new();
    for character in original.chars() {
        let character = character.to_ascii_lowercase();
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            name.push(character);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.insert_str(0, if name.is_empty() { "server" } else { "server-" });
    }
    name.truncate(32);
    let name = if original == name {
        name
    } else {
        name.trim_end_matches('-').to_owned()
    };
    let mut candidate = name.clone();
    let mut number = 2;
    while taken.contains(&candidate) || !is_backend_name(&candidate) {
        let ending = format!("-{number}");
        candidate = format!("{}{ending}", &name[..name.len().min(32 - ending.len())]);
        number += 1;
    }
    candidate
}

fn not_json(error: &serde_json::Error, file: &Path) -> Diagnostics {
    let mut location = Location::file(file);
    location.line = u32::try_from(error.line()).unwrap_or(u32::MAX);
    location.column = u32::try_from(error.column()).unwrap_or(u32::MAX);
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    Diagnostics::from(Diagnostic {
        location,
        path: String::new(),
        message: format!("not JSON: {what}"),
        help: None,
    })
}

fn no_servers(file: &Path) -> Diagnostics {
    Diagnostics::from(Diagnostic {
        location: Location::file(file),
        path: String::new(),
        message: "neither `mcpServers` nor `servers` is in it".to_owned(),
        help: Some(
            "name a claude_desktop_config.json, an .mcp.json, or an mcp.json of VS Code or Cursor"
                .to_owned(),
        ),
    })
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "{}: {}", one_line(server), self.text),
            None => f.write_str(&self.text),
        }
    }
}
