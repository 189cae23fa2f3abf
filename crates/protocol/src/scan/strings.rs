//! Finds the ends of strings, eight bytes at a time.

use super::{Cursor, InvalidJson};

impl Cursor<'_> {
    /// Moves behind the closing quote of a string that is known to be well-formed.
    pub(super) fn skip_string(&mut self) -> Result<(), InvalidJson> {
        let text = self.text;
        let mut at = self.at;
        let mut plain_words = 0;
        while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let mut special = quote_or_backslash(u64::from_le_bytes(*chunk));
            if special == 0 {
                at += 8;
                plain_words += 1;
                // Where nothing special was near, take the long stride.
                if plain_words == 4 {
                    plain_words = 0;
                    at += memchr::memchr2(b'"', b'\\', &text[at..]).unwrap_or(text.len() - at);
                }
                continue;
            }
            plain_words = 0;
            loop {
                let index = special.trailing_zeros() as usize / 8;
                if chunk[index] == b'"' {
                    self.at = at + index + 1;
                    return Ok(());
                }
                special = behind_escape(special, index);
                if special == 0 {
                    at += 8.max(index + 2);
                    break;
                }
            }
        }
        while let Some(byte) = text.get(at) {
            match byte {
                b'"' => {
                    self.at = at + 1;
                    return Ok(());
                }
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = text.len();
        Err(self.syntax())
    }

    /// Moves past a string, eight bytes at a time; true if it has escapes.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<bool, InvalidJson> {
        let text = self.text;
        let mut at = self.at + 1;
        let mut escaped = false;
        'word: while let Some(chunk) = text[at..].first_chunk::<8>() {
            let mut special = special_bytes(u64::from_le_bytes(*chunk));
            while special != 0 {
                let index = special.trailing_zeros() as usize / 8;
                match chunk[index] {
                    b'"' => {
                        self.at = at + index + 1;
                        return Ok(escaped);
                    }
                    b'\\' => {
                        escaped = true;
                        let length = escape_length(text, at + index)?;
                        special = behind_escape(special, index);
                        if length > 2 || (special == 0 && index > 5) {
                            at += index + length;
                            continue 'word;
                        }
                    }
                    _ => return Err(InvalidJson::Syntax { offset: at + index }),
                }
            }
            at += 8;
        }
        loop {
            match text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    at += escape_length(text, at)?;
                }
                Some(0x20..) => at += 1,
                _ => return Err(InvalidJson::Syntax { offset: at }),
            }
        }
    }
}

/// How many bytes the escape has whose backslash stands at `at`.
fn escape_length(text: &[u8], at: usize) -> Result<usize, InvalidJson> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u')
            if text
                .get(at + 2..at + 6)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
        {
            Ok(6)
        }
        _ => Err(InvalidJson::Syntax { offset: at }),
    }
}

/// `special` without the escape of two bytes that begins at byte `index`, and without all before it.
const fn behind_escape(special: u64, index: usize) -> u64 {
    if index > 5 {
        0
    } else {
        special & (u64::MAX << (8 * (index + 2)))
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const LOWS: u64 = ONES * 0x7f;
const HIGHS: u64 = ONES * 0x80;

/// The high bit of exactly those bytes of `word` that are a quote, a backslash or a control character.
const fn special_bytes(word: u64) -> u64 {
    let control = !(((word & LOWS) + ONES * 0x60) | word) & HIGHS;
    quote_or_backslash(word) | control
}

/// The high bit of exactly those bytes of `word` that are a quote or a backslash.
const fn quote_or_backslash(word: u64) -> u64 {
    zero_bytes(word ^ (ONES * b'"' as u64)) | zero_bytes(word ^ (ONES * b'\\' as u64))
}

/// The high bit of exactly those bytes that are zero.
const fn zero_bytes(word: u64) -> u64 {
    !(((word & LOWS) + LOWS) | word) & HIGHS
}
