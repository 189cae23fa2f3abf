//! Walks JSON text without building values from it.
//!
//! One checking cursor serves every reader of this crate: it proves text well-formed (grammar and nesting; UTF-8 is
//! checked once for a whole body) and tells where members and elements begin and end, so that everything else can be
//! spliced through as it came. It recurses nowhere and its memory does not grow with the text.

use std::borrow::Cow;
use std::ops::Range;

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

/// A place in JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

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

/// How values are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Checked, nesting at most this deep.
    Unknown(u32),
    /// Skipped: the text is part of a [`RawJson`](crate::RawJson).
    Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    First,
    Later,
    Done,
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

    fn pass(&mut self, values: Values) -> Result<Range<usize>, InvalidJson> {
        match values {
            Values::Unknown(depth) => self.value(depth),
            Values::Known => self.skip(),
        }
    }

    /// Moves past one value of text that is known to be well-formed: only brackets and strings matter. Other text gives
    /// some wrong range inside it, or an error.
    fn skip(&mut self) -> Result<Range<usize>, InvalidJson> {
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

    /// Moves behind the closing quote of a string that is known to be well-formed.
    fn skip_string(&mut self) -> Result<(), InvalidJson> {
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

    /// Moves past a string, eight bytes at a time; true if it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, InvalidJson> {
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

    /// Moves past a key; true if it has escapes.
    #[inline(always)]
    fn key(&mut self) -> Result<bool, InvalidJson> {
        match self.text.get(self.at) {
            Some(b'"') => self.string(),
            _ => Err(self.syntax()),
        }
    }

    /// The key that began at `start` and has just been read, without its quotes.
    fn last_key(&self, start: usize) -> &'a [u8] {
        &self.text[start + 1..self.at - 1]
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), InvalidJson> {
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.syntax()),
        }
    }

    fn take_open(&mut self, bracket: u8) -> bool {
        let found = self.peek() == Some(bracket);
        self.at += usize::from(found);
        found
    }

    /// Moves to the next item of the container that `closing` ends, or past its end.
    fn next_item(&mut self, state: &mut Walk, closing: u8) -> Result<bool, InvalidJson> {
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
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn syntax(&self) -> InvalidJson {
        InvalidJson::Syntax { offset: self.at }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn agrees_with_serde(text: &[u8]) -> bool {
        serde_json::from_slice::<&RawValue>(text).is_ok() == check(text).is_ok()
    }

    #[test]
    fn the_grammar_is_that_of_json() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            "[]",
            "{}",
            "[,]",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}",
            "{\"a\" : [1 , {} , [ ] ] }",
            "[1}",
            "{]",
            "[{]}",
            "1 2",
            "01",
            "-",
            "-0",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-5",
            "1.5e400",
            "+1",
            "tru",
            "true",
            "nul",
            "null ",
            "falsey",
            "\"",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\n\"",
            "\"\n\"",
            "\"\u{7f}\"",
            "\u{feff}1",
            "[1 2]",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "{\"a\":1}}",
            "\"1234567\\\"\"",
            "\"1234567\u{1}8\"",
            "nan",
            "Infinity",
        ] {
            assert!(agrees_with_serde(text.as_bytes()), "{text:?}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_bounded_exactly() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(check(nested(128).as_bytes()).is_ok());
        assert_eq!(check(nested(129).as_bytes()), Err(InvalidJson::TooDeep));
        let objects = "{\"a\":".repeat(129) + "1" + &"}".repeat(129);
        assert_eq!(check(objects.as_bytes()), Err(InvalidJson::TooDeep));
        assert_eq!(
            check("[".repeat(1_000_000).as_bytes()),
            Err(InvalidJson::TooDeep)
        );
    }

    #[test]
    fn brackets_beside_each_other_or_in_strings_are_not_nesting() {
        let wide = format!("[{}1]", "[],{},".repeat(500));
        assert!(check(wide.as_bytes()).is_ok());
        let text = format!("\"{}\"", "[{".repeat(500));
        assert!(check(text.as_bytes()).is_ok());
    }

    #[test]
    fn members_and_elements_are_found_where_they_stand() {
        let text = br#" { "a" : 1 , "\u0062":[2, {"c":3}],"":null } "#;
        let mut members = Members::of(text).unwrap();
        let mut seen = Vec::new();
        while let Some(member) = members.next().unwrap() {
            seen.push((
                member.key().into_owned(),
                String::from_utf8_lossy(&text[member.value]).into_owned(),
            ));
        }
        let expected = [("a", "1"), ("b", "[2, {\"c\":3}]"), ("", "null")];
        assert_eq!(
            seen,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(members.into_cursor().end().is_ok());

        let mut elements = Elements::of(b"[1,[2] , 3]").unwrap();
        let mut ranges = Vec::new();
        while let Some(range) = elements.next().unwrap() {
            ranges.push(range);
        }
        assert_eq!(ranges, [1..2, 3..6, 9..10]);
    }

    #[test]
    fn a_key_with_half_a_surrogate_pair_is_no_key_of_ours() {
        let mut members = Members::of(br#"{"name\ud800":1}"#).unwrap();
        assert_ne!(members.next().unwrap().unwrap().key(), "name");
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}:,\"\\\\ue0-9.+ tfn\u{1}\u{e9}a-]{0,40}") {
            prop_assert!(agrees_with_serde(text.as_bytes()), "{text:?}");
        }

        #[test]
        fn known_text_is_skipped_as_it_is_checked(text in "[\\[\\]{}:,\"\\\\ue0-9.+ tfn\u{e9}a-]{0,40}", inner in "\\PC{0,60}") {
            // Other text must end all the same.
            let _ = Cursor::new(text.as_bytes(), 0).skip();
            let inner = serde_json::to_string(&inner).unwrap();
            for value in [format!("{{{inner}:[{inner},{{}} ,-1.5e3,{inner}]}}"), inner, "12".to_owned(), "null".to_owned()] {
                let text = format!(" {value} ,{text}");
                prop_assert_eq!(Cursor::new(text.as_bytes(), 0).skip(), Ok(1..1 + value.len()));
            }
        }

        #[test]
        fn any_bytes_in_a_string_are_judged_as_serde_json_judges_them(inner in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = [b"\"".as_slice(), &inner, b"\""].concat();
            prop_assert!(agrees_with_serde(&text), "{text:?}");
        }
    }
}
