//! What a client declared that it can do.

use std::sync::Arc;

use isthmus_protocol::{Method, RawJson, object};
use serde::Deserialize;

/// A client's capabilities: the text as declared, and the few facts a gateway decides by.
#[derive(Debug, Clone)]
pub struct ClientCapabilities {
    declared: RawJson,
    facts: Facts,
}

/// Distinguishes capability sets in the keys of session pools (design §5, trap 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CapabilityFingerprint(Arc<str>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Facts {
    roots: bool,
    sampling: bool,
    sampling_tools: bool,
    elicitation_form: bool,
    elicitation_url: bool,
    sampling_context: bool,
    roots_change: bool,
}

impl ClientCapabilities {
    /// A client that declared nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            declared: RawJson::empty_object(),
            facts: Facts::default(),
        }
    }

    /// Reads a `capabilities` object.
    ///
    /// # Errors
    ///
    /// serde's, if `declared` is not an object or a known member has another shape.
    pub fn parse(declared: RawJson) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Wire {
            roots: Option<Roots>,
            sampling: Option<Sampling>,
            elicitation: Option<Elicitation>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Roots {
            list_changed: Option<bool>,
        }
        #[derive(Deserialize)]
        struct Sampling {
            tools: Option<serde::de::IgnoredAny>,
            context: Option<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Elicitation {
            form: Option<serde::de::IgnoredAny>,
            url: Option<serde::de::IgnoredAny>,
        }
        let wire: Wire = declared.read()?;
        let facts = Facts {
            roots: wire.roots.is_some(),
            sampling: wire.sampling.is_some(),
            roots_change: wire
                .roots
                .is_some_and(|roots| roots.list_changed == Some(true)),
            sampling_tools: wire
                .sampling
                .as_ref()
                .is_some_and(|sampling| sampling.tools.is_some()),
            sampling_context: wire
                .sampling
                .is_some_and(|sampling| sampling.context.is_some()),
            // An empty object means form (26:client/elicitation).
            elicitation_form: wire
                .elicitation
                .as_ref()
                .is_some_and(|e| e.form.is_some() || e.url.is_none()),
            elicitation_url: wire.elicitation.as_ref().is_some_and(|e| e.url.is_some()),
        };
        Ok(Self { declared, facts })
    }

    /// The object as the client wrote it.
    #[must_use]
    pub const fn declared(&self) -> &RawJson {
        &self.declared
    }

    /// Whether the client offers roots.
    #[must_use]
    pub const fn roots(&self) -> bool {
        self.facts.roots
    }

    /// Whether the client says when its roots change.
    #[must_use]
    pub const fn roots_change(&self) -> bool {
        self.facts.roots_change
    }

    /// The client's settings for an extension; `None` if it does not declare it.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<RawJson> {
        let extensions = object::member(&self.declared, "extensions")?;
        object::member(&extensions, name)
    }

    /// What the client would have to declare, and does not, to be asked this: a `ClientCapabilities` object; `None` if it
    /// can be asked. Decides by kind, by the mode of an elicitation and by the tools of a sampling (MS-18).
    #[must_use]
    pub fn missing_for(&self, method: &Method, params: &RawJson) -> Option<RawJson> {
        let needed = match method {
            Method::RootsList if !self.facts.roots => r#"{"roots":{}}"#,
            Method::SamplingCreateMessage if !self.facts.sampling => r#"{"sampling":{}}"#,
            Method::SamplingCreateMessage
                if !self.facts.sampling_tools && object::member(params, "tools").is_some() =>
            {
                r#"{"sampling":{"tools":{}}}"#
            }
            Method::ElicitationCreate => {
                let url = object::string_member(params, "mode").as_deref() == Some("url");
                match (url, self.facts.elicitation_form, self.facts.elicitation_url) {
                    (false, false, _) => r#"{"elicitation":{"form":{}}}"#,
                    (true, _, false) => r#"{"elicitation":{"url":{}}}"#,
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(RawJson::assembled(needed.as_bytes()))
    }

    /// Whether the client takes context of other servers into account when it samples (deprecated since 2025-11-25).
    #[must_use]
    pub const fn sampling_context(&self) -> bool {
        self.facts.sampling_context
    }

    /// Whether the client runs its model for us.
    #[must_use]
    pub const fn sampling(&self) -> bool {
        self.facts.sampling
    }

    /// Whether sampling may use tools.
    #[must_use]
    pub const fn sampling_tools(&self) -> bool {
        self.facts.sampling_tools
    }

    /// Whether the client shows forms to its user.
    #[must_use]
    pub const fn elicitation_form(&self) -> bool {
        self.facts.elicitation_form
    }

    /// Whether the client sends its user to a URL.
    #[must_use]
    pub const fn elicitation_url(&self) -> bool {
        self.facts.elicitation_url
    }
}

impl CapabilityFingerprint {
    /// The fingerprint of what is declared to a backend; `declared` must be in the form we send.
    #[must_use]
    pub fn of(declared: &RawJson) -> Self {
        Self(declared.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(declared: &str) -> ClientCapabilities {
        ClientCapabilities::parse(RawJson::parse(declared.to_owned()).unwrap()).unwrap()
    }

    fn missing(declared: &str, method: &Method, params: &str) -> Option<String> {
        let params = RawJson::parse(params.to_owned()).unwrap();
        client(declared)
            .missing_for(method, &params)
            .map(|missing| missing.as_str().to_owned())
    }

    #[test]
    fn an_elicitation_needs_its_mode_and_an_empty_object_means_forms() {
        let ask = |declared, mode: &str| missing(declared, &Method::ElicitationCreate, mode);
        let (form, url) = (r#"{"mode":"form"}"#, r#"{"mode":"url"}"#);
        assert_eq!(ask(r#"{"elicitation":{}}"#, form), None);
        assert_eq!(ask(r#"{"elicitation":{}}"#, "{}"), None);
        assert!(ask(r#"{"elicitation":{}}"#, url).is_some());
        assert!(ask(r#"{"elicitation":{"url":{}}}"#, form).is_some());
        assert_eq!(ask(r#"{"elicitation":{"url":{}}}"#, url), None);
        assert!(ask("{}", form).unwrap().contains("form"));
    }

    #[test]
    fn sampling_with_tools_needs_more_than_sampling() {
        let ask = |declared, params| missing(declared, &Method::SamplingCreateMessage, params);
        assert_eq!(ask(r#"{"sampling":{}}"#, "{}"), None);
        assert!(ask(r#"{"sampling":{}}"#, r#"{"tools":[]}"#).is_some());
        assert_eq!(ask(r#"{"sampling":{"tools":{}}}"#, r#"{"tools":[]}"#), None);
        assert!(ask("{}", "{}").is_some());
    }

    #[test]
    fn roots_and_extensions_are_known_by_what_was_declared() {
        let client = client(
            r#"{"roots":{"listChanged":true},"extensions":{"x.y/z":{"a":[1]}},"experimental":{}}"#,
        );
        assert!(client.roots() && client.roots_change());
        assert_eq!(client.extension("x.y/z").unwrap().as_str(), r#"{"a":[1]}"#);
        assert!(client.extension("x.y/other").is_none());
    }
}
