//! What a server declared that it offers.

use crate::RawJson;
use crate::object;

/// The facts in a server's `capabilities`.
///
/// A known member counts as declared if it is there and not null or false, whatever else it is: servers in the field
/// write objects, and some write `true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerCapabilities {
    /// `tools`.
    pub tools: Option<ListCapability>,
    /// `prompts`.
    pub prompts: Option<ListCapability>,
    /// `resources`.
    pub resources: Option<ListCapability>,
    /// `resources.subscribe`.
    pub resources_subscribe: bool,
    /// `completions`.
    pub completions: bool,
    /// `logging`.
    pub logging: bool,
    /// `tasks` of 2025-11-25, as declared.
    pub tasks: Option<RawJson>,
    /// `extensions`, settings by extension id.
    pub extensions: Vec<(String, RawJson)>,
}

/// A kind of item that a server lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListCapability {
    /// The server says when the list changes.
    pub list_changed: bool,
}

impl ServerCapabilities {
    /// Reads a `capabilities` object; what is no object declares nothing.
    #[must_use]
    pub fn parse(capabilities: &RawJson) -> Self {
        let mut facts = Self::default();
        for (key, value) in object::members(capabilities).unwrap_or_default() {
            let declared = !matches!(value.as_bytes(), b"null" | b"false");
            let list = declared.then(|| ListCapability {
                list_changed: flag(&value, "listChanged"),
            });
            match key.as_str() {
                "tools" => facts.tools = list,
                "prompts" => facts.prompts = list,
                "resources" => {
                    facts.resources = list;
                    facts.resources_subscribe = flag(&value, "subscribe");
                }
                "completions" => facts.completions = declared,
                "logging" => facts.logging = declared,
                "tasks" => facts.tasks = declared.then_some(value),
                "extensions" => facts.extensions = object::members(&value).unwrap_or_default(),
                _ => {}
            }
        }
        facts
    }

    /// The settings of an extension, if it is declared.
    #[must_use]
    pub fn extension(&self, id: &str) -> Option<&RawJson> {
        self.extensions
            .iter()
            .find(|(declared, _)| declared == id)
            .map(|(_, settings)| settings)
    }
}

fn flag(object: &RawJson, key: &str) -> bool {
    object::member(object, key).is_some_and(|value| value.as_bytes() == b"true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ServerCapabilities {
        ServerCapabilities::parse(&RawJson::parse(text.to_owned()).unwrap())
    }

    #[test]
    fn declared_members_are_facts() {
        let facts = parse(
            r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{},
                "logging":null,"extensions":{"io.modelcontextprotocol/ui":{"a":1}},"experimental":{"x":{}}}"#,
        );
        assert_eq!(facts.tools, Some(ListCapability { list_changed: true }));
        assert_eq!(
            facts.prompts,
            Some(ListCapability {
                list_changed: false
            })
        );
        assert!(
            facts.resources.is_some()
                && facts.resources_subscribe
                && facts.completions
                && !facts.logging
        );
        assert_eq!(
            facts
                .extension("io.modelcontextprotocol/ui")
                .unwrap()
                .as_str(),
            r#"{"a":1}"#
        );
        assert_eq!(facts.extension("other"), None);
    }

    #[test]
    fn what_is_no_object_declares_nothing() {
        assert_eq!(parse("[]"), ServerCapabilities::default());
        assert_eq!(parse("null"), ServerCapabilities::default());
        assert!(parse(r#"{"tools":true}"#).tools.is_some());
    }
}
