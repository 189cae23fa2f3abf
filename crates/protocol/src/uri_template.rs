//! URI templates (RFC 6570), as far as a router needs them: which URIs a template may have made.
//!
//! Matching cannot be exact in general, since expansion loses information. Ours errs on the side of matching and takes
//! time linear in the length of template times URI, whatever they are.

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Expression(Operator),
}

/// The operators of RFC 6570, section 2.2, by what they expand to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// `{x}`: one path segment.
    Simple,
    /// `{+x}`: anything.
    Reserved,
    /// `{#x}`, `{.x}`, `{/x}`, `{;x}`, `{?x}`, `{&x}`: nothing, or the sign and what follows.
    Prefixed(u8),
}

/// The text is not a URI template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace without its partner, or one inside the other.
    #[error("its braces do not match")]
    Braces,
    /// An expression without a variable, or with an operator or variable name that nobody knows.
    #[error("it has an expression that is not one")]
    Expression,
}

impl UriTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`InvalidTemplate`] if its expressions are malformed.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (literal, from_brace) = rest.split_at(brace);
            let inside = from_brace
                .strip_prefix('{')
                .ok_or(InvalidTemplate::Braces)?;
            let (expression, after) = inside.split_once('}').ok_or(InvalidTemplate::Braces)?;
            if expression.contains('{') {
                return Err(InvalidTemplate::Braces);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Expression(Operator::parse(expression)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every URI of the template begins with; the longer it is, the more the template says.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => &self.text[..literal.len()],
            _ => "",
        }
    }

    /// Whether the template may have made `uri`.
    #[must_use]
    pub fn matches(&self, uri: &str) -> bool {
        if !uri.starts_with(self.literal_prefix()) {
            return false;
        }
        let uri = uri.as_bytes();
        // Which lengths of the URI the parts so far may have made.
        let mut reached = vec![false; uri.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = match part {
                Part::Literal(literal) => after_literal(&reached, uri, literal.as_bytes()),
                Part::Expression(operator) => operator.after(&reached, uri),
            };
        }
        reached[uri.len()]
    }
}

fn after_literal(reached: &[bool], uri: &[u8], literal: &[u8]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for (at, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
        if uri[at..].starts_with(literal) {
            next[at + literal.len()] = true;
        }
    }
    next
}

impl Operator {
    fn parse(expression: &str) -> Result<Self, InvalidTemplate> {
        let (operator, variables) = match expression.as_bytes().first() {
            Some(b'+') => (Self::Reserved, &expression[1..]),
            Some(&sign @ (b'#' | b'.' | b'/' | b';' | b'?' | b'&')) => {
                (Self::Prefixed(sign), &expression[1..])
            }
            _ => (Self::Simple, expression),
        };
        if variables.split(',').all(is_variable) {
            Ok(operator)
        } else {
            Err(InvalidTemplate::Expression)
        }
    }

    fn after(self, reached: &[bool], uri: &[u8]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        // Whether an expansion that began further left may go on here.
        let mut open = false;
        for at in 0..reached.len() {
            let empty_allowed = matches!(self, Self::Prefixed(_));
            next[at] |= open || (reached[at] && empty_allowed);
            let Some(&byte) = uri.get(at) else {
                break;
            };
            open = match self {
                Self::Simple => (open || reached[at]) && byte != b'/',
                Self::Reserved => open || reached[at],
                Self::Prefixed(sign) => {
                    (open && self.allows(byte)) || (reached[at] && byte == sign)
                }
            };
        }
        next
    }

    /// What may stand in a prefixed expansion.
    const fn allows(self, byte: u8) -> bool {
        match self {
            Self::Prefixed(b'?' | b'&') => byte != b'#',
            Self::Prefixed(b'.' | b';') => !matches!(byte, b'/' | b'?' | b'#'),
            Self::Prefixed(b'/') => !matches!(byte, b'?' | b'#'),
            _ => true,
        }
    }
}

