//! Notices when the config should be read again: a file changed, or SIGHUP came.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Editors and Kubernetes write in several steps; we look once they have been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Watches the files of a config.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
    hangup: Signal,
}

/// Why the config should be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Something changed in a folder that holds one of its files.
    FileChanged,
    /// SIGHUP.
    Signal,
}

impl Watch {
    /// Starts to watch `files`. Must be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot watch or cannot deliver signals.
    pub(crate) fn start(files: &[PathBuf]) -> anyhow::Result<Self> {
        // One waiting signal is enough: it means "look again", however often it was raised.
        let (sender, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        })
        .context("cannot watch files")?;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let mut watch = Self {
            watcher,
            folders: BTreeSet::new(),
            changes,
            hangup,
        };
        watch.follow(files);
        Ok(watch)
    }

    /// Watches `files` instead of those before.
    ///
    /// The folder is watched, not the file: editors replace files, and Kubernetes swaps a symbolic link beside them.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) {
        let folders: BTreeSet<PathBuf> = files.iter().filter_map(|file| folder_of(file)).collect();
        for gone in self.folders.difference(&folders) {
            let _ = self.watcher.unwatch(gone);
        }
        for new in folders.difference(&self.folders) {
            if let Err(error) = self.watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), %error, "changes of the config are not noticed here");
            }
        }
        self.folders = folders;
    }

    /// Waits for the next reason to look.
    pub(crate) async fn next(&mut self) -> Cause {
        tokio::select! {
            _ = self.hangup.recv() => return Cause::Signal,
            _ = self.changes.recv() => {}
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
        Cause::FileChanged
    }
}

fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder.to_owned()
    })
}
