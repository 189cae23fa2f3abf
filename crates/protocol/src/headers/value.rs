//! Text of any kind as a header value (digest §1.13): plain where it can be, else `=?base64?…?=`.

use http::HeaderValue;

use super::base64;

/// A header value that claims to be encoded and is not, or that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid header encoding")]
pub struct InvalidEncoding;

const OPEN: &[u8] = b"=?base64?";
const CLOSE: &[u8] = b"?=";

/// Writes any text as a header value.
///
/// Plain are visible ASCII characters, with spaces and tabs between them; what is padded or could be taken for an
/// encoded value is encoded.
#[must_use]
pub fn encode_value(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && text.trim_matches([' ', '\t']) == text
        && payload(text.as_bytes()).is_none();
    if plain && let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let encoded = format!("=?base64?{}?=", base64::encode(text.as_bytes()));
    HeaderValue::from_str(&encoded).expect("base64 is visible ASCII")
}

/// Reads a header value back as text.
///
/// # Errors
///
/// [`InvalidEncoding`] if the value is not UTF-8, or wears the marks of an encoded one and does not decode to UTF-8.
pub fn decode_value(value: &HeaderValue) -> Result<String, InvalidEncoding> {
    let bytes = match payload(value.as_bytes()) {
        Some(payload) => base64::decode(payload).ok_or(InvalidEncoding)?,
        None => value.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).map_err(|_| InvalidEncoding)
}

/// What stands between the marks of an encoded value.
fn payload(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_plain_and_the_rest_is_encoded() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("two words", "two words"),
            ("", ""),
            ("file:///a?b=c", "file:///a?b=c"),
            (" padded", "=?base64?IHBhZGRlZA==?="),
            ("é", "=?base64?w6k=?="),
            ("a\nb", "=?base64?YQpi?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("=?base64?open", "=?base64?open"),
        ] {
            assert_eq!(encode_value(text), value, "{text:?}");
            assert_eq!(decode_value(&encode_value(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_false_encoding_is_refused() {
        for value in ["=?base64?*?=", "=?base64?Zg?=", "=?base64?/w==?="] {
            assert_eq!(
                decode_value(&HeaderValue::from_static(value)),
                Err(InvalidEncoding),
                "{value}"
            );
        }
        assert!(decode_value(&HeaderValue::from_bytes(b"\xff").unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn every_text_survives(text in any::<String>()) {
            let value = encode_value(&text);
            prop_assert!(value.to_str().is_ok());
            prop_assert_eq!(decode_value(&value).unwrap(), text);
        }

        #[test]
        fn text_that_looks_encoded_survives(inner in "[A-Za-z0-9+/=?]{0,9}") {
            let text = format!("=?base64?{inner}?=");
            prop_assert_eq!(decode_value(&encode_value(&text)).unwrap(), text);
        }
    }
}
