//! Looks into objects and changes single members of them; every other byte stays as it is.
//!
//! Keys are compared with their escapes resolved. Of a key that occurs twice the last occurrence counts, as most
//! readers have it; setting or removing such a key leaves no second one behind.

mod repeated;
mod splice;

use std::borrow::Cow;
use std::ops::Range;

pub use repeated::repeated_key;
use splice::push_member;
pub(crate) use splice::{MemberCutter, Splice};

use crate::RawJson;
use crate::scan::{self, Cursor, Elements, Members};

/// The value is not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an object")]
pub struct NotAnObject;

/// The member `key` of `object`, sharing its memory; `None` if there is none, or `object` is no object.
#[must_use]
pub fn member(object: &RawJson, key: &str) -> Option<RawJson> {
    find(object, key).map(|range| RawJson::found(object.bytes(), range))
}

/// The member `key` of `object` if it is a string.
#[must_use]
pub fn string_member(object: &RawJson, key: &str) -> Option<String> {
    let range = find(object, key)?;
    scan::string(&object.as_bytes()[range]).map(Cow::into_owned)
}

/// The member that stands at the end of a path of keys.
#[must_use]
pub fn member_at(object: &RawJson, path: &[&str]) -> Option<RawJson> {
    let mut value = object.clone();
    for key in path {
        value = member(&value, key)?;
    }
    Some(value)
}

/// The text of a string value; `None` if `value` is not a string.
#[must_use]
pub fn text(value: &RawJson) -> Option<Cow<'_, str>> {
    scan::string(value.as_bytes())
}

/// All members in order, keys with their escapes resolved.
///
/// # Errors
///
/// [`NotAnObject`] if `object` is none.
pub fn members(object: &RawJson) -> Result<Vec<(String, RawJson)>, NotAnObject> {
    let mut found = Vec::new();
    let mut members = Members::of(object.as_bytes()).ok_or(NotAnObject)?;
    while let Some(member) = members.next().map_err(|_| NotAnObject)? {
        let value = RawJson::found(object.bytes(), member.value.clone());
        found.push((member.key().into_owned(), value));
    }
    Ok(found)
}

/// All elements of an array in order; `None` if `array` is no array.
#[must_use]
pub fn elements(array: &RawJson) -> Option<Vec<RawJson>> {
    let mut found = Vec::new();
    let mut elements = Elements::of(array.as_bytes())?;
    while let Some(range) = elements.next().ok()? {
        found.push(RawJson::found(array.bytes(), range));
    }
    Some(found)
}

/// Writes an object from its members.
#[must_use]
pub fn assemble<'k>(members: impl IntoIterator<Item = (&'k str, RawJson)>) -> RawJson {
    let mut text = vec![b'{'];
    for (key, value) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        push_member(&mut text, key, &value);
    }
    text.push(b'}');
    RawJson::assembled(text)
}

/// Writes an array from its elements.
#[must_use]
pub fn assemble_array<'v>(elements: impl IntoIterator<Item = &'v RawJson>) -> RawJson {
    let mut text = vec![b'['];
    for value in elements {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b']');
    RawJson::assembled(text)
}

/// Changes single members of an object.
#[derive(Debug)]
pub struct ObjectEdit<'a> {
    source: &'a RawJson,
    edits: Vec<(Cow<'a, str>, Option<RawJson>)>,
}

impl<'a> ObjectEdit<'a> {
    /// Nothing changed yet. A source that is no object counts as an empty one.
    #[must_use]
    pub const fn new(source: &'a RawJson) -> Self {
        Self {
            source,
            edits: Vec::new(),
        }
    }

    /// Gives `key` a value: in the place of the old one, else behind the last member.
    #[must_use]
    pub fn set(self, key: impl Into<Cow<'a, str>>, value: RawJson) -> Self {
        self.edit(key.into(), Some(value))
    }

    /// Takes `key` away if it is there.
    #[must_use]
    pub fn remove(self, key: impl Into<Cow<'a, str>>) -> Self {
        self.edit(key.into(), None)
    }

    fn edit(mut self, key: Cow<'a, str>, value: Option<RawJson>) -> Self {
        match self.edits.iter_mut().find(|(edited, _)| *edited == key) {
            Some((_, edited)) => *edited = value,
            None => self.edits.push((key, value)),
        }
        self
    }

