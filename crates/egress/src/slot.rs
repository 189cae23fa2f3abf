//! Which connection pool belongs to the current thread.

use std::cell::Cell;

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Says which pool of every [`Client`](crate::Client) the current thread uses from now on.
///
/// Called once by each thread of a runtime, with the runtime's index. A thread that never called it, or whose index is
/// beyond the last slot, uses the last one, which is the background runtime's.
pub fn enter_slot(index: usize) {
    SLOT.set(index);
}

/// The pool of the current thread among `count` of them.
pub(crate) fn current_slot(count: usize) -> usize {
    SLOT.get().min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_said_nothing_uses_the_last_slot() {
        assert_eq!(current_slot(3), 2);
        enter_slot(0);
        assert_eq!(current_slot(3), 0);
        enter_slot(7);
        assert_eq!(current_slot(3), 2);
    }
}
