//! The members of objects and the elements of arrays, one after the other.

use std::borrow::Cow;
use std::ops::Range;

use super::cursor::Values;
use super::{Cursor, InvalidJson, MAX_DEPTH};

/// One member of an object, by its place in the text.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    /// Where the key's opening quote stands.
    pub(crate) start: usize,
    /// The key between its quotes, escapes and all.
    raw_key: &'a [u8],
    /// Whether the key has escapes.
    escaped: bool,
    /// Where the value stands.
    pub(crate) value: Range<usize>,
}

/// The members of an object, in order.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a> {
    cursor: Cursor<'a>,
    values: Values,
    state: Walk,
}

/// The elements of an array, in order.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    cursor: Cursor<'a>,
    values: Values,
    state: Walk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    First,
    Later,
    Done,
}

impl<'a> Member<'a> {
    /// The key with its escapes resolved. Half of a surrogate pair becomes U+FFFD, which no key of ours contains.
    pub(crate) fn key(&self) -> Cow<'a, str> {
        if !self.escaped {
            return String::from_utf8_lossy(self.raw_key);
        }
        let mut quoted = Vec::with_capacity(self.raw_key.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(self.raw_key);
        quoted.push(b'"');
        match serde_json::from_slice::<String>(&quoted) {
            Ok(key) => Cow::Owned(key),
            Err(_) => Cow::Owned(String::from_utf8_lossy(self.raw_key).into_owned() + "\u{fffd}"),
        }
    }
}

impl<'a> Members<'a> {
    /// The members of an object in text that nobody has looked at; `None` if no object begins it.
    pub(crate) fn checking(text: &'a [u8]) -> Option<Self> {
        Self::open(Cursor::new(text, 0), Values::Unknown(MAX_DEPTH - 1))
    }

    /// The members of an object that is the whole of `text`, which is known to be well-formed.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        Self::at(text, 0)
    }

    /// The members of the object at `start` of `text`, which is known to be well-formed.
    pub(crate) fn at(text: &'a [u8], start: usize) -> Option<Self> {
        Self::open(Cursor::new(text, start), Values::Known)
    }

    fn open(mut cursor: Cursor<'a>, values: Values) -> Option<Self> {
        cursor.take_open(b'{').then_some(Self {
            cursor,
            values,
            state: Walk::First,
        })
    }

    /// The next member; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, InvalidJson> {
        if !self.cursor.next_item(&mut self.state, b'}')? {
            return Ok(None);
        }
        self.cursor.skip_space();
        let start = self.cursor.at;
        let escaped = self.cursor.key()?;
        let raw_key = self.cursor.last_key(start);
        self.cursor.colon()?;
        let value = self.cursor.pass(self.values)?;
        Ok(Some(Member {
            start,
            raw_key,
            escaped,
            value,
        }))
    }

    /// Where the reading stands: behind the object once `next` has returned `None`.
    pub(crate) fn into_cursor(self) -> Cursor<'a> {
        self.cursor
    }
}

impl<'a> Elements<'a> {
    /// The elements of an array in text that nobody has looked at; `None` if no array begins it.
    pub(crate) fn checking(text: &'a [u8]) -> Option<Self> {
        Self::open(Cursor::new(text, 0), Values::Unknown(MAX_DEPTH - 1))
    }

    /// The elements of an array that is the whole of `text`, which is known to be well-formed.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        Self::at(text, 0)
    }

    /// The elements of the array at `start` of `text`, which is known to be well-formed.
    pub(crate) fn at(text: &'a [u8], start: usize) -> Option<Self> {
        Self::open(Cursor::new(text, start), Values::Known)
    }

    fn open(mut cursor: Cursor<'a>, values: Values) -> Option<Self> {
        cursor.take_open(b'[').then_some(Self {
            cursor,
            values,
            state: Walk::First,
        })
    }

    /// Where the next element stands; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Range<usize>>, InvalidJson> {
        if !self.cursor.next_item(&mut self.state, b']')? {
            return Ok(None);
        }
        self.cursor.pass(self.values).map(Some)
    }

    /// Where the reading stands: behind the array once `next` has returned `None`.
    pub(crate) fn into_cursor(self) -> Cursor<'a> {
        self.cursor
    }
}
