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

use crate::object::ObjectEdit;
use crate::{RawJson, Revision};

/// The `params` of `notifications/progress` for a client of `revision`: 2024-11-05 has no `message`.
#[must_use]
pub fn downgrade_progress(params: &RawJson, revision: Revision) -> RawJson {
    if revision > Revision::V2024_11_05 {
        return params.clone();
    }
    ObjectEdit::new(params).remove("message").finish()
}

/// The `capabilities` of `initialize` for a client of `revision`: 2024-11-05 has no `completions`.
#[must_use]
pub fn downgrade_capabilities(capabilities: &RawJson, revision: Revision) -> RawJson {
    if revision > Revision::V2024_11_05 {
        return capabilities.clone();
    }
    ObjectEdit::new(capabilities).remove("completions").finish()
}

#[cfg(test)]
mod tests;
