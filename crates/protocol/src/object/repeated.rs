//! Finds keys that two readers could read differently.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::RawJson;

/// A key that some object in `value`, at any depth, has twice, letter case aside: most readers take the last one, some the
/// first, and some take `Path` for `path`.
#[must_use]
pub fn repeated_key(value: &RawJson) -> Option<String> {
    let found: Result<Repeated, _> = serde_json::from_str(value.as_str());
    // What cannot be read has no key that could be named; nobody else reads it either.
    found.ok().and_then(|found| found.0)
}

/// The first repeated key found on the way.
struct Repeated(Option<String>);

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

macro_rules! nothing_to_find {
    ($($visit:ident: $type:ty),*) => {$(
        fn $visit<E>(self, _: $type) -> Result<Repeated, E> {
            Ok(Repeated(None))
        }
    )*};
}

impl<'de> Visitor<'de> for Look {
    type Value = Repeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    nothing_to_find!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Repeated, A::Error> {
        while let Some(element) = elements.next_element::<Repeated>()? {
            if element.0.is_some() {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(element);
            }
        }
        Ok(Repeated(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Repeated, A::Error> {
        let mut seen = HashSet::new();
        let mut found = None;
        while let Some(key) = members.next_key::<String>()? {
            let inside = members.next_value::<Repeated>()?.0;
            let again = !seen.insert(key.to_lowercase());
            found = found.or(inside).or_else(|| again.then_some(key));
        }
        Ok(Repeated(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_found_wherever_it_stands() {
        let check = |text: &str, expected: Option<&str>| {
            let value = RawJson::parse(text.to_owned()).unwrap();
            assert_eq!(repeated_key(&value).as_deref(), expected, "{text}");
        };
        check(r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}"#, None);
        check(r#"{"a":1,"a":1}"#, Some("a"));
        check(r#"{"a":1,"\u0061":1}"#, Some("a"));
        check(r#"{"path":1,"Path":1}"#, Some("Path"));
        check(
            r#"{"x":[1,"a",null,true,{"y":{"a":1,"b":2.5,"a":3}}],"z":1}"#,
            Some("a"),
        );
        check(r#"[[{"b":-1,"b":1}],2]"#, Some("b"));
        check("1", None);
    }
}
