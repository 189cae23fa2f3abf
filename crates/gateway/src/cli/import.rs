//! `isthmus import`: a client's list of servers as a `gateway.yaml`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Failure, print};

/// Which file to import.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// `claude_desktop_config.json`, `.mcp.json`, VS Code's or Cursor's `mcp.json`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Prints the config on standard output and what a person has to know on standard error.
pub(super) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    let imported = isthmus_config::import(&text, file)
        .map_err(|complaints| Failure::Config(complaints.to_string()))?;
    print::text(&imported.yaml);
    for remark in &imported.remarks {
        print::complaint(&remark.to_string());
    }
    Ok(())
}
