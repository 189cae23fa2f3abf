//! JSON with comments and trailing commas, as editors write it.

/// Replaces comments and trailing commas by spaces, so that every position stays what it was. A comment that does not
/// end goes to the end of the text.
pub(super) fn strip(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut comma = None;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                comma = None;
                at = end_of_string(&bytes, at);
                continue;
            }
            b'/' if matches!(bytes.get(at + 1), Some(b'/' | b'*')) => {
                let end = end_of_comment(&bytes, at);
                blank(&mut bytes[at..end]);
                at = end;
                continue;
            }
            b',' => comma = Some(at),
            b']' | b'}' => {
                if let Some(comma) = comma.take() {
                    bytes[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Only whole characters inside comments were replaced, so this is still UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start + 2..];
    let length = if bytes[start + 1] == b'/' {
        rest.iter().position(|byte| *byte == b'\n')
    } else {
        rest.windows(2)
            .position(|pair| pair == b"*/")
            .map(|position| position + 2)
    };
    length.map_or(bytes.len(), |length| start + 2 + length)
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_become_spaces() {
        let check = |text: &str, expected: &str| assert_eq!(strip(text), expected);
        check("{\"a\": 1, // ä\n}", "{\"a\": 1       \n}");
        check("[1, /* , */ 2,]", "[1,         2 ]");
        check("\"// \\\" /* ,]\"", "\"// \\\" /* ,]\"");
        check("/* open", "       ");
        check("{\"a\":[1,\n],}", "{\"a\":[1 \n] }");
        check("\"open\\", "\"open\\");
    }
}
