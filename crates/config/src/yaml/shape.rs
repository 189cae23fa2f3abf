//! What the check asks a schema.

use serde_json::Value;

use super::node::{Content, Node, Scalar, Style};
use crate::diagnostics::Mark;

/// A schema and what to call it.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) schema: &'a Value,
    pub(super) name: Option<&'a str>,
}

impl<'a> Shape<'a> {
    pub(super) const fn of(schema: &'a Value) -> Self {
        Self { schema, name: None }
    }

    pub(super) fn reference(self) -> Option<&'a str> {
        self.schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
    }

    pub(super) fn kind(self) -> &'a str {
        self.schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn list(self, key: &str) -> Option<&'a [Value]> {
        self.schema.get(key)?.as_array().map(Vec::as_slice)
    }

    pub(super) fn number(self, key: &str) -> Option<u64> {
        self.schema.get(key)?.as_u64()
    }

    /// The first example of a property, if it is a text or a list with one.
    pub(super) fn example_of(self, key: &str) -> Option<Content> {
        let example = self
            .schema
            .get("properties")?
            .get(key)?
            .get("examples")?
            .get(0)?;
        let text = |value: &Value| {
            Some(Content::Scalar(Scalar {
                text: value.as_str()?.to_owned(),
                style: Style::Quoted,
            }))
        };
        match example {
            Value::Array(items) => {
                let item = Node {
                    mark: Mark::default(),
                    content: text(items.first()?)?,
                };
                Some(Content::Sequence(vec![item]))
            }
            other => text(other),
        }
    }

    /// The words of an enumeration.
    pub(super) fn words(self) -> Option<Vec<&'a str>> {
        if let Some(words) = self.list("enum") {
            return Some(words.iter().filter_map(Value::as_str).collect());
        }
        let words = self
            .list("oneOf")?
            .iter()
            .map(|choice| choice.get("const")?.as_str());
        words.collect()
    }

    /// Keys that exclude each other and of which one is needed.
    pub(super) fn kinds(self) -> Vec<&'a str> {
        self.list("oneOf")
            .unwrap_or_default()
            .iter()
            .filter_map(|choice| choice.get("required")?.get(0)?.as_str())
            .collect()
    }

    /// The name of the type with its article.
    pub(super) fn noun(self) -> String {
        match self.name {
            Some(name) => format!("a {}", name.to_lowercase()),
            None => "this".to_owned(),
        }
    }
}
