//! `authorization`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::yaml::Spanned;

/// Which callers may see and use which items.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authorization {
    /// What counts where no rule decides.
    #[schemars(extend("default" = "deny"))]
    pub(crate) default: Option<DefaultWord>,
    /// The first rule whose expression is true decides. One that cannot be evaluated denies.
    pub(crate) rules: Option<Vec<Spanned<Rule>>>,
}

/// What counts where no rule decides.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "AuthorizationDefault")]
pub(crate) enum DefaultWord {
    /// Every caller sees and uses everything else.
    Allow,
    /// Everything else is not there.
    Deny,
}

/// One rule: one of `allow`, `hide` and `step_up`. Each is an expression in CEL that is true or false, such as
/// `item.annotations.readOnlyHint || "writer" in claims.roles`; in single quotes `${` stays what it is.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule", extend("oneOf" = [
    {"required": ["allow"]}, {"required": ["hide"]}, {"required": ["step_up"]}
]))]
pub(crate) struct Rule {
    /// The item may be seen and used.
    pub(crate) allow: Option<Spanned<String>>,
    /// The item is not there.
    pub(crate) hide: Option<Spanned<String>>,
    /// The item may be seen, and used with a credential that has the `scopes`; who lacks one is told which are needed.
    pub(crate) step_up: Option<Spanned<String>>,
    /// What `step_up` takes: all of them.
    #[schemars(length(min = 1))]
    pub(crate) scopes: Option<Vec<Spanned<String>>>,
    /// What the rule is called in `isthmus explain` and in the audit log. Default: its place.
    pub(crate) name: Option<String>,
    /// Why it is there, for whoever reads that. Callers are not told.
    pub(crate) reason: Option<String>,
}
