//! What a backend is told that its client can do.
//!
//! `caller ∩ what we can bridge for its revision` (digest §3.1, MC-1, LC-2), written in one form whatever the client wrote,
//! so that clients that can do the same share a conversation (trap 3).

use std::collections::BTreeSet;

use isthmus_exchange::{Attachment, Caller};
use isthmus_protocol::{RawJson, Revision, object};

/// What is declared to a stateless backend with one request of `caller`.
///
/// Between two stateless peers it is the caller's own text: it may say more than we know.
pub(crate) fn answerable(caller: &Caller) -> RawJson {
    if caller.attachment == Attachment::Live {
        return declare(caller, false);
    }
    let declared = caller.capabilities.declared();
    if declared.len() <= RawJson::empty_object().len() {
        return RawJson::empty_object();
    }
    let kinds = ["elicitation", "sampling", "roots"].into_iter();
    let kinds = kinds.filter_map(|kind| Some((kind, object::member(declared, kind)?)));
    object::assemble(kinds.chain(extensions(caller)))
}

/// What is declared to a stateful backend for the length of a conversation that `caller` may use.
pub(crate) fn declared_for(caller: &Caller) -> RawJson {
    declare(caller, true)
}

/// What is declared by whoever fetches listings: that there may be a client for whom tools have a user interface, so that
/// those are listed (digest §1.14).
pub(crate) fn for_listing() -> RawJson {
    RawJson::assembled(
        &br#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#[..],
    )
}

/// Whether a conversation that declared this is told of user interfaces.
pub(crate) fn include_apps(declared: &RawJson) -> bool {
    object::member_at(declared, &["extensions", APPS]).is_some()
}

/// Whether `more` declares all that `less` declares of what a client can be asked, and something beyond.
pub(crate) fn exceed(more: &RawJson, less: &RawJson) -> bool {
    let (more, less) = (askable(more), askable(less));
    more.len() > less.len() && less.is_subset(&more)
}

/// How much is declared of what a client can be asked.
pub(crate) fn count(declared: &RawJson) -> usize {
    askable(declared).len()
}

/// Kinds, and details of kinds, that a client can be asked; that it has roots is one, that they change is another.
fn askable(declared: &RawJson) -> BTreeSet<(&'static str, String)> {
    let mut all = BTreeSet::new();
    for kind in ["elicitation", "sampling", "roots"] {
        let Some(details) = object::member(declared, kind) else {
            continue;
        };
        let details = object::members(&details).unwrap_or_default();
        // An empty elicitation means forms (26:client/elicitation).
        let none = if kind == "elicitation" { "form" } else { "" };
        if details.is_empty() || kind != "elicitation" {
            all.insert((kind, none.to_owned()));
        }
        all.extend(details.into_iter().map(|(detail, _)| (kind, detail)));
    }
    all
}

