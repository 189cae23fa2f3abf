//! `isthmus run`: the fleet over HTTP.

use super::{ConfigFile, Failure, LogOptions};
use crate::{server, settings};

/// Serves until a signal ends it.
pub(super) fn run(file: &ConfigFile, log: &LogOptions) -> Result<(), Failure> {
    let (path, config) = settings::load(file.config.as_deref())?;
    log.start(&config.log)?;
    server::serve(&path, config)?;
    Ok(())
}
