//! The language as it is spoken here: the standard library without optional values, times and durations.
//!
//! `matches` is our own: the library compiles its pattern anew for each item of a list.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::parser::ParseErrors;
use cel::{Env, ExecutionError, Program};
use regex::Regex;

/// What all expressions have in common. Made once: making it costs more than evaluating most expressions.
pub(super) fn environment() -> &'static Arc<Env> {
    &ENVIRONMENT
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Program, ParseErrors> {
    ENVIRONMENT.compile(text)
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib().with_optional_support(false);
    environment
        .add_overload(
            "matches",
            "matches",
            vec![STRING_TYPE, STRING_TYPE],
            matches,
        )
        .and_then(|()| {
            let id = "string_matches";
            environment.add_member_overload("matches", id, STRING_TYPE, vec![STRING_TYPE], matches)
        })
        .expect("the library is built without its own `matches`");
    Arc::new(environment)
});

#[expect(
    clippy::needless_pass_by_value,
    reason = "the library calls it like this"
)]
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| {
        let value = arguments
            .get(at)
            .ok_or(ExecutionError::MissingArgumentOrTarget)?;
        let text = value.downcast_ref::<CelString<'_>>();
        text.ok_or(ExecutionError::MissingArgumentOrTarget)
    };
    let (text, pattern) = (text(0)?, text(1)?);
    let found = pattern_of(pattern.inner())?.is_match(text.inner());
    Ok(CowVal::owned(CelBool::from(found)))
}

fn pattern_of(pattern: &str) -> Result<Regex, ExecutionError> {
    let known = PATTERNS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(pattern) {
        return Ok(known.clone());
    }
    drop(known);
    let made = Regex::new(pattern);
    let made = made.map_err(|error| ExecutionError::function_error("matches", error))?;
    let mut known = PATTERNS.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MOST_PATTERNS {
        // Patterns that are put together from inputs; those that rules write out come back at once.
        known.clear();
    }
    known.insert(pattern.to_owned(), made.clone());
    Ok(made)
}

static PATTERNS: LazyLock<RwLock<HashMap<String, Regex>>> = LazyLock::new(RwLock::default);

const MOST_PATTERNS: usize = 256;
