//! What a client declared that it can do.

use std::sync::Arc;

use isthmus_protocol::RawJson;
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
            roots: Option<serde::de::IgnoredAny>,
            sampling: Option<Sampling>,
            elicitation: Option<Elicitation>,
        }
        #[derive(Deserialize)]
        struct Sampling {
            tools: Option<serde::de::IgnoredAny>,
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
            sampling_tools: wire
                .sampling
                .is_some_and(|sampling| sampling.tools.is_some()),
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
