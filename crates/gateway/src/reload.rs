//! Takes a changed config into force, whole or not at all.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use isthmus_config::Config;
use tokio_util::task::TaskTracker;

use crate::fleet::{Fleet, close_all};
use crate::tls::Prepared;
use crate::watch::Cause;

/// The config in force, and what its files said when they were read last.
#[derive(Debug)]
pub(crate) struct Reloads {
    path: PathBuf,
    config: Config,
    /// Of what was read last, good or not. The log may lie in the same folder as the config: without this, complaining
    /// about a wrong one would be a change that leads to the next complaint.
    fingerprint: Option<u64>,
    /// Backends that left, until they have ended.
    leaving: TaskTracker,
}

/// A config that the fleet follows already, and the listeners do not yet.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What the listeners show and believe from now on.
    tls: Prepared,
    kept: usize,
    started: usize,
    removed: usize,
}

impl Applied {
    /// Puts the listeners' part into force by `follow`, and says that everything follows the config now.
    pub(crate) fn finish(self, follow: impl FnOnce(Prepared)) {
        let Self {
            tls,
            kept,
            started,
            removed,
        } = self;
        follow(tls);
        tracing::info!(kept, started, removed, "reloaded");
    }
}

impl Reloads {
    /// Begins with `config`, which was read from `path`.
    pub(crate) fn new(path: &Path, config: Config) -> Self {
        Self {
            path: path.to_owned(),
            config,
            // Read now, it would take a change since the config was read for known.
            fingerprint: None,
            leaving: TaskTracker::new(),
        }
    }

    /// The config in force.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Loads the config again and makes the fleet what it says, or keeps everything as it is and says why.
    ///
    /// If there is a new config, the fleet follows it; its listeners, and saying so, are left to the caller. Must be called inside the background runtime: backends that left are closed there.
    pub(crate) fn reload(&mut self, cause: Cause, fleet: &Fleet) -> Option<Applied> {
        let fingerprint = Some(fingerprint(&self.path, &self.config));
        if cause == Cause::FileChanged && fingerprint == self.fingerprint {
            return None;
        }
        self.fingerprint = fingerprint;
        let next = match isthmus_config::load(&self.path) {
            Ok(next) => next,
            Err(complaints) => {
                tracing::error!(
                    "the new config is wrong; the old one stays in force\n{complaints}"
                );
                return None;
            }
        };
        if next == self.config {
            tracing::info!("nothing in the config has changed");
            return None;
        }
        if addresses(&next) != addresses(&self.config) {
            tracing::error!(
                "listeners cannot be added, moved or removed without a restart; the old config stays in force"
            );
            return None;
        }
        if next.bounds != self.config.bounds
            || next.seal_keys != self.config.seal_keys
            || next.log != self.config.log
            || next.audit != self.config.audit
        {
            tracing::warn!(
                "changed bounds, seal keys, log and audit settings take effect at the next start"
            );
        }
        let prepared = match Prepared::of(&next) {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::error!(
                    "the new config cannot be run; the old one stays in force\n{error:#}"
                );
                return None;
            }
        };
        match fleet.apply(&next) {
            Ok(reloaded) => {
                let applied = Applied {
                    tls: prepared,
                    kept: reloaded.kept.len(),
                    started: reloaded.started.len(),
                    removed: reloaded.removed.len(),
                };
                self.leaving.spawn(close_all(reloaded.removed));
                self.config = next;
                Some(applied)
            }
            Err(error) => {
                tracing::error!(%error, "the new config cannot be run; the old one stays in force");
                None
            }
        }
    }

    /// Waits until every backend that left has ended.
    pub(crate) async fn settled(&self) {
        self.leaving.close();
        self.leaving.wait().await;
    }
}

/// Of the content of every file of `config`; a file that cannot be read counts as empty.
fn fingerprint(path: &Path, config: &Config) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in config.files.iter().map(PathBuf::as_path).chain([path]) {
        std::fs::read(file).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

fn addresses(config: &Config) -> Vec<(&str, std::net::SocketAddr)> {
    config
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), listener.address))
        .collect()
}
