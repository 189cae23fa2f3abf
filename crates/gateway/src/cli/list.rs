//! `isthmus tools`, `resources` and `prompts`: what a route exposes.

use clap::Args;
use isthmus_exchange::{Item, ItemKind};
use isthmus_protocol::object::string_member;
use serde_json::json;

use super::view::{View, ViewArguments};
use super::{Failure, LogOptions, print};

/// How much of a description a table shows, in characters.
const DESCRIPTION: usize = 60;

/// Where to look, and how to show it.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    view: ViewArguments,
    /// One JSON array with each item's whole definition, for machines.
    #[arg(long)]
    json: bool,
}

/// What to list.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// Tools.
    Tools,
    /// Resources and resource templates.
    Resources,
    /// Prompts.
    Prompts,
}

/// Lists `what`.
pub(super) fn run(what: What, arguments: &ListArguments, log: &LogOptions) -> Result<(), Failure> {
    log.start_quiet()?;
    let view = View::open(&arguments.view)?;
    let kinds: &[ItemKind] = match what {
        What::Tools => &[ItemKind::Tool],
        What::Resources => &[ItemKind::Resource, ItemKind::ResourceTemplate],
        What::Prompts => &[ItemKind::Prompt],
    };
    let items: Vec<_> = kinds.iter().flat_map(|kind| view.items(*kind)).collect();
    let missing = view.missing();
    view.close();
    // Which backend an item of a running gateway belongs to, only that gateway knows.
    let origin = !arguments.view.is_remote();
    if arguments.json {
        let items: Vec<_> = items.iter().map(|item| described(item, origin)).collect();
        print::line(&format!("{:#}", json!(items)));
    } else if !items.is_empty() {
        let headings: &[&str] = if origin {
            &["NAME", "BACKEND", "NATIVE NAME", "BYTES", "DESCRIPTION"]
        } else {
            &["NAME", "BYTES", "DESCRIPTION"]
        };
        print::table(headings, items.iter().map(|item| row(item, origin)));
    }
    for backend in &missing {
        print::complaint(backend);
    }
    if items.is_empty() && !missing.is_empty() {
        return Err(anyhow::anyhow!("no backend answered").into());
    }
    Ok(())
}

fn row(item: &Item, origin: bool) -> Vec<String> {
    let description = string_member(&item.definition, "description")
        .or_else(|| string_member(&item.definition, "title"))
        .unwrap_or_default();
    let mut first_line: String = description
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(DESCRIPTION)
        .collect();
    if first_line.len() < description.len() {
        first_line.push('…');
    }
    let mut cells = vec![item.exposed.clone()];
    if origin {
        cells.extend([item.backend.to_string(), item.native.clone()]);
    }
    cells.extend([item.definition.len().to_string(), first_line]);
    cells
}

fn described(item: &Item, origin: bool) -> serde_json::Value {
    let mut described = json!({
        "kind": item.kind.to_string(),
        "name": item.exposed,
        "bytes": item.definition.len(),
        "definition": item.definition,
    });
    if origin {
        described["backend"] = json!(item.backend.as_str());
        described["native"] = json!(item.native);
    }
    described
}