    /// The changed object; the very same text if nothing changes.
    #[must_use]
    pub fn finish(self) -> RawJson {
        let text = self.source.as_bytes();
        let Some(mut members) = Members::of(text) else {
            let set = self
                .edits
                .iter()
                .filter_map(|(key, value)| Some((&**key, value.clone()?)));
            return assemble(set);
        };
        let mut splice = Splice::new(self.source.bytes());
        let mut cutter = MemberCutter::default();
        let mut done = vec![false; self.edits.len()];
        while let Ok(Some(member)) = members.next() {
            let range = member.start..member.value.end;
            let key = member.key();
            match self.edits.iter().position(|(edited, _)| *edited == key) {
                Some(index) if done[index] => cutter.drop(range, &mut splice),
                Some(index) => {
                    done[index] = true;
                    match &self.edits[index].1 {
                        Some(value) => {
                            cutter.keep(range, &mut splice);
                            splice.replace(member.value, value.bytes().clone());
                        }
                        None => cutter.drop(range, &mut splice),
                    }
                }
                None => cutter.keep(range, &mut splice),
            }
        }
        let new = self.edits.iter().zip(done).filter(|(_, done)| !done);
        let new = new.filter_map(|((key, value), _)| Some((&**key, value.as_ref()?)));
        cutter.finish(new, 1, &mut splice);
        splice.finish()
    }
}

/// Changes members of the member `key` of `object`, which is made if it is missing and `change` sets something.
///
/// A member that `change` empties is taken away.
#[must_use]
pub fn edit_member(
    object: &RawJson,
    key: &str,
    change: impl FnOnce(ObjectEdit<'_>) -> ObjectEdit<'_>,
) -> RawJson {
    let old = member(object, key);
    let empty = RawJson::empty_object();
    let inner = old.as_ref().unwrap_or(&empty);
    let new = change(ObjectEdit::new(inner)).finish();
    if new == *inner {
        return object.clone();
    }
    let edit = ObjectEdit::new(object);
    if new.as_bytes() == b"{}" {
        edit.remove(key).finish()
    } else {
        edit.set(key, new).finish()
    }
}

fn find(object: &RawJson, key: &str) -> Option<Range<usize>> {
    let mut members = Members::of(object.as_bytes())?;
    let mut found = None;
    while let Some(member) = members.next().ok()? {
        if member.key() == key {
            found = Some(member.value);
        }
    }
    found
}

/// Puts members that are already written (without outer commas) in front of those of `object`, and others in front of
/// those of its `_meta`, which is made if it is missing. Neither may be there yet.
///
/// An `object` or `_meta` that is no object is replaced.
pub(crate) fn prepend(object: &RawJson, mut front: Vec<u8>, mut meta: Vec<u8>) -> RawJson {
    if front.is_empty() && meta.is_empty() {
        return object.clone();
    }
    let text = object.as_bytes();
    // Large texts without the word need no walk; an escape could spell it otherwise.
    let maybe = memchr::memmem::find(text, b"_meta").is_some()
        || memchr::memmem::find(text, b"\\u").is_some();
    let old = if maybe { find(object, "_meta") } else { None };
    if old.is_none() && !meta.is_empty() {
        if !front.is_empty() {
            front.push(b',');
        }
        front.extend_from_slice(b"\"_meta\":{");
        front.append(&mut meta);
        front.push(b'}');
    }
    if !object.is_object() {
        return RawJson::assembled([b"{".as_slice(), &front, b"}"].concat());
    }
    let mut splice = Splice::new(object.bytes());
    if !front.is_empty() {
        if Cursor::new(text, 1).peek() != Some(b'}') {
            front.push(b',');
        }
        splice.replace(1..1, front);
    }
    match old {
        Some(old) if !meta.is_empty() && text[old.start] == b'{' => {
            let open = old.start + 1;
            if Cursor::new(text, open).peek() != Some(b'}') {
                meta.push(b',');
            }
            splice.replace(open..open, meta);
        }
        Some(old) if !meta.is_empty() => {
            splice.replace(old, [b"{".as_slice(), &meta, b"}"].concat())
        }
        _ => {}
    }
    splice.finish()
}

#[cfg(test)]
mod tests;
