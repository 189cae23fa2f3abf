//! A program to start: `stdio`, and `process` of `http` and `sse`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Secret, SizeText};
use crate::yaml::{Entries, Spanned};

/// A program that the gateway starts and supervises. It and all it starts end with the gateway.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    /// A name that is looked up in `PATH`, or a path if it holds a `/`.
    #[schemars(extend("examples" = ["npx"]))]
    pub(crate) command: Spanned<String>,
    /// Its arguments, passed as they are: no shell is involved.
    pub(crate) args: Option<Vec<String>>,
    /// Environment variables: a text, or a secret as `{env: NAME}` or `{file: path}`.
    pub(crate) env: Option<Entries<Spanned<Secret>>>,
    /// A file of `NAME=value` lines. What `env` sets wins over it.
    pub(crate) env_file: Option<Spanned<String>>,
    /// Further variables that it gets from the gateway's own environment if they are set; `*` at the end stands for any
    /// rest. It always gets `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TERM`, `LANG`, `LC_*`, `TZ`, `TMPDIR` and
    /// `XDG_*`, and nothing else.
    pub(crate) inherit_env: Option<Vec<Spanned<String>>>,
    /// The folder it runs in. Default: the folder of this file.
    pub(crate) directory: Option<Spanned<String>>,
    /// What it may use. Default: as much as the gateway itself.
    pub(crate) limits: Option<ProcessLimits>,
}

/// What a program may use.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessLimits {
    /// Address space (`RLIMIT_AS`).
    pub(crate) memory: Option<SizeText>,
    /// Open files (`RLIMIT_NOFILE`).
    #[schemars(range(min = 1))]
    pub(crate) open_files: Option<u64>,
    /// Processes of the user it runs as (`RLIMIT_NPROC`).
    #[schemars(range(min = 1))]
    pub(crate) processes: Option<u64>,
}
