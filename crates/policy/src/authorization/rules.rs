//! The rules of one route.

use isthmus_config::AuthorizationDefault;
use isthmus_exchange::{Attempt, Authorization, Caller, Decision, Item, ItemId, Verdict};

use super::inputs::{Inputs, OfCredential};
use super::remembered::Remembered;
use super::rule::{ReadyRule, Said};

/// The rules of one route: the first that is true decides, else the default.
///
/// Without arguments a rule that depends on them decides for a list: an item stands there if some arguments would do.
#[derive(Debug)]
pub struct Rules {
    route: String,
    rules: Vec<ReadyRule>,
    default: Verdict,
    reads_arguments: bool,
    reads_method: bool,
    /// Nothing is looked at but the credential and the item.
    lasting: bool,
    remembered: Remembered,
}

/// An outcome as a number: which rule, and what it came to.
#[derive(Clone, Copy)]
enum Outcome {
    Default,
    Matched(u32),
    Granted(u32),
    Failed(u32),
}

impl Rules {
    pub(super) fn new(route: &str, rules: Vec<ReadyRule>, default: AuthorizationDefault) -> Self {
        let reads = |input| rules.iter().any(|rule: &ReadyRule| rule.reads(input));
        let default = match default {
            AuthorizationDefault::Allow => Decision::Allow,
            AuthorizationDefault::Deny => Decision::Hide,
        };
        Self {
            route: route.to_owned(),
            default: Verdict::by_default(default),
            reads_arguments: reads("arguments"),
            reads_method: reads("method"),
            lasting: !reads("client"),
            rules,
            remembered: Remembered::default(),
        }
    }

    /// Nothing is there for anybody.
    pub(super) fn nothing(route: &str) -> Self {
        Self::new(route, Vec::new(), AuthorizationDefault::Deny)
    }

    fn outcome(&self, caller: &Caller, item: &Item, attempt: Option<Attempt<'_>>) -> Outcome {
        let attempt = attempt.filter(|_| self.reads_attempts());
        let known = self.remembered.credential(caller.principal.credential());
        if attempt.is_some() || !self.lasting || item.id == ItemId::UNLISTED {
            return self.evaluate(caller, &known.inputs, item, attempt);
        }
        let outcome = self.remembered.outcome(&known, item.id, || {
            self.evaluate(caller, &known.inputs, item, None).number()
        });
        Outcome::of(outcome)
    }

    fn evaluate(
        &self,
        caller: &Caller,
        credential: &OfCredential,
        item: &Item,
        attempt: Option<Attempt<'_>>,
    ) -> Outcome {
        let attempt = attempt.map(|attempt| Attempt {
            arguments: attempt.arguments.filter(|_| self.reads_arguments),
            ..attempt
        });
        let inputs = Inputs::new(caller, credential, &self.route, item, attempt);
        let Some(inputs) = inputs else {
            // Whatever would have looked at the arguments cannot.
            let reader = self.rules.iter().position(|rule| rule.reads("arguments"));
            return Outcome::Failed(place(reader.unwrap_or_default()));
        };
        for (index, rule) in self.rules.iter().enumerate() {
            let index = place(index);
            match rule.ask(&inputs) {
                Said::False => {}
                // Some arguments are not those that are hidden.
                Said::Open if rule.matched.decision == Decision::Hide => {}
                Said::True | Said::Open if rule.grants(caller) => return Outcome::Granted(index),
                Said::True | Said::Open => return Outcome::Matched(index),
                Said::Failed => return Outcome::Failed(index),
            }
        }
        Outcome::Default
    }

    fn verdict(&self, outcome: Outcome) -> &Verdict {
        let rule = |index: u32| self.rules.get(index as usize);
        let verdict = match outcome {
            Outcome::Default => None,
            Outcome::Matched(index) => rule(index).map(|rule| &rule.matched),
            Outcome::Granted(index) => rule(index).map(|rule| &rule.granted),
            Outcome::Failed(index) => rule(index).map(|rule| &rule.failed),
        };
        verdict.unwrap_or(&self.default)
    }
}

impl Authorization for Rules {
    fn decide(&self, caller: &Caller, item: &Item, attempt: Option<Attempt<'_>>) -> Verdict {
        self.verdict(self.outcome(caller, item, attempt)).clone()
    }

    fn same_for_everyone(&self) -> bool {
        self.rules.is_empty() && self.default.decision == Decision::Allow
    }

    fn reads_attempts(&self) -> bool {
        self.reads_arguments || self.reads_method
    }

    fn reads_arguments(&self) -> bool {
        self.reads_arguments
    }

    fn visible(&self, caller: &Caller, item: &Item) -> bool {
        self.verdict(self.outcome(caller, item, None)).decision != Decision::Hide
    }
}

impl Outcome {
    const fn number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::Matched(index) => index * 3 + 1,
            Self::Granted(index) => index * 3 + 2,
            Self::Failed(index) => index * 3 + 3,
        }
    }

    const fn of(number: u32) -> Self {
        let Some(number) = number.checked_sub(1) else {
            return Self::Default;
        };
        match number % 3 {
            0 => Self::Matched(number / 3),
            1 => Self::Granted(number / 3),
            _ => Self::Failed(number / 3),
        }
    }
}

/// There are fewer rules than there are bytes in a config.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX / 3 - 1)
}

#[cfg(test)]
impl Rules {
    pub(super) const fn remembered(&self) -> &Remembered {
        &self.remembered
    }
}