/// A variable name with its modifier (`*` or `:n`). Any sign that no template gives a meaning may stand in a name: some
/// servers write `{user-id}`.
fn is_variable(variable: &str) -> bool {
    let name = match variable.split_once(':') {
        Some((name, length))
            if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        Some(_) => return false,
        None => variable.strip_suffix('*').unwrap_or(variable),
    };
    !name.is_empty() && !name.contains(['+', '#', '/', ';', '?', '&', '=', '!', '@', '|', '*', ' '])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(template: &str, uri: &str, expected: bool) {
        assert_eq!(
            UriTemplate::parse(template).unwrap().matches(uri),
            expected,
            "{template} {uri}"
        );
    }

    #[test]
    fn a_template_matches_what_it_may_have_made() {
        check("file:///{path}", "file:///a.txt", true);
        check("file:///{path}", "file:///a/b", false);
        check("file:///{path}", "file:///", false);
        check("file:///{+path}", "file:///a/b?c", true);
        check("file:///{+path}", "http:///a", false);
        check("db://{table}/rows/{id}", "db://users/rows/7", true);
        check("db://{table}/rows/{id}", "db://users/rows/7/8", false);
        check("db://{table}/rows/{id}", "db://users/7", false);
        check("a:{x}{y}", "a:12", true);
        check("a:{x}-{y}", "a:1-2-3", true);
        check("a:{x,y}", "a:1,2", true);
        check("a:b{/rest*}", "a:b", true);
        check("a:b{/rest*}", "a:b/c/d", true);
        check("a:b{/rest*}", "a:bc", false);
        check("a:b{?q,page}", "a:b?q=1&page=2", true);
        check("a:b{?q}", "a:b#x", false);
        check("a:b?x=1{&q}", "a:b?x=1&q=2", true);
        check("a:b{#frag}", "a:b#x/y?z", true);
        check("a:b{.ext}", "a:b.tar.gz", true);
        check("a:b{;v}", "a:b;v=1", true);
        check("{+uri}", "any:thing", true);
        check("plain:uri", "plain:uri", true);
        check("plain:uri", "plain:uri2", false);
        check("caf\u{e9}:{x:3}", "caf\u{e9}:abc", true);
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_expression() {
        let prefix = |text: &str| {
            UriTemplate::parse(text)
                .unwrap()
                .literal_prefix()
                .to_owned()
        };
        assert_eq!(prefix("file:///{path}/x"), "file:///");
        assert_eq!(prefix("{+uri}"), "");
        assert_eq!(prefix("a:b"), "a:b");
        assert_eq!(prefix(""), "");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["{", "}", "a}b{c}", "{a{b}}", "{a"] {
            assert_eq!(
                UriTemplate::parse(text),
                Err(InvalidTemplate::Braces),
                "{text}"
            );
        }
        for text in ["{}", "{+}", "{a,}", "{a:x}", "{a:}", "{=a}", "{a b}"] {
            assert_eq!(
                UriTemplate::parse(text),
                Err(InvalidTemplate::Expression),
                "{text}"
            );
        }
    }

    #[test]
    fn a_hostile_template_costs_little() {
        let template = UriTemplate::parse(&"{+a}b".repeat(200)).unwrap();
        assert!(!template.matches(&"b".repeat(2000).replace("bb", "bc")));
    }

    proptest! {
        #[test]
        fn a_simple_expansion_is_matched(prefix in "[a-z]{1,5}:", value in "[a-zA-Z0-9%._~-]{1,10}", rest in "[a-z/]{0,5}") {
            let template = UriTemplate::parse(&format!("{prefix}{{x}}{rest}")).unwrap();
            let made = format!("{prefix}{value}{rest}");
            prop_assert!(template.matches(&made));
        }

        #[test]
        fn no_text_panics(template in "[a{}+/?,:*\u{e9}]{0,20}", uri in "\\PC{0,20}") {
            if let Ok(template) = UriTemplate::parse(&template) {
                let _ = template.matches(&uri);
            }
        }
    }
}
