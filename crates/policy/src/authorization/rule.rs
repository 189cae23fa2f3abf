//! One rule, ready to be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cel::{Context, ExecutionError, Program, Value};
use isthmus_config::{AuthorizationEffect, AuthorizationRule};
use isthmus_exchange::{Caller, Decision, Rule, Verdict};

use super::inputs::Inputs;
use super::language;

/// One rule, ready to be asked.
#[derive(Debug)]
pub(super) struct ReadyRule {
    program: Program,
    /// What it means that the rule is true.
    pub(super) matched: Verdict,
    /// The same for a caller who has what it takes.
    pub(super) granted: Verdict,
    /// What it means that nobody can say.
    pub(super) failed: Verdict,
    reads_arguments: bool,
    complained: AtomicBool,
}

/// What a rule says of one caller and item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It is true.
    True,
    /// It is not.
    False,
    /// It depends on arguments, which are not known yet.
    Open,
    /// It cannot be evaluated.
    Failed,
}

impl ReadyRule {
    pub(super) fn new(written: &AuthorizationRule, program: Program) -> Self {
        let place = written.condition.location.as_ref();
        let named = written.name.clone();
        let rule = Arc::new(Rule {
            name: named.unwrap_or_else(|| without_effect(&written.key).to_owned()),
            place: place.map_or_else(String::new, ToString::to_string),
            reason: written.reason.clone(),
        });
        let verdict = |decision, failed| Verdict {
            decision,
            rule: Some(rule.clone()),
            failed,
        };
        let matched = match &written.effect {
            AuthorizationEffect::Allow => Decision::Allow,
            AuthorizationEffect::Hide => Decision::Hide,
            AuthorizationEffect::StepUp(scopes) => Decision::StepUp(scopes.as_slice().into()),
        };
        Self {
            matched: verdict(matched, false),
            granted: verdict(Decision::Allow, false),
            failed: verdict(Decision::Hide, true),
            reads_arguments: reads(&program, "arguments"),
            complained: AtomicBool::new(false),
            program,
        }
    }

    /// Whether the expression mentions an input.
    pub(super) fn reads(&self, input: &str) -> bool {
        reads(&self.program, input)
    }

    /// Whether `caller` has what the rule would ask for.
    pub(super) fn grants(&self, caller: &Caller) -> bool {
        let Decision::StepUp(scopes) = &self.matched.decision else {
            return false;
        };
        let own = caller.principal.scopes();
        scopes.iter().all(|scope| own.contains(scope))
    }

    /// Evaluates the expression.
    pub(super) fn ask(&self, inputs: &Inputs<'_>) -> Said {
        let mut context = Context::with_env(language::environment().clone());
        context.set_variable_resolver(inputs);
        match self.program.execute(&context) {
            Ok(Value::Bool(true)) => Said::True,
            Ok(Value::Bool(false)) => Said::False,
            Err(ExecutionError::UndeclaredReference(name))
                if self.reads_arguments
                    && !inputs.has_arguments()
                    && name.trim_start_matches('.') == "arguments" =>
            {
                Said::Open
            }
            Ok(_) => {
                self.complain("it is neither true nor false");
                Said::Failed
            }
            Err(error) => {
                self.complain(&words(&error));
                Said::Failed
            }
        }
    }

    /// Once: a rule that fails for one caller fails for many.
    fn complain(&self, why: &str) {
        if self.complained.swap(true, Ordering::Relaxed) {
            return;
        }
        let rule = self.matched.rule.as_deref();
        let (name, place) = rule.map_or(("", ""), |rule| (&rule.name, &rule.place));
        tracing::warn!(
            rule = name,
            place,
            "a rule cannot be evaluated, so it denies; that is said once for each rule: {why}"
        );
    }
}

/// What went wrong, without any value: those are callers' claims and arguments.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => format!("there is no `{name}`"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}` here"),
        ExecutionError::NoSuchOverload(error) => error.to_string(),
        ExecutionError::UnexpectedType { got, want } => format!("{got} instead of {want}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::IndexOutOfBounds(_) => "a list is shorter".to_owned(),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        _ => "the types of its values do not fit".to_owned(),
    }
}

fn reads(program: &Program, input: &str) -> bool {
    let references = program.references();
    references.has_variable(input) || references.has_variable(format!(".{input}"))
}

/// `routes./mcp.authorization.rules[0]` of `routes./mcp.authorization.rules[0].allow`.
fn without_effect(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(rule, _)| rule)
}
