//! A backend that asks, reached in one of the ways there are.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::backend::Program;
use super::inquiry::{Asks, Rounds, script};
use super::{Backend, Reaction};

/// How a backend is reached, and where it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Streamable HTTP; it asks on the stream of the request.
    Http,
    /// Streamable HTTP; it asks on the stream of the session.
    Beside,
    /// HTTP+SSE: there is only one stream.
    Sse,
    /// A pipe.
    Pipe,
}

/// Every kind of stateful backend.
pub const STATEFUL: [(Way, &str); 8] = [
    (Way::Http, "2025-03-26"),
    (Way::Http, "2025-06-18"),
    (Way::Http, "2025-11-25"),
    (Way::Beside, "2025-11-25"),
    (Way::Sse, "2024-11-05"),
    (Way::Pipe, "2024-11-05"),
    (Way::Pipe, "2025-06-18"),
    (Way::Pipe, "2025-11-25"),
];

/// Every kind of stateless backend.
pub const STATELESS: [(Way, &str); 2] = [(Way::Http, "2026-07-28"), (Way::Pipe, "2026-07-28")];

/// A backend called `b`, and what stands behind its name.
pub struct Scene {
    pub backend: Backend,
    pub program: Option<Program>,
    pub shown: String,
    entry: String,
    folder: TempDir,
}

impl Scene {
    /// One that asks `rounds`.
    pub async fn asking(way: Way, revision: &'static str, rounds: Rounds) -> Self {
        Self::choosing(way, revision, move |_| rounds.clone()).await
    }

    /// One that asks what `rounds` chooses by the parameters of a request.
    pub async fn choosing(
        way: Way,
        revision: &'static str,
        rounds: impl Fn(&Value) -> Rounds + Send + Sync + 'static,
    ) -> Self {
        let asks = if way == Way::Beside {
            Asks::Beside
        } else {
            Asks::There
        };
        Self::scripted(way, revision, script(revision, asks, rounds)).await
    }

    /// One that does what `script` says.
    pub async fn scripted(
        way: Way,
        revision: &'static str,
        script: impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = Backend::start(revision, script).await;
        let mut program = None;
        let entry = match way {
            Way::Http | Way::Beside => backend.entry("b"),
            Way::Sse => backend.sse_entry("b"),
            Way::Pipe => {
                let started = program.insert(backend.behind_a_pipe(folder.path(), "b").await);
                started.entry()
            }
        };
        let shown = format!("backend of {revision}, {way:?}");
        Self {
            backend,
            program,
            shown,
            entry,
            folder,
        }
    }

    /// A fleet of this backend only.
    pub fn fleet(&self) -> String {
        format!("backends:\n{}", self.entry)
    }

    /// A fleet of this backend with further settings of its own, such as `sessions: shared`.
    pub fn fleet_with(&self, settings: &str) -> String {
        format!("backends:\n{}    {settings}\n", self.entry)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
