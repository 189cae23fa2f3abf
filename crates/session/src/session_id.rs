//! A session id is a sealed reference: it says enough to rebuild the session where nobody remembers it (design §4).

use isthmus_exchange::{ClientCapabilities, PrincipalId, RouteName};
use isthmus_protocol::{RawJson, Revision};
use isthmus_seal::{Purpose, SealKeys};

/// What a session id says, to those who can open it. The principal is not in it: only its own principal can.
#[derive(Debug, Clone)]
pub(crate) struct SessionReference {
    pub(crate) id: u128,
    pub(crate) route: RouteName,
    pub(crate) revision: Revision,
    /// When the session was opened, in seconds since 1970.
    pub(crate) opened: u64,
    pub(crate) capabilities: ClientCapabilities,
}

impl SessionReference {
    pub(crate) fn seal(&self, keys: &SealKeys, principal: &PrincipalId) -> String {
        let declared = portable(&self.capabilities);
        let route = self.route.as_str().as_bytes();
        let mut plain = Vec::with_capacity(32 + route.len() + declared.len());
        plain.push(VERSION);
        plain.extend_from_slice(&self.id.to_be_bytes());
        plain.extend_from_slice(&self.opened.to_be_bytes());
        plain.extend_from_slice(self.revision.as_str().as_bytes());
        plain.extend_from_slice(&u16::try_from(route.len()).unwrap_or(0).to_be_bytes());
        plain.extend_from_slice(route);
        plain.extend_from_slice(declared.as_bytes());
        keys.seal(Purpose::Session, principal.as_str(), &plain)
    }

    /// `None` for anything that is not a session id of this principal, whatever the reason.
    pub(crate) fn unseal(keys: &SealKeys, principal: &PrincipalId, text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let plain = keys
            .unseal(Purpose::Session, principal.as_str(), text)
            .ok()?;
        let (version, rest) = plain.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (id, rest) = rest.split_first_chunk()?;
        let (opened, rest) = rest.split_first_chunk()?;
        let (revision, rest) = rest.split_at_checked(DATE)?;
        let (route_length, rest) = rest.split_first_chunk()?;
        let (route, declared) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*route_length)))?;
        Some(Self {
            id: u128::from_be_bytes(*id),
            opened: u64::from_be_bytes(*opened),
            revision: str::from_utf8(revision).ok()?.parse().ok()?,
            route: RouteName::new(str::from_utf8(route).ok()?),
            capabilities: ClientCapabilities::parse(RawJson::parse(declared.to_vec()).ok()?)
                .ok()?,
        })
    }
}

/// The capabilities in a form that fits into a header: as declared if short, else the facts that we decide by.
fn portable(capabilities: &ClientCapabilities) -> RawJson {
    if capabilities.declared().len() <= LONGEST_DECLARED {
        return capabilities.declared().clone();
    }
    let mut object = serde_json::Map::new();
    if capabilities.roots() {
        object.insert("roots".to_owned(), serde_json::json!({}));
    }
    if capabilities.sampling_tools() {
        object.insert("sampling".to_owned(), serde_json::json!({"tools": {}}));
    } else if capabilities.sampling() {
        object.insert("sampling".to_owned(), serde_json::json!({}));
    }
    let mut elicitation = serde_json::Map::new();
    if capabilities.elicitation_form() {
        elicitation.insert("form".to_owned(), serde_json::json!({}));
    }
    if capabilities.elicitation_url() {
        elicitation.insert("url".to_owned(), serde_json::json!({}));
    }
    if !elicitation.is_empty() {
        object.insert("elicitation".to_owned(), elicitation.into());
    }
    RawJson::from_serialize(&object)
}

const VERSION: u8 = 1;
/// Length of a revision's name.
const DATE: usize = 10;
/// Longest `capabilities` text that travels in the id as it is.
const LONGEST_DECLARED: usize = 512;
/// Longest text that can be a session id: longer ones are not even looked at.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;
    use proptest::prelude::*;

    use super::*;

    fn reference(declared: &str) -> SessionReference {
        SessionReference {
            id: 7,
            route: RouteName::new("/mcp"),
            revision: Revision::V2025_06_18,
            opened: 1_700_000_000,
            capabilities: ClientCapabilities::parse(RawJson::parse(declared.to_owned()).unwrap())
                .unwrap(),
        }
    }

    #[test]
    fn an_id_tells_its_principal_everything_and_others_nothing() {
        let keys = SealKeys::generate();
        let alice = Principal::authenticated("key", "", "alice", "");
        let bob = Principal::authenticated("key", "", "bob", "");
        let text = reference(r#"{"roots":{"listChanged":true},"x":1}"#).seal(&keys, alice.id());
        let again = SessionReference::unseal(&keys, alice.id(), &text).unwrap();
        assert_eq!((again.id, again.opened), (7, 1_700_000_000));
        assert_eq!(again.route.as_str(), "/mcp");
        assert_eq!(again.revision, Revision::V2025_06_18);
        assert_eq!(
            again.capabilities.declared().as_str(),
            r#"{"roots":{"listChanged":true},"x":1}"#
        );
        assert!(SessionReference::unseal(&keys, bob.id(), &text).is_none());
        assert!(text.bytes().all(|c| (0x21..=0x7e).contains(&c)));
    }

    #[test]
    fn long_capabilities_travel_as_the_facts_that_count() {
        let keys = SealKeys::generate();
        let long = format!(
            r#"{{"sampling":{{"tools":{{}}}},"elicitation":{{"url":{{}}}},"experimental":{{"x":"{}"}}}}"#,
            "y".repeat(2000)
        );
        let principal = Principal::anonymous();
        let text = reference(&long).seal(&keys, principal.id());
        assert!(text.len() < 1000);
        let again = SessionReference::unseal(&keys, principal.id(), &text).unwrap();
        assert!(again.capabilities.sampling_tools() && again.capabilities.elicitation_url());
        assert!(!again.capabilities.elicitation_form() && !again.capabilities.roots());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String, plain: Vec<u8>) {
            let keys = SealKeys::generate();
            let principal = Principal::anonymous();
            prop_assert!(SessionReference::unseal(&keys, principal.id(), &text).is_none());
            let sealed = keys.seal(Purpose::Session, principal.id().as_str(), &plain);
            let _ = SessionReference::unseal(&keys, principal.id(), &sealed);
        }
    }
}
