//! Cuts and replaces pieces of text from front to back.

use std::ops::Range;

use bytes::Bytes;

use crate::RawJson;

/// Text with pieces of it replaced, in order from front to back.
#[derive(Debug)]
pub(crate) struct Splice<'a> {
    source: &'a Bytes,
    patches: Vec<(Range<usize>, Bytes)>,
}

impl<'a> Splice<'a> {
    /// Nothing replaced yet.
    pub(crate) const fn new(source: &'a Bytes) -> Self {
        Self {
            source,
            patches: Vec::new(),
        }
    }

    /// Replaces `range`, which must not begin before the end of the last one.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: impl Into<Bytes>) {
        debug_assert!(
            self.patches
                .last()
                .is_none_or(|(last, _)| last.end <= range.start),
            "patches go forward"
        );
        let with = with.into();
        if self.source[range.clone()] != with {
            self.patches.push((range, with));
        }
    }

    /// Takes `range` away.
    pub(crate) fn cut(&mut self, range: Range<usize>) {
        self.replace(range, Bytes::new());
    }

    /// Adds the patches of `later`, a splice of the same source that begins behind the last patch of this one.
    pub(crate) fn append(&mut self, later: Self) {
        self.patches.extend(later.patches);
    }

    /// The changed text; the very same buffer if nothing changes.
    pub(crate) fn finish(self) -> RawJson {
        if self.patches.is_empty() {
            return RawJson::found(self.source, 0..self.source.len());
        }
        let added: usize = self.patches.iter().map(|(_, with)| with.len()).sum();
        let mut text = Vec::with_capacity(self.source.len() + added);
        let mut at = 0;
        for (range, with) in &self.patches {
            text.extend_from_slice(&self.source[at..range.start]);
            text.extend_from_slice(with);
            at = range.end;
        }
        text.extend_from_slice(&self.source[at..]);
        RawJson::assembled(text)
    }
}

/// Takes members out of an object together with the comma that goes with them.
///
/// Told of each member in order, it cuts a dropped one from the end of its predecessor if one is kept before it, else
/// up to the start of its successor.
#[derive(Debug, Default)]
pub(crate) struct MemberCutter {
    kept: bool,
    end: usize,
    pending: Option<usize>,
}

impl MemberCutter {
    /// The member at `range` stays.
    pub(crate) fn keep(&mut self, range: Range<usize>, splice: &mut Splice<'_>) {
        if let Some(start) = self.pending.take() {
            splice.cut(start..range.start);
        }
        self.kept = true;
        self.end = range.end;
    }

    /// The member at `range` goes.
    pub(crate) fn drop(&mut self, range: Range<usize>, splice: &mut Splice<'_>) {
        if self.kept {
            splice.cut(self.end..range.end);
        } else if self.pending.is_none() {
            self.pending = Some(range.start);
        }
        self.end = range.end;
    }

    /// All members are told; `new` ones come behind the last, or at `open`, behind the bracket, if there were none.
    pub(crate) fn finish<'n>(
        mut self,
        new: impl Iterator<Item = (&'n str, &'n RawJson)>,
        open: usize,
        splice: &mut Splice<'_>,
    ) {
        let mut added = Vec::new();
        for (key, value) in new {
            if self.kept || !added.is_empty() {
                added.push(b',');
            }
            push_member(&mut added, key, value);
        }
        match self.pending.take() {
            Some(start) => splice.replace(start..self.end, added),
            None if added.is_empty() => {}
            None if self.kept => splice.replace(self.end..self.end, added),
            None => splice.replace(open..open, added),
        }
    }

    /// Whether every member told so far goes, and there was one.
    pub(crate) const fn dropped_all(&self) -> bool {
        !self.kept && self.pending.is_some()
    }
}

/// Appends `"key":value`.
pub(super) fn push_member(text: &mut Vec<u8>, key: &str, value: &RawJson) {
    text.extend_from_slice(RawJson::string(key).as_bytes());
    text.push(b':');
    text.extend_from_slice(value.as_bytes());
}
