//! Walks JSON text without building values from it.
//!
//! One checking cursor serves every reader of this crate: it proves text well-formed (grammar and nesting; UTF-8 is
//! checked once for a whole body) and tells where members and elements begin and end, so that everything else can be
//! spliced through as it came. It recurses nowhere and its memory does not grow with the text.

mod cursor;
mod strings;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use cursor::Cursor;
pub(crate) use walk::{Elements, Member, Members};

/// How deep objects and arrays may nest in one message.
pub const MAX_DEPTH: u32 = 128;

/// The text is not one well-formed JSON value that we are ready to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text breaks the grammar, or is not UTF-8.
    #[error("not well-formed JSON at byte {offset}")]
    Syntax {
        /// Where, in bytes from the start of the text that was read.
        offset: usize,
    },
    /// Objects and arrays nest deeper than [`MAX_DEPTH`].
    #[error("nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Checks that `text` is exactly one JSON value, and returns where it stands between surrounding white space.
pub(crate) fn check(text: &[u8]) -> Result<Range<usize>, InvalidJson> {
    check_utf8(text)?;
    let mut cursor = Cursor::new(text, 0);
    let value = cursor.value(MAX_DEPTH)?;
    cursor.end()?;
    Ok(value)
}

/// Checks the encoding of a whole text; the cursor itself looks at ASCII only.
pub(crate) fn check_utf8(text: &[u8]) -> Result<(), InvalidJson> {
    match str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(InvalidJson::Syntax {
            offset: error.valid_up_to(),
        }),
    }
}

/// Reads the text of a string value; `None` if `value` is not a string, or has half of a surrogate pair.
pub(crate) fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(value).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
