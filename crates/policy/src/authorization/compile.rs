//! From a config to what its routes decide by.

use std::collections::HashMap;
use std::sync::Arc;

use isthmus_config::{AuthorizationRule, Config, Diagnostic, Diagnostics, Location, Route};
use isthmus_exchange::{AllAllowed, Authorization};

use super::language;
use super::rule::ReadyRule;
use super::rules::Rules;
use super::types::{Mistake, mistakes};

/// What the routes of one config decide by.
#[derive(Debug, Default)]
pub struct Authorizations(HashMap<String, Arc<dyn Authorization>>);

/// Compiles the rules of every route of `config`.
///
/// # Errors
///
/// Everything that is known to be wrong with them, at the places of the expressions.
pub fn compile_authorization(config: &Config) -> Result<Authorizations, Diagnostics> {
    let mut complaints = Vec::new();
    let routes = config.routes.iter().map(|route| {
        let rules = compile(route, &mut complaints);
        (route.path.clone(), rules)
    });
    let routes = routes.collect();
    match Diagnostics::of(complaints) {
        None => Ok(Authorizations(routes)),
        Some(complaints) => Err(complaints),
    }
}

impl Authorizations {
    /// What a route decides by. On one that the config does not have nobody may do anything.
    #[must_use]
    pub fn of(&self, route: &Route) -> Arc<dyn Authorization> {
        let known = self.0.get(&route.path).cloned();
        known.unwrap_or_else(|| Arc::new(Rules::nothing(&route.path)))
    }
}

fn compile(route: &Route, complaints: &mut Vec<Diagnostic>) -> Arc<dyn Authorization> {
    let Some(written) = &route.authorization else {
        return Arc::new(AllAllowed);
    };
    let mut rules = Vec::new();
    for rule in &written.rules {
        match ready(rule) {
            Ok(ready) => rules.push(ready),
            // Routes that share the rules share their mistakes.
            Err(found) => {
                let new = found.into_iter().map(|mistake| complaint(rule, mistake));
                let new: Vec<_> = new.filter(|new| !complaints.contains(new)).collect();
                complaints.extend(new);
            }
        }
    }
    Arc::new(Rules::new(&route.path, rules, written.default))
}

fn ready(rule: &AuthorizationRule) -> Result<ReadyRule, Vec<Mistake>> {
    let text = rule.condition.value.as_str();
    let program = language::parse(text).map_err(|errors| {
        let errors = errors.errors.into_iter();
        let found = errors.map(|error| Mistake {
            at: place(text, error.pos),
            message: error.msg,
            help: None,
        });
        found.collect::<Vec<_>>()
    })?;
    let found = mistakes(program.expression(), program.source_info());
    if found.is_empty() {
        Ok(ReadyRule::new(rule, program))
    } else {
        Err(found)
    }
}

fn complaint(rule: &AuthorizationRule, mistake: Mistake) -> Diagnostic {
    let Mistake { at, message, help } = mistake;
    let text = rule.condition.value.as_str();
    let rest: String = text.chars().skip(at).take(SHOWN).collect();
    let rest = rest.trim();
    let message = if rest.is_empty() {
        format!("{message}, at the end of the expression")
    } else {
        format!(
            "{message}, at character {} of the expression: `{rest}`",
            at + 1
        )
    };
    Diagnostic {
        location: rule
            .condition
            .location
            .clone()
            .unwrap_or_else(|| Location::file(std::path::Path::new(""))),
        path: rule.key.clone(),
        message,
        help,
    }
}

/// Characters before a line and column, which count from 1.
fn place(text: &str, (line, column): (isize, isize)) -> usize {
    let before = usize::try_from(line - 1).unwrap_or_default();
    let lines = text.split_inclusive('\n').take(before);
    let lines: usize = lines.map(|line| line.chars().count()).sum();
    lines + usize::try_from(column - 1).unwrap_or_default()
}

/// Characters of an expression that a complaint repeats.
const SHOWN: usize = 32;
