//! `audit`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SizeText;
use crate::config;
use crate::yaml::Spanned;

/// A line of JSON for every request: who asked for what, where it went, what was decided, how it ended. Also for those
/// that were refused, and for those whose client left.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["stdout"]}]))]
pub(crate) struct Audit {
    /// Write to a file.
    pub(crate) file: Option<AuditFile>,
    /// Write to standard output: `{}`.
    #[expect(
        dead_code,
        reason = "that it is there is all it says, and the schema wants one of the two"
    )]
    pub(crate) stdout: Option<Nothing>,
    /// What becomes of requests when lines cannot be written, because too many wait or the disk is full: they wait
    /// (`block`), they go on and their lines are missing and counted (`drop`), or they are refused (`refuse`).
    #[schemars(extend("default" = "drop"))]
    pub(crate) when_full: Option<WhenFullWord>,
    /// Whose arguments are written, and what of them is not. Default: no arguments are written.
    pub(crate) arguments: Option<Vec<AuditArguments>>,
}

/// A file that is put aside when it has grown.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditFile {
    /// The file. Those put aside stand beside it, as `.1`, `.2` and so on, the newest first.
    #[schemars(extend("examples" = ["audit.jsonl"]))]
    pub(crate) path: Spanned<String>,
    /// At which size it is put aside.
    #[schemars(extend("default" = SizeText(config::DEFAULT_AUDIT_SIZE)))]
    pub(crate) size: Option<SizeText>,
    /// How many are kept beside it.
    #[schemars(range(max = 1000), extend("default" = config::DEFAULT_AUDIT_KEEP))]
    pub(crate) keep: Option<u32>,
}

/// There is nothing to set.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A rule by which arguments are written.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditArguments {
    /// Of tools and prompts with these exposed names; `*` stands for any text.
    #[schemars(length(min = 1), extend("examples" = [["files__*"]]))]
    pub(crate) names: Vec<String>,
    /// Members whose values are not written, at any depth.
    #[schemars(extend("examples" = [["password", "token"]]))]
    pub(crate) hide: Option<Vec<String>>,
}

/// What becomes of requests when lines cannot be written.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "WhenFull")]
pub(crate) enum WhenFullWord {
    /// They wait.
    Block,
    /// They go on; missing lines are counted.
    Drop,
    /// They are refused.
    Refuse,
}
