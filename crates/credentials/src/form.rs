//! `application/x-www-form-urlencoded`.

use std::fmt::Write as _;

/// Fields as a form.
pub(crate) fn encode<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        escape(name, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    text
}

/// One value as it stands in a form.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::new();
    escape(value, &mut text);
    text
}

fn escape(value: &str, text: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                text.push(char::from(byte));
            }
            b' ' => text.push('+'),
            other => {
                // Writing to a text cannot fail.
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
}

/// The fields of a form; `None` if it is none, or not text.
pub(crate) fn decode(form: &str) -> Option<Vec<(String, String)>> {
    let fields = form.split('&').filter(|field| !field.is_empty());
    let fields = fields.map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        Some((unescaped(name)?, unescaped(value)?))
    });
    fields.collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_means_something_is_escaped() {
        let form = encode([("a b", "c&d=é"), ("x", "")]);
        assert_eq!(form, "a+b=c%26d%3D%C3%A9&x=");
        let fields = decode(&form).unwrap();
        assert_eq!(fields[0], ("a b".to_owned(), "c&d=é".to_owned()));
        assert_eq!(fields[1], ("x".to_owned(), String::new()));
    }

    #[test]
    fn what_is_no_form_is_none() {
        for bad in ["a=%", "a=%1", "a=%zz", "a=%ff", "%é=1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode(""), Some(Vec::new()));
    }
}
