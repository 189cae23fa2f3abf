//! What is written down of every request, for whoever has to answer for it.

use std::path::PathBuf;

use super::Glob;

/// The audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Where lines go.
    pub sink: AuditSink,
    /// What becomes of requests when lines cannot be written.
    pub when_full: WhenFull,
    /// Whose arguments are written. Of tools that no rule names, none are.
    pub arguments: Vec<AuditArguments>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// To standard output.
    Stdout,
    /// To a file that is put aside when it has grown.
    File {
        /// The file; `.1`, `.2`, … stand beside it, the newest first.
        path: PathBuf,
        /// At which size it is put aside, in bytes.
        size: u64,
        /// How many are kept besides the one that is written.
        keep: u32,
    },
}

/// What becomes of requests when lines cannot be written: too many wait, or the disk is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They wait.
    Block,
    /// They go on, and their lines are missing and counted.
    #[default]
    Drop,
    /// They are refused.
    Refuse,
}

/// A rule by which arguments are written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditArguments {
    /// Of tools and prompts whose exposed name fits one of these.
    pub names: Vec<Glob>,
    /// Members whose values are not written, at any depth.
    pub hide: Vec<String>,
}

/// At which size an audit file is put aside.
pub(crate) const DEFAULT_AUDIT_SIZE: u64 = 100 << 20;
/// How many are kept.
pub(crate) const DEFAULT_AUDIT_KEEP: u32 = 10;
