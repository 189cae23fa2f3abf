//! Which callers may see and use which items.
//!
//! Expressions are text here: whoever decides by them compiles them, and complains at the place that is kept with each.

use super::Located;

/// Which callers of a route may see and use which items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// What counts where no rule decides.
    pub default: AuthorizationDefault,
    /// In the order of the document: the first that is true decides.
    pub rules: Vec<AuthorizationRule>,
}

/// What counts where no rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthorizationDefault {
    /// Everything may be seen and used.
    Allow,
    /// Nothing is there.
    #[default]
    Deny,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRule {
    /// What it decides.
    pub effect: AuthorizationEffect,
    /// When: an expression in CEL, not compiled yet.
    pub condition: Located<String>,
    /// The key of the expression, such as `routes./mcp.authorization.rules[0].allow`.
    pub key: String,
    /// What the operator calls it.
    pub name: Option<String>,
    /// Why it is there.
    pub reason: Option<String>,
}

/// What a rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationEffect {
    /// The item may be seen and used.
    Allow,
    /// The item is not there.
    Hide,
    /// The item may be seen, and used with a credential that has these scopes. Never empty.
    StepUp(Vec<String>),
}
