//! `isthmus key`: keys that callers may show.

use std::time::SystemTime;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use isthmus_policy::NewKey;

use super::{Failure, print};

/// What to do with keys.
#[derive(Debug, Args)]
pub(super) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: print it, once, and what the config has to say of it.
    New(NewArguments),
}

/// What the new key is to be.
#[derive(Debug, Args)]
struct NewArguments {
    /// Whose it is, or what it is for. It becomes the name in the config.
    #[arg(value_name = "NAME")]
    name: String,
    /// Scopes that it grants, with commas between them.
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    scopes: Vec<String>,
    /// When it ends: `90d`, `2027-01-31` or `2027-01-31T12:00:00Z`; else never.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// Does what the arguments say. Nothing is written but to standard output.
pub(super) fn run(arguments: &KeyArguments) -> Result<(), Failure> {
    let KeyCommand::New(wanted) = &arguments.command;
    let expires = match &wanted.expires {
        None => None,
        Some(text) => Some(
            isthmus_config::expiry(text, SystemTime::now())
                .map_err(|why| Failure::Usage(format!("--expires {text}: {why}")))?,
        ),
    };
    let key = NewKey::generate().map_err(|_| anyhow!("the system gives no random bytes"))?;
    let mut entry = vec![format!("sha256: {}", key.sha256())];
    // A text of JSON is a text of YAML, whatever it holds.
    if !wanted.scopes.is_empty() {
        entry.push(format!("scopes: {}", serde_json::json!(wanted.scopes)));
    }
    if let Some(expires) = expires {
        entry.push(format!("expires: {expires}"));
    }
    let name = serde_json::json!(wanted.name);
    let snippet = format!("api_keys:\n  {name}:\n    {}\n", entry.join("\n    "));
    check(&snippet).map_err(|complaints| Failure::Usage(complaints.to_string()))?;
    print::text(&format!(
        "The key. It is kept nowhere and will not be shown again:\n\n  {}\n\n\
         Callers show it as `Authorization: Bearer …`. The config has its hash, and says that keys are taken, for all\n\
         routes or in one of them (`authentication: [api_keys: {{}}]`):\n\n{snippet}",
        key.reveal()
    ));
    Ok(())
}

/// Whether a config with this key would load.
fn check(snippet: &str) -> Result<(), isthmus_config::Diagnostics> {
    let config = format!("authentication: [api_keys: {{}}]\n{snippet}");
    let environment = isthmus_config::Environment::new([], "/");
    isthmus_config::parse(&config, std::path::Path::new("the new key"), &environment).map(drop)
}
