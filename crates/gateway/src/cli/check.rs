//! `isthmus check` and `isthmus schema`.

use super::{ConfigFile, Failure, print};
use crate::settings;
use crate::tls::Prepared;

/// Says everything that is wrong with a config, or what it comes to.
pub(super) fn run(file: &ConfigFile) -> Result<(), Failure> {
    let (path, config) = settings::load(file.config.as_deref())?;
    // What a start would stumble over after the config itself has been found right.
    Prepared::of(&config)?;
    let count = |number: usize, noun: &str| {
        format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
    };
    print::line(&format!(
        "{}: ok: {}, {}, {}",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.routes.len(), "route"),
        count(config.backends.len(), "backend"),
    ));
    Ok(())
}

/// Prints the JSON Schema of the config.
pub(super) fn schema() -> Result<(), Failure> {
    print::line(&format!("{:#}", isthmus_config::json_schema()));
    Ok(())
}
