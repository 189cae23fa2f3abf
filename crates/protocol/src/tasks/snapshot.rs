//! The few facts of a task by which a gateway acts.

use std::time::Duration;

use crate::RawJson;
use crate::object::{member, string_member};
use crate::result::milliseconds;

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Working,
    /// It waits for answers.
    InputRequired,
    /// It has a result.
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// A task of the extension at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// How far it has come.
    pub status: Status,
    /// How long to wait before looking again, if the server says so.
    pub poll_interval: Option<Duration>,
    /// How long the task is kept, if there is an end to it.
    pub ttl: Option<Duration>,
    /// What the server says of it, for people.
    pub message: Option<String>,
    /// When it last changed, as the server writes it.
    pub last_updated: Option<String>,
}

impl Status {
    /// Reads a `status`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Snapshot {
    /// Reads a task in the words of the extension; `None` if it has no status that is known.
    #[must_use]
    pub fn of(task: &RawJson) -> Option<Self> {
        let duration = |key| {
            let value = member(task, key)?;
            milliseconds(value.as_bytes()).map(Duration::from_millis)
        };
        Some(Self {
            status: Status::parse(&string_member(task, "status")?)?,
            poll_interval: duration("pollIntervalMs"),
            ttl: duration("ttlMs"),
            message: string_member(task, "statusMessage"),
            last_updated: string_member(task, "lastUpdatedAt"),
        })
    }
}
