//! `${X}` inside a scalar.
//!
//! Done on the tree, so that a value can never change the shape of the document. `${X}` is the value of `X`,
//! `${X:-text}` is `text` if `X` is not set or empty, `$${` is `${` itself. Texts in single quotes stay as they are,
//! and keys are never touched.

use super::node::{Content, Node, Scalar, Style, at, join};
use crate::diagnostics::{Complaints, Mark};
use crate::environment::Environment;

/// Replaces every reference below `node`. Complains about variables that are not set.
pub(crate) fn interpolate(
    node: &mut Node,
    path: &str,
    environment: &Environment,
    complaints: &mut Complaints,
) {
    let mark = node.mark;
    match &mut node.content {
        Content::Null => {}
        Content::Scalar(scalar) => replace(scalar, mark, path, environment, complaints),
        Content::Sequence(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                interpolate(node, &at(path, index), environment, complaints);
            }
        }
        Content::Mapping(entries) => {
            for entry in entries {
                let path = join(path, &entry.key);
                interpolate(&mut entry.value, &path, environment, complaints);
            }
        }
    }
}

fn replace(
    scalar: &mut Scalar,
    mark: Mark,
    path: &str,
    environment: &Environment,
    complaints: &mut Complaints,
) {
    if scalar.style == Style::Literal || !scalar.text.contains("${") {
        return;
    }
    let mut result = String::new();
    let mut rest = scalar.text.as_str();
    let mut replaced = false;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &reference[2..];
            continue;
        }
        result.push_str(before);
        let Some((body, after)) = reference[2..].split_once('}') else {
            let message = "a `${` without its `}`";
            complaints.add_with_help(
                mark,
                path,
                message,
                "write `$${` for the characters themselves",
            );
            return;
        };
        rest = after;
        replaced = true;
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        if !is_variable(name) {
            // Not what it says: it may be part of a password.
            let message = "a `${…}` that does not hold the name of an environment variable";
            let help =
                "write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves";
            complaints.add_with_help(mark, path, message, help);
            continue;
        }
        match (environment.get(name), default) {
            (None | Some(""), Some(default)) => result.push_str(default),
            (Some(value), _) => result.push_str(value),
            (None, None) => {
                let message = format!("environment variable `{name}` is not set");
                let help = format!("export it, or write `${{{name}:-default}}`");
                complaints.add_with_help(mark, path, message, help);
            }
        }
    }
    result.push_str(rest);
    scalar.text = result;
    if replaced {
        scalar.style = Style::Interpolated;
    }
}

/// Whether `name` can be the name of an environment variable in every shell.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = Environment::new([("A", "x: [1"), ("EMPTY", "")], "/");
        let mut complaints = Complaints::new(Path::new("f"));
        let mut node = Node {
            mark: Mark { line: 1, column: 1 },
            content: Content::Scalar(Scalar {
                text: text.to_owned(),
                style: Style::Plain,
            }),
        };
        interpolate(&mut node, "k", &environment, &mut complaints);
        let Content::Scalar(scalar) = node.content else {
            panic!("still a scalar");
        };
        match expected {
            Ok(expected) => {
                assert_eq!(scalar.text, expected);
                assert!(complaints.is_empty(), "{text}");
            }
            Err(message) => {
                let all = complaints.unless_any(()).unwrap_err().to_string();
                assert!(all.contains(message), "{all}");
            }
        }
    }

    #[test]
    fn references_become_values_that_stay_one_scalar() {
        check("${A}", Ok("x: [1"));
        check("-${A}-${A}", Ok("-x: [1-x: [1"));
        check("${NOT_SET:-d}${EMPTY:-e}", Ok("de"));
        check("${EMPTY}", Ok(""));
        check("$A $$ $${A} $", Ok("$A $$ ${A} $"));
    }

    #[test]
    fn a_reference_that_cannot_be_followed_is_complained_about() {
        check("${NOT_SET}", Err("`NOT_SET` is not set"));
        check("${A", Err("without its `}`"));
        check("${input:x}", Err("does not hold the name"));
        check("${}", Err("does not hold the name"));
    }
}
