//! Which items a caller may see and use.
//!
//! One decision for lists, calls, reads, completions, subscriptions and tasks alike (design §2.5, §7). What is decided as
//! [`Decision::Hide`] is indistinguishable from what is absent.

use std::fmt;
use std::sync::Arc;

use isthmus_protocol::{Method, RawJson};

use crate::{Caller, Item};

/// Decides what callers of one route may see and use.
pub trait Authorization: Send + Sync + fmt::Debug {
    /// What `caller` may do with `item`. Without an attempt: whether the item stands in its lists.
    ///
    /// An item that stands in a list may be used, except where a rule reads what only an attempt has.
    fn decide(&self, caller: &Caller, item: &Item, attempt: Option<Attempt<'_>>) -> Verdict;

    /// Whether the answer is the same for every caller and item: then one set of pages serves all of them.
    fn same_for_everyone(&self) -> bool {
        false
    }

    /// Whether an attempt can be decided differently from the list that the item stands in.
    fn reads_attempts(&self) -> bool {
        false
    }

    /// Whether arguments are looked at. Then they have to be unambiguous: another reader of a key that is there twice might
    /// believe the other one.
    fn reads_arguments(&self) -> bool {
        false
    }

    /// Whether `caller` may see `item`.
    fn visible(&self, caller: &Caller, item: &Item) -> bool {
        self.same_for_everyone() || self.decide(caller, item, None).decision != Decision::Hide
    }
}

/// How an item is to be used.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// By which method.
    pub method: &'a Method,
    /// With which arguments, where the method has some: an object without duplicate keys.
    pub arguments: Option<&'a RawJson>,
}

/// A decision and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was decided.
    pub decision: Decision,
    /// The rule that decided; `None`: none did, and the default counts.
    pub rule: Option<Arc<Rule>>,
    /// The rule could not be evaluated, so it denies.
    pub failed: bool,
}

/// What a caller may do with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// See and use it.
    Allow,
    /// Neither: to this caller it is not there.
    Hide,
    /// See it, and use it with a credential that has these scopes.
    StepUp(Arc<[String]>),
}

/// Which rule decided, for operators: nothing of it is told to callers.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the operator calls it, else its place in the config, such as `routes./mcp.authorization.rules[2]`.
    pub name: String,
    /// Where it was written: file, line and column. Empty if nobody wrote it.
    pub place: String,
    /// Why it is there, if the operator says so.
    pub reason: Option<String>,
}

/// Everybody sees and uses everything: a route without authorization rules.
#[derive(Debug, Clone, Copy)]
pub struct AllAllowed;

impl Verdict {
    /// What no rule has decided.
    #[must_use]
    pub const fn by_default(decision: Decision) -> Self {
        Self {
            decision,
            rule: None,
            failed: false,
        }
    }
}

impl Verdict {
    /// What may be done where both count: the stricter of the two, and of two sets of scopes all.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (&self.decision, &other.decision) {
            (Decision::Hide, _) | (_, Decision::Allow) => self,
            (_, Decision::Hide) | (Decision::Allow, _) => other,
            (Decision::StepUp(own), Decision::StepUp(others)) => {
                let more = others.iter().filter(|scope| !own.contains(scope));
                let all = own.iter().chain(more).cloned().collect();
                Self {
                    decision: Decision::StepUp(all),
                    ..self
                }
            }
        }
    }
}

impl Authorization for AllAllowed {
    fn decide(&self, _caller: &Caller, _item: &Item, _attempt: Option<Attempt<'_>>) -> Verdict {
        Verdict::by_default(Decision::Allow)
    }

    fn same_for_everyone(&self) -> bool {
        true
    }
}
