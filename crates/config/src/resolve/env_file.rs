//! Files of `NAME=value` lines.

/// Reads what shells and the usual tools agree on: comments, `export`, and quotes, in which `"…"` knows `\n`, `\"`
/// and `\\`.
///
/// # Errors
///
/// The numbers, counted from 1, of the lines that are not of that form.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<usize>> {
    let mut variables = Vec::new();
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match variable(line.strip_prefix("export ").unwrap_or(line)) {
            Some(variable) => variables.push(variable),
            None => wrong.push(index + 1),
        }
    }
    if wrong.is_empty() {
        Ok(variables)
    } else {
        Err(wrong)
    }
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
        return None;
    }
    Some((name.to_owned(), unquote(value.trim())?))
}

fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (inner, after) = rest.split_once('\'')?;
        return is_comment(after).then(|| inner.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut result = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return is_comment(characters.as_str()).then_some(result),
            '\\' => match characters.next()? {
                'n' => result.push('\n'),
                'r' => result.push('\r'),
                't' => result.push('\t'),
                other @ ('"' | '\\' | '$') => result.push(other),
                other => result.extend(['\\', other]),
            },
            other => result.push(other),
        }
    }
}

fn is_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_shells_read_them() {
        let text = "# c\n\nA=1\nexport B = two words # note\nC='$x #'\nD=\"a\\n\\\"b\\\"\" # e\nE=\nF=a#b\nG==\n";
        let variables = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$x #"),
            ("D", "a\n\"b\""),
            ("E", ""),
            ("F", "a#b"),
            ("G", "="),
        ];
        let found: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_of_another_form_are_named() {
        assert_eq!(
            parse("A=1\nB\n=x\nC='open\nD=\"x\" y\n"),
            Err(vec![2, 3, 4, 5])
        );
    }
}
