//! MCP Apps: tools that come with a page, and tools that only a page may call (digest §1.14).
//!
//! A tool with `_meta.ui.visibility` of `["app"]` is for its page alone. A client that shows no pages has no use for it and
//! would offer it to its model, so it is left out of that client's lists; a client that declares the extension always gets
//! it, since it hides such tools itself.

use isthmus_exchange::{Caller, Item};
use isthmus_protocol::RawJson;
use isthmus_protocol::object::{elements, member, member_at, text};

/// The extension's id.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/ui";

/// Whether only a page may call the tool.
pub(crate) fn is_for_pages_only(tool: &Item) -> bool {
    let Some(visibility) = member_at(&tool.definition, &["_meta", "ui", "visibility"]) else {
        return false;
    };
    let words = elements(&visibility).unwrap_or_default();
    let says = |word: &str| words.iter().any(|w| text(w).is_some_and(|w| w == word));
    says("app") && !says("model")
}

/// Whether the tool comes with a page.
pub(crate) fn has_page(tool: &Item) -> bool {
    let Some(meta) = member(&tool.definition, "_meta") else {
        return false;
    };
    member_at(&meta, &["ui", "resourceUri"]).is_some()
        || member(&meta, "ui/resourceUri").is_some()
        || is_for_pages_only(tool)
}

/// Whether the caller shows pages.
pub(crate) fn shows_pages(caller: &Caller) -> bool {
    let declared = caller.capabilities.extension(EXTENSION);
    declared.is_some_and(|settings| !settings.is_null())
}

/// What the route says of the extension, given what those of its backends say that have it: what they agree on. Settings
/// that differ cannot be merged without knowing what they mean.
pub(crate) fn merged_settings(declared: &[&RawJson]) -> RawJson {
    match declared {
        [one, others @ ..] if one.is_object() && others.iter().all(|other| other == one) => {
            (*one).clone()
        }
        _ => RawJson::empty_object(),
    }
}
