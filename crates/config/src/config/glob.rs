//! Patterns for names and URIs.

use std::fmt;

/// A pattern in which `*` stands for any run of characters, also none, and `?` for one character.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// Takes `pattern` as it is: every text is a pattern.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits. Takes at most the product of both lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), text);
        // Where to go on when the text after the last star does not fit: one star is enough to remember, since a
        // later star could take whatever an earlier one gives up.
        let mut retry: Option<(&str, &str)> = None;
        loop {
            match (pattern.chars().next(), rest.chars().next()) {
                (Some('*'), _) => {
                    pattern = &pattern[1..];
                    retry = Some((pattern, rest));
                }
                (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                    pattern = &pattern[wanted.len_utf8()..];
                    rest = &rest[found.len_utf8()..];
                }
                (None, None) => return true,
                _ => {
                    let Some((after_star, from)) = retry else {
                        return false;
                    };
                    let Some(swallowed) = from.chars().next() else {
                        return false;
                    };
                    pattern = after_star;
                    rest = &from[swallowed.len_utf8()..];
                    retry = Some((after_star, rest));
                }
            }
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_run_and_a_question_mark_one_character() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        };
        check("files__*", "files__read", true);
        check("files__*", "files__", true);
        check("files__*", "file__read", false);
        check("*_delete_*", "files__delete_all", true);
        check("*a*b", "aab", true);
        check("*a*b", "aba", false);
        check("?ä", "öä", true);
        check("?", "", false);
        check("*", "", true);
        check("", "", true);
        check("", "x", false);
        check("**x", "yyx", true);
    }
}
