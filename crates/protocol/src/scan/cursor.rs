//! Moves over the tokens of JSON text, checking them or skipping what is known.

use std::ops::Range;

use super::walk::Walk;
use super::{InvalidJson, MAX_DEPTH};

/// A place in JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
}

/// How values are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Checked, nesting at most this deep.
    Unknown(u32),
    /// Skipped: the text is part of a [`RawJson`](crate::RawJson).
    Known,
}

// Inlining the small steps by force takes a fifth off the time of structured bodies (`benches/envelope.rs`).
impl<'a> Cursor<'a> {
    /// A cursor before the byte at `at`.
    pub(crate) const fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    /// Refuses anything but white space up to the end of the text.
    pub(crate) fn end(mut self) -> Result<(), InvalidJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax()),
        }
    }

    pub(super) fn pass(&mut self, values: Values) -> Result<Range<usize>, InvalidJson> {
        match values {
            Values::Unknown(depth) => self.value(depth),
            Values::Known => self.skip(),
        }
    }

    /// Moves past one value of text that is known to be well-formed: only brackets and strings matter. Other text gives
    /// some wrong range inside it, or an error.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, InvalidJson> {
        self.skip_space();
        let start = self.at;
        let mut level = 0_usize;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    self.skip_string()?;
                }
                Some(b'{' | b'[') => {
                    self.at += 1;
                    level += 1;
                    continue;
                }
                Some(b'}' | b']') if level > 0 => {
                    self.at += 1;
                    level -= 1;
                }
                Some(_) if level > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                    let end = |byte: &u8| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
                    };
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(end).unwrap_or(rest.len());
                }
                _ => return Err(self.syntax()),
            }
            if level == 0 {
                return Ok(start..self.at);
            }
        }
    }

    /// Moves past one value that nests at most `depth` levels.
    pub(crate) fn value(&mut self, depth: u32) -> Result<Range<usize>, InvalidJson> {
        self.skip_space();
        let start = self.at;
        match self.text.get(start) {
            Some(b'{' | b'[') => self.container(depth.min(MAX_DEPTH))?,
            _ => self.scalar()?,
        }
        Ok(start..self.at)
    }

    /// Moves past an object or array. What is open is kept as bits (1 an object, 0 an array), innermost lowest.
    fn container(&mut self, depth: u32) -> Result<(), InvalidJson> {
        let mut open: u128 = 0;
        let mut level: u32 = 0;
        loop {
            // A value is due here.
            self.skip_space();
            match self.text.get(self.at) {
                Some(&opening @ (b'{' | b'[')) => {
                    if level == depth {
                        return Err(InvalidJson::TooDeep);
                    }
                    self.at += 1;
                    level += 1;
                    open = open << 1 | u128::from(opening == b'{');
                    self.skip_space();
                    match self.text.get(self.at) {
                        // Opening and closing brackets of a kind are two apart in ASCII.
                        Some(&closing) if closing == opening + 2 => {}
                        _ if opening == b'{' => {
                            self.key()?;
                            self.colon()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                _ => self.scalar()?,
            }
            // A value has just ended, or its container is about to.
            loop {
                self.skip_space();
                let object = open & 1 == 1;
                match self.text.get(self.at) {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.skip_space();
                            self.key()?;
                            self.colon()?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.at += 1,
                    Some(b']') if !object => self.at += 1,
                    _ => return Err(self.syntax()),
                }
                open >>= 1;
                level -= 1;
                if level == 0 {
                    return Ok(());
                }
            }
        }
    }

    #[inline(always)]
    fn scalar(&mut self) -> Result<(), InvalidJson> {
        match self.text.get(self.at) {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.syntax()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), InvalidJson> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.syntax())
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), InvalidJson> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), InvalidJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.syntax());
        }
        Ok(())
    }

    /// Moves past a key; true if it has escapes.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<bool, InvalidJson> {
        match self.text.get(self.at) {
            Some(b'"') => self.string(),
            _ => Err(self.syntax()),
        }
    }

    /// The key that began at `start` and has just been read, without its quotes.
    pub(super) fn last_key(&self, start: usize) -> &'a [u8] {
        &self.text[start + 1..self.at - 1]
    }

    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<(), InvalidJson> {
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.syntax()),
        }
    }

    pub(super) fn take_open(&mut self, bracket: u8) -> bool {
        let found = self.peek() == Some(bracket);
        self.at += usize::from(found);
        found
    }

    /// Moves to the next item of the container that `closing` ends, or past its end.
    pub(super) fn next_item(&mut self, state: &mut Walk, closing: u8) -> Result<bool, InvalidJson> {
        if *state == Walk::Done {
            return Ok(false);
        }
        match self.peek() {
            Some(byte) if byte == closing => {
                self.at += 1;
                *state = Walk::Done;
                Ok(false)
            }
            Some(b',') if *state == Walk::Later => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if *state == Walk::First => {
                *state = Walk::Later;
                Ok(true)
            }
            _ => Err(self.syntax()),
        }
    }

    #[inline(always)]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    pub(super) fn syntax(&self) -> InvalidJson {
        InvalidJson::Syntax { offset: self.at }
    }
}
