//! Texts as YAML.

/// `text` as a scalar that reads back as exactly this text: without quotes where that is plainly safe.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Several texts as a list in one line.
pub(super) fn list(texts: &[String]) -> String {
    let items: Vec<String> = texts.iter().map(|text| scalar(text)).collect();
    format!("[{}]", items.join(", "))
}

/// `text` for a comment or a message: in one line.
pub(super) fn one_line(text: &str) -> String {
    text.escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}

fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./+=@-".contains(c);
    let first = text.chars().next();
    let starts_well = first.is_some_and(|c| c.is_ascii_alphabetic() || "_./-".contains(c));
    let names_something = text.chars().any(|c| c.is_ascii_alphanumeric());
    let word = text.to_ascii_lowercase();
    starts_well
        && names_something
        && text.len() < 200
        && text.chars().all(safe)
        && !matches!(
            word.as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        )
        && text.parse::<f64>().is_err()
}

fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => result.extend(['\\', character]),
            '\n' => result.push_str("\\n"),
            '\t' => result.push_str("\\t"),
            '\r' => result.push_str("\\r"),
            other
                if other.is_control()
                    || matches!(
                        other,
                        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                    ) =>
            {
                result.push_str(&format!("\\u{:04x}", u32::from(other)));
            }
            other => result.push(other),
        }
    }
    result.push('"');
    result
}
