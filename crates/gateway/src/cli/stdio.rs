//! `isthmus stdio`: the fleet over standard input and output.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, LogOptions};
use crate::{server, settings};

/// What to serve.
#[derive(Debug, Args)]
pub(super) struct StdioArguments {
    /// The config; else `./gateway.yaml`, else `isthmus/gateway.yaml` in the user's config folder.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Which of the config's routes to serve; else the first.
    #[arg(short, long, value_name = "PATH")]
    route: Option<String>,
}

/// Serves until the client closes its end or a signal comes.
pub(super) fn run(arguments: &StdioArguments, log: &LogOptions) -> Result<(), Failure> {
    let (path, config) = settings::load(arguments.config.as_deref())?;
    log.start(&config.log)?;
    let route = settings::pick_route(&path, &config, arguments.route.as_deref())?;
    server::serve_stdio(&path, config, &route.path)?;
    Ok(())
}
