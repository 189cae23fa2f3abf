//! What a client of an older revision gets instead of what it would not understand (LS-2, digest §3.6).
//!
//! Results and definitions are converted each by itself and still fit together: clients check `structuredContent`
//! against `outputSchema`, so the schema is changed in such a way that the value can follow without knowing it.
//! Nothing is converted towards newer revisions: they add only members of the hop, which the stamps write.
//! A question that a revision has no words for is not asked.

mod definition;
mod question;
mod result;

pub use definition::downgrade_definition;
pub use question::{Inexpressible, downgrade_question};
pub use result::downgrade_result;

use crate::object::{ObjectEdit, edit_member};
use crate::{Era, RawJson, Revision, tasks};

/// The `params` of `notifications/progress` for a client of `revision`: 2024-11-05 has no `message`.
#[must_use]
pub fn downgrade_progress(params: &RawJson, revision: Revision) -> RawJson {
    if revision > Revision::V2024_11_05 {
        return params.clone();
    }
    ObjectEdit::new(params).remove("message").finish()
}

/// What a server offers, for a client of `revision`: 2024-11-05 has no `completions`, only 2025-11-25 has `tasks`, and
/// only 2026-07-28 the extension that took their place.
#[must_use]
pub fn downgrade_capabilities(capabilities: &RawJson, revision: Revision) -> RawJson {
    let mut edit = ObjectEdit::new(capabilities);
    if revision != Revision::V2025_11_25 {
        edit = edit.remove("tasks");
    }
    if revision == Revision::V2024_11_05 {
        edit = edit.remove("completions");
    }
    let capabilities = edit.finish();
    match revision.era() {
        Era::Stateless => capabilities,
        Era::Stateful => edit_member(&capabilities, "extensions", |extensions| {
            extensions.remove(tasks::EXTENSION)
        }),
    }
}

#[cfg(test)]
mod tests;
