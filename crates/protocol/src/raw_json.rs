//! JSON text that is known to be well-formed and is otherwise left alone.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::InvalidJson;
use crate::scan;

/// One well-formed JSON value as the text it was written in.
///
/// Cloning is cheap (a reference count). Number spelling, key order, escapes and inner white space are those of the
/// sender. Equality is equality of text, not of value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The empty object `{}`.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// The literal `null`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Checks `text` and keeps it, without surrounding white space.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`] if `text` is not exactly one JSON value in UTF-8, or nests deeper than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH) levels.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let text = text.into();
        let value = scan::check(&text)?;
        Ok(Self(text.slice(value)))
    }

    /// Keeps the value that the scanner found at `range` of `whole`, sharing its memory.
    pub(crate) fn found(whole: &Bytes, range: Range<usize>) -> Self {
        Self(whole.slice(range))
    }

    /// Writes `text` as a JSON string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::from_serialize(text)
    }

    /// Keeps a value that serde found inside `whole`, sharing its memory.
    ///
    /// Copies the text if `value` does not lie inside `whole`.
    #[must_use]
    pub fn within(whole: &Bytes, value: &RawValue) -> Self {
        let text = value.get().as_bytes();
        let range = whole.as_ptr_range();
        let inner = text.as_ptr_range();
        if range.start <= inner.start && inner.end <= range.end {
            Self(whole.slice_ref(text))
        } else {
            Self(Bytes::copy_from_slice(text))
        }
    }

    /// Writes `value` as JSON.
    ///
    /// # Panics
    ///
    /// Never for the types of this workspace: only a map with keys that are not strings cannot be written.
    #[must_use]
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(
            serde_json::to_vec(value)
                .expect("our own types have string keys only")
                .into(),
        )
    }

    /// Wraps text that this program has just assembled from well-formed parts.
    ///
    /// The caller vouches for the text; debug builds check it.
    #[must_use]
    pub fn assembled(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        debug_assert!(
            serde_json::from_slice::<&RawValue>(&text).is_ok(),
            "assembled text is not JSON: {:?}",
            String::from_utf8_lossy(&text)
        );
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as the shared buffer it lives in.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("well-formed JSON text is UTF-8")
    }

    /// Length of the text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true: the shortest JSON value has one byte. Present because `len` is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.as_ref() == b"null"
    }

    /// Reads the value into a type that may borrow from it.
    ///
    /// # Errors
    ///
    /// serde's, when the value has another shape.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.as_str().char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{}… ({} bytes)", &self.as_str()[..end], self.len()),
            None => f.write_str(self.as_str()),
        }
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RawJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `&RawValue` is the only door serde_json has for verbatim text.
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::from(String::from(Box::<str>::from(raw)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_unchanged_apart_from_surrounding_white_space() {
        let raw =
            RawJson::parse(&b"  {\"a\" : 1.0e0, \"\\u00e9\":12345678901234567890123 } \n"[..])
                .unwrap();
        assert_eq!(
            raw.as_str(),
            "{\"a\" : 1.0e0, \"\\u00e9\":12345678901234567890123 }"
        );
    }

    #[test]
    fn a_value_found_inside_a_buffer_shares_its_memory() {
        let whole = Bytes::from_static(b"[ {\"x\":1} ]");
        let parts: Vec<&RawValue> = serde_json::from_slice(&whole).unwrap();
        let part = RawJson::within(&whole, parts[0]);
        assert_eq!(part.as_bytes().as_ptr(), whole[2..].as_ptr());
    }

    #[test]
    fn text_that_is_not_one_value_is_refused() {
        for text in ["", "{", "1 2", "{\"a\":}", "\u{feff}1"] {
            assert!(RawJson::parse(text.to_owned()).is_err(), "{text:?}");
        }
        assert!(RawJson::parse(&b"\"\xff\""[..]).is_err());
    }
}
