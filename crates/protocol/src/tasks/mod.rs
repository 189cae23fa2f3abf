//! Tasks in both of their shapes: the core feature of 2025-11-25 and the extension that replaced it (digest §1.11).
//!
//! Inside the gateway a task always has the words of the extension: flat, with `ttlMs` and `pollIntervalMs`, and, once it
//! has come so far, with its result, its error or its questions inside. The functions here lead there and back. Members
//! that neither shape knows are kept.

mod capability;
mod related;
mod shape;
mod snapshot;

pub use capability::{CoreTasks, Support, declare, missing_extension, needs_extension};
pub use related::{related_task, with_related_task, without_related_task};
pub use shape::{
    Detail, created_from_core, created_to_core, detailed, from_core, list_from_core, list_to_core,
    task_id, to_core, with_task_id,
};
pub use snapshot::{Snapshot, Status};

/// The id of the extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

#[cfg(test)]
mod tests;
