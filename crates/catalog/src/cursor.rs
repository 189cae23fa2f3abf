//! Places in a list that a client carries for us.
//!
//! A cursor names the last item that was handed out, by its exposed key. Lists that need more than one page are ordered
//! by that key, so "go on behind it" has one meaning whatever was added, removed or moved in between, and on every
//! replica. Sealed for its principal (S4); one that was made for another list or route is refused like a forged one.

use isthmus_exchange::{ItemKind, PrincipalId};
use isthmus_seal::{Purpose, SealKeys};
use serde::{Deserialize, Serialize};

/// The cursor was not made here for this list and principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor was not handed out for this list")]
pub struct InvalidCursor;

/// Which list a cursor goes on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListId<'a> {
    pub(crate) route: &'a str,
    pub(crate) kind: ItemKind,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "r", borrow)]
    route: std::borrow::Cow<'a, str>,
    #[serde(rename = "k", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(rename = "a", borrow)]
    after: std::borrow::Cow<'a, str>,
}

const VERSION: u8 = 1;

/// The cursor that goes on behind the item called `after`.
pub(crate) fn seal(
    keys: &SealKeys,
    list: ListId<'_>,
    principal: &PrincipalId,
    after: &str,
) -> String {
    let sealed = Sealed {
        version: VERSION,
        route: list.route.into(),
        kind: list.kind.member().into(),
        after: after.into(),
    };
    let text = serde_json::to_vec(&sealed).expect("a struct of strings can be written");
    keys.seal(Purpose::Cursor, principal.as_str(), &text)
}

/// The key of the last item handed out.
///
/// # Errors
///
/// [`InvalidCursor`], without saying why: what is wrong with a forged token is none of its maker's business.
pub(crate) fn unseal(
    keys: &SealKeys,
    list: ListId<'_>,
    principal: &PrincipalId,
    cursor: &str,
) -> Result<String, InvalidCursor> {
    let text = keys
        .unseal(Purpose::Cursor, principal.as_str(), cursor)
        .map_err(|_| InvalidCursor)?;
    let sealed: Sealed<'_> = serde_json::from_slice(&text).map_err(|_| InvalidCursor)?;
    let ours = sealed.version == VERSION
        && sealed.route == list.route
        && sealed.kind == list.kind.member();
    ours.then(|| sealed.after.into_owned()).ok_or(InvalidCursor)
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;

    use super::*;

    #[test]
    fn a_cursor_works_for_its_list_and_principal_only() {
        let keys = SealKeys::generate();
        let list = |route, kind| ListId { route, kind };
        let ours = list("/mcp", ItemKind::Tool);
        let anna = Principal::authenticated("key", "", "anna", "");
        let cursor = seal(&keys, ours, anna.id(), "files__read");
        assert_eq!(
            unseal(&keys, ours, anna.id(), &cursor).as_deref(),
            Ok("files__read")
        );
        let refused = [
            unseal(&keys, list("/other", ItemKind::Tool), anna.id(), &cursor),
            unseal(&keys, list("/mcp", ItemKind::Prompt), anna.id(), &cursor),
            unseal(&keys, ours, Principal::anonymous().id(), &cursor),
            unseal(&SealKeys::generate(), ours, anna.id(), &cursor),
            unseal(&keys, ours, anna.id(), &cursor[1..]),
            unseal(&keys, ours, anna.id(), ""),
            unseal(&keys, ours, anna.id(), "2"),
        ];
        for outcome in refused {
            assert_eq!(outcome, Err(InvalidCursor));
        }
    }
}
