//! The id of a JSON-RPC request.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::RawJson;

/// A request id exactly as its sender spelled it: a JSON string or number.
///
/// Two ids are the same if their text is the same; a peer that spells its own id in two ways is answered in each.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(RawJson);

impl Id {
    /// An id of our own making: a plain integer.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self(RawJson::assembled(number.to_string()))
    }

    /// Takes a JSON value as an id.
    ///
    /// Returns `None` unless it is a string or a number (26:basic, 1125:basic: an id must not be null).
    #[must_use]
    pub fn from_raw(raw: RawJson) -> Option<Self> {
        match raw.as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') => Some(Self(raw)),
            _ => None,
        }
    }

    /// The id as JSON text.
    #[must_use]
    pub const fn raw(&self) -> &RawJson {
        &self.0
    }

    /// The id as one of the integers that [`Id::number`] makes.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        self.0.as_str().parse().ok()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(RawJson::from_serialize(&raw))
            .ok_or_else(|| serde::de::Error::custom("an id is a string or a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_spelling_and_nothing_else_is_an_id() {
        for text in [
            "1",
            "-7",
            "1.0",
            "9007199254740993",
            "\"a\\u0062\"",
            "1e400",
        ] {
            let raw = RawJson::parse(text.to_owned()).unwrap();
            assert_eq!(Id::from_raw(raw).unwrap().to_string(), text);
        }
        for text in ["null", "true", "[]", "{}"] {
            assert!(Id::from_raw(RawJson::parse(text.to_owned()).unwrap()).is_none());
        }
    }
}
