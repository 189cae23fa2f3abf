//! How long to wait before a stream is opened again.

use std::time::Duration;

use super::call::Place;

/// The pause before the stream at `place` is opened again: what the backend asked for, else `first` (LC-7); longer if
/// streams keep ending without an event.
pub(super) fn before_resuming(first: Duration, place: &Place) -> Duration {
    let asked = place.retry.unwrap_or(first);
    match place.fruitless {
        0..=2 => asked,
        more => asked.max(after_failures(first, more - 2)),
    }
}

/// The pause after so many failures in a row, when it was `first` after the first.
pub(crate) fn after_failures(first: Duration, failures: u32) -> Duration {
    first
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(LONGEST)
}

const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_and_have_an_end() {
        let seconds: Vec<_> = (1..=7)
            .map(|failures| after_failures(FIRST, failures).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after_failures(FIRST, u32::MAX), LONGEST);
    }

    #[test]
    fn a_backend_decides_its_pause_until_its_streams_prove_empty() {
        let mut place = Place {
            retry: Some(Duration::from_millis(5)),
            ..Place::default()
        };
        assert_eq!(before_resuming(FIRST, &place), Duration::from_millis(5));
        place.fruitless = 5;
        assert_eq!(before_resuming(FIRST, &place), Duration::from_secs(4));
    }
}
