//! Takes a changed config into force, whole or not at all.

use std::path::Path;

use isthmus_config::Config;

use crate::fleet::{Fleet, close_all};
use crate::watch::Cause;

/// Loads the config again and makes the fleet what it says, or keeps everything as it is and says why.
///
/// Returns the new config if there is one; what clients see of it is the caller's to replace. Must be called inside the
/// background runtime: backends that left are closed there.
pub(crate) fn reload(path: &Path, cause: Cause, current: &Config, fleet: &Fleet) -> Option<Config> {
    let next = match isthmus_config::load(path) {
        Ok(next) => next,
        Err(complaints) => {
            tracing::error!("the new config is wrong; the old one stays in force\n{complaints}");
            return None;
        }
    };
    if next == *current {
        if cause == Cause::Signal {
            tracing::info!("nothing in the config has changed");
        }
        return None;
    }
    if addresses(&next) != addresses(current) {
        tracing::error!("listeners cannot be added, moved or removed without a restart; the old config stays in force");
        return None;
    }
    if next.bounds != current.bounds || next.seal_keys != current.seal_keys || next.log != current.log {
        tracing::warn!("changed bounds, seal keys and log settings take effect at the next start");
    }
    match fleet.apply(&next) {
        Ok(reloaded) => {
            let (kept, started, removed) = (reloaded.kept.len(), reloaded.started.len(), reloaded.removed.len());
            tracing::info!(kept, started, removed, "reloaded");
            tokio::spawn(close_all(reloaded.removed));
            Some(next)
        }
        Err(error) => {
            tracing::error!(%error, "the new config cannot be run; the old one stays in force");
            None
        }
    }
}

fn addresses(config: &Config) -> Vec<(&str, std::net::SocketAddr)> {
    config.listeners.iter().map(|listener| (listener.name.as_str(), listener.address)).collect()
}
