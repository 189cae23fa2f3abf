//! From tree to the document's types.
//!
//! Runs on trees that the schema has been checked against, so its own errors are defects of ours, not the
//! operator's: a test compares both on all kinds of documents.

use std::fmt;

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Content, Entry, Node, Scalar};
use super::spanned::{FIELDS, SPANNED};
use crate::diagnostics::Mark;

/// Reads a value of `T`.
///
/// # Errors
///
/// The message of serde, if the tree does not fit.
pub(crate) fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Unfit> {
    T::deserialize(node)
}

/// The tree does not fit the type.
#[derive(Debug)]
pub(crate) struct Unfit(String);

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &self.content {
            Content::Null => visitor.visit_unit(),
            Content::Scalar(scalar) => untyped(scalar, visitor),
            Content::Sequence(nodes) => visitor.visit_seq(Items(nodes.iter())),
            Content::Mapping(entries) => visitor.visit_map(Pairs {
                entries: entries.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &self.content {
            Content::Scalar(scalar) => visitor.visit_str(&scalar.text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &self.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name == SPANNED {
            return visitor.visit_map(Placed {
                mark: self.mark,
                value: self,
                field: 0,
            });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match &self.content {
            Content::Scalar(scalar) => visitor.visit_enum(scalar.text.as_str().into_deserializer()),
            Content::Mapping(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant(&entries[0]))
            }
            _ => Err(Unfit::custom("one of several was expected")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// A scalar of which only the text says what it is (YAML 1.2 core schema, without octal and hexadecimal).
fn untyped<'de, V: Visitor<'de>>(scalar: &Scalar, visitor: V) -> Result<V::Value, Unfit> {
    let text = scalar.text.as_str();
    if scalar.is_loose() {
        match text {
            "true" => return visitor.visit_bool(true),
            "false" => return visitor.visit_bool(false),
            _ => {}
        }
        if let Ok(number) = text.parse() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = text.parse() {
            return visitor.visit_i64(number);
        }
        let like_a_number = text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if let (true, Ok(number)) = (like_a_number, text.parse()) {
            return visitor.visit_f64(number);
        }
    }
    visitor.visit_str(text)
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Pairs<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(&entry.value);
        seed.deserialize(Key(entry)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        match self.value.take() {
            Some(node) => seed.deserialize(node),
            None => Err(Unfit::custom("a value without a key")),
        }
    }
}

/// A key, which may be asked where it stands.
struct Key<'de>(&'de Entry);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_str(&self.0.key)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name == SPANNED {
            return visitor.visit_map(Placed {
                mark: self.0.key_mark,
                value: StrDeserializer::new(&self.0.key),
                field: 0,
            });
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// What [`super::Spanned`] reads: line, column, value.
struct Placed<D> {
    mark: Mark,
    value: D,
    field: usize,
}

impl<'de, D: Deserializer<'de, Error = Unfit> + Clone> MapAccess<'de> for Placed<D> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        let Some(field) = FIELDS.get(self.field) else {
            return Ok(None);
        };
        self.field += 1;
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        match self.field {
            1 => seed.deserialize(U32Deserializer::new(self.mark.line)),
            2 => seed.deserialize(U32Deserializer::new(self.mark.column)),
            _ => seed.deserialize(self.value.clone()),
        }
    }
}

/// `{variant: value}`.
struct Variant<'de>(&'de Entry);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Unfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Unfit> {
        let variant = seed.deserialize(StrDeserializer::<Unfit>::new(&self.0.key))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Unfit;

    fn unit_variant(self) -> Result<(), Unfit> {
        Err(Unfit::custom("a text was expected, not a mapping"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unfit> {
        seed.deserialize(&self.0.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.0.value.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.0.value.deserialize_any(visitor)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl serde::de::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
