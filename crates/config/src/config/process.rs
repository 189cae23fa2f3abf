//! A program that the gateway starts and supervises.

use std::fmt;
use std::path::PathBuf;

use super::{Located, Secret};

/// A program that the gateway starts and supervises.
#[derive(Clone, PartialEq)]
pub struct Process {
    /// A path, made absolute from the config file's folder, or a bare name to look up in `PATH`.
    pub command: Located<PathBuf>,
    /// Its arguments, as written.
    pub args: Vec<String>,
    /// Its whole environment, in the order to set it: what it inherits (design §5 and `inherit_env`), then its
    /// `env_file`, then `env`. Start from an empty environment; names are unique.
    pub env: Vec<(String, Secret)>,
    /// Where it runs: by default the config file's folder.
    pub directory: Located<PathBuf>,
    /// What it may use.
    pub limits: ProcessLimits,
}

/// What a child may use; `None` leaves the gateway's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes of address space (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes of the user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
}

impl Process {
    /// A program with nothing set: no arguments, an empty environment, the current folder.
    #[must_use]
    pub fn new(command: impl Into<PathBuf>) -> Self {
        Self {
            command: Located::nowhere(command.into()),
            args: Vec::new(),
            env: Vec::new(),
            directory: Located::nowhere(PathBuf::from(".")),
            limits: ProcessLimits::default(),
        }
    }
}

/// Arguments do not print, because they often hold keys.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("command", &self.command)
            .field("args", &format_args!("{} arguments", self.args.len()))
            .field("env", &self.env)
            .field("directory", &self.directory)
            .field("limits", &self.limits)
            .finish()
    }
}
