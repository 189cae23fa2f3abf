//! Which items a caller may see.

use crate::{Caller, Item};

/// One decision for lists and calls alike (design §2.5). Hidden is indistinguishable from absent.
pub trait Visibility: Send + Sync + std::fmt::Debug {
    /// Whether `caller` may see and use `item`.
    fn visible(&self, caller: &Caller, item: &Item) -> bool;

    /// Whether the answer is the same for every caller: then one set of pages serves all of them.
    fn same_for_everyone(&self) -> bool {
        false
    }
}

/// Everybody sees everything: a route without authorization rules.
#[derive(Debug, Clone, Copy)]
pub struct AllVisible;

impl Visibility for AllVisible {
    fn visible(&self, _caller: &Caller, _item: &Item) -> bool {
        true
    }

    fn same_for_everyone(&self) -> bool {
        true
    }
}