fn declare(caller: &Caller, for_a_session: bool) -> RawJson {
    let can = &caller.capabilities;
    let bridge = Bridge::of(caller);
    let mut members = Vec::with_capacity(4);
    match (
        bridge.forms && can.elicitation_form(),
        bridge.urls && can.elicitation_url(),
    ) {
        (true, true) => members.push(("elicitation", r#"{"form":{},"url":{}}"#)),
        // Known to every revision that elicits at all; it means forms.
        (true, false) => members.push(("elicitation", "{}")),
        (false, true) => members.push(("elicitation", r#"{"url":{}}"#)),
        (false, false) => {}
    }
    if can.roots() {
        let changes = for_a_session && bridge.changes && can.roots_change();
        members.push((
            "roots",
            if changes {
                r#"{"listChanged":true}"#
            } else {
                "{}"
            },
        ));
    }
    if can.sampling() {
        let tools = bridge.sampling_tools && can.sampling_tools();
        members.push((
            "sampling",
            match (can.sampling_context(), tools) {
                (true, true) => r#"{"context":{},"tools":{}}"#,
                (true, false) => r#"{"context":{}}"#,
                (false, true) => r#"{"tools":{}}"#,
                (false, false) => "{}",
            },
        ));
    }
    let members = members.into_iter();
    let mut members: Vec<_> = members
        .map(|(key, text)| (key, RawJson::assembled(text.as_bytes())))
        .collect();
    members.extend(extensions(caller));
    object::assemble(members)
}

/// The client's settings for the extensions that we know.
fn extensions(caller: &Caller) -> Option<(&'static str, RawJson)> {
    let known: Vec<_> = KNOWN_EXTENSIONS
        .into_iter()
        .filter_map(|name| Some((name, caller.capabilities.extension(name)?)))
        .filter(|(_, settings)| settings.is_object() && settings.len() <= LARGEST_SETTINGS)
        .collect();
    (!known.is_empty()).then(|| ("extensions", object::assemble(known)))
}

/// What reaches a client of some revision.
struct Bridge {
    forms: bool,
    urls: bool,
    sampling_tools: bool,
    changes: bool,
}

impl Bridge {
    fn of(caller: &Caller) -> Self {
        let revision = caller.revision;
        let live = caller.attachment == Attachment::Live;
        Self {
            forms: revision >= Revision::V2025_06_18,
            urls: revision >= Revision::V2025_11_25,
            sampling_tools: revision >= Revision::V2025_11_25,
            // Only a session has a way of saying so.
            changes: live,
        }
    }
}

const APPS: &str = "io.modelcontextprotocol/ui";
/// Whose settings are passed on; of all others we could not say what they promise (MS-24).
const KNOWN_EXTENSIONS: [&str; 1] = [APPS];
/// Settings are part of the key of a conversation.
const LARGEST_SETTINGS: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use isthmus_exchange::{ClientCapabilities, Principal, Scope, ScopeId};

    use super::*;

    fn caller(revision: Revision, attachment: Attachment, declared: &str) -> Caller {
        let principal = Principal::anonymous();
        let declared = RawJson::parse(declared.to_owned()).unwrap();
        Caller {
            scope: Arc::new(Scope::session(ScopeId(1), principal.id().clone())),
            principal,
            revision,
            capabilities: Arc::new(ClientCapabilities::parse(declared).unwrap()),
            client_info: None,
            attachment,
            address: None,
        }
    }

    const EVERYTHING: &str = r#"{"sampling":{"tools":{},"context":{}}, "roots":{"listChanged":true},
        "elicitation":{"url":{},"form":{}}, "experimental":{"x":{}}, "tasks":{},
        "extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["a/b"]},"x.y/z":{}}}"#;
    const APPS_DECLARED: &str =
        r#""extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["a/b"]}}"#;

    #[test]
    fn a_session_declares_what_its_revision_can_carry() {
        let declared = |revision| {
            let caller = caller(revision, Attachment::Live, EVERYTHING);
            declared_for(&caller).as_str().to_owned()
        };
        let roots = r#""roots":{"listChanged":true}"#;
        assert_eq!(
            declared(Revision::V2025_11_25),
            format!(
                r#"{{"elicitation":{{"form":{{}},"url":{{}}}},{roots},"sampling":{{"context":{{}},"tools":{{}}}},{APPS_DECLARED}}}"#
            )
        );
        assert_eq!(
            declared(Revision::V2025_06_18),
            format!(
                r#"{{"elicitation":{{}},{roots},"sampling":{{"context":{{}}}},{APPS_DECLARED}}}"#
            )
        );
        for old in [Revision::V2025_03_26, Revision::V2024_11_05] {
            assert_eq!(
                declared(old),
                format!(r#"{{{roots},"sampling":{{"context":{{}}}},{APPS_DECLARED}}}"#)
            );
        }
    }

    #[test]
    fn a_stateless_caller_cannot_say_that_its_roots_changed_and_else_is_repeated_word_by_word() {
        let caller = caller(Revision::V2026_07_28, Attachment::Detached, EVERYTHING);
        let roots = object::member(&declared_for(&caller), "roots").unwrap();
        assert_eq!(roots.as_str(), "{}");
        let sampling = object::member(&answerable(&caller), "sampling").unwrap();
        assert_eq!(sampling.as_str(), r#"{"tools":{},"context":{}}"#);
    }

    #[test]
    fn who_can_do_the_same_declares_the_same_text() {
        let declared = |text| {
            let caller = caller(Revision::V2025_11_25, Attachment::Live, text);
            declared_for(&caller)
        };
        assert_eq!(
            declared(r#"{"roots":{},"elicitation":{"form":{}}}"#),
            declared(r#"{"experimental":{},  "elicitation":{}, "roots":{"listChanged":false}}"#)
        );
        assert_eq!(declared("{}"), RawJson::empty_object());
    }

    #[test]
    fn listing_is_done_as_somebody_who_shows_apps() {
        assert!(include_apps(&for_listing()));
        assert!(!include_apps(&RawJson::empty_object()));
    }
}
