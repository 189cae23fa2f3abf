//! Rules of authorization. Their expressions are compiled by whoever decides by them.

use super::Resolver;
use crate::config::{
    Authorization, AuthorizationDefault, AuthorizationEffect, AuthorizationRule, Located,
};
use crate::document::{self, DefaultWord};
use crate::yaml::Spanned;

impl Resolver<'_> {
    /// The rules written under `path`.
    pub(super) fn authorization(
        &mut self,
        written: document::Authorization,
        path: &str,
    ) -> Authorization {
        let rules = written.rules.unwrap_or_default().into_iter().enumerate();
        let rules = rules
            .filter_map(|(index, rule)| self.rule(rule, &format!("{path}.rules[{index}]")))
            .collect();
        Authorization {
            default: match written.default {
                Some(DefaultWord::Allow) => AuthorizationDefault::Allow,
                Some(DefaultWord::Deny) | None => AuthorizationDefault::Deny,
            },
            rules,
        }
    }

    fn rule(
        &mut self,
        written: Spanned<document::AuthorizationRule>,
        path: &str,
    ) -> Option<AuthorizationRule> {
        let document::AuthorizationRule {
            allow,
            hide,
            step_up,
            scopes,
            name,
            reason,
        } = written.value;
        let scopes_path = format!("{path}.scopes");
        let needed = self.scopes(scopes.as_deref(), &scopes_path);
        let (word, condition, effect) = match (allow, hide, step_up) {
            (Some(condition), ..) => ("allow", condition, AuthorizationEffect::Allow),
            (_, Some(condition), _) => ("hide", condition, AuthorizationEffect::Hide),
            (.., Some(condition)) => ("step_up", condition, AuthorizationEffect::StepUp(needed)),
            // The schema has said so already.
            (None, None, None) => return None,
        };
        match (&effect, scopes.as_deref()) {
            (AuthorizationEffect::StepUp(_), None) => self.complaints.add_with_help(
                condition.mark,
                path,
                "a step-up without scopes",
                "say what it takes by `scopes`, or use `hide`",
            ),
            (AuthorizationEffect::Allow | AuthorizationEffect::Hide, Some([first, ..])) => {
                let help = "leave them out, or use `step_up`";
                let message = format!("`{word}` asks for no scopes");
                self.complaints
                    .add_with_help(first.mark, scopes_path, message, help);
            }
            _ => {}
        }
        let location = self.complaints.location(condition.mark);
        Some(AuthorizationRule {
            effect,
            condition: Located::new(condition.value, location),
            key: format!("{path}.{word}"),
            name,
            reason,
        })
    }
}
