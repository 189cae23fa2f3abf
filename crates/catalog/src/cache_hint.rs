//! How long a merged list may be kept.

use std::time::Duration;

use isthmus_exchange::CacheHint;

/// What is known of one backend's part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePart {
    /// How long the part stays true from now on; zero if nobody says.
    pub remaining: Duration,
    /// Its backend said that anybody may keep it.
    pub public: bool,
}

/// The hint for a list merged from `parts`: the shortest time, and private if any part is or if what is shown depends
/// on the caller (digest §3.7, trap 13).
#[must_use]
pub fn merged_cache_hint(
    parts: impl IntoIterator<Item = CachePart>,
    same_for_everyone: bool,
) -> CacheHint {
    parts
        .into_iter()
        .map(|part| CacheHint {
            ttl: part.remaining,
            public: part.public && same_for_everyone,
        })
        .reduce(|one, other| CacheHint {
            ttl: one.ttl.min(other.ttl),
            public: one.public && other.public,
        })
        .unwrap_or(CacheHint {
            ttl: Duration::ZERO,
            public: false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_time_counts_and_one_private_part_makes_all_private() {
        let part = |seconds, public| CachePart {
            remaining: Duration::from_secs(seconds),
            public,
        };
        let check = |parts: &[CachePart], same_for_everyone, seconds, public| {
            let hint = merged_cache_hint(parts.iter().copied(), same_for_everyone);
            assert_eq!((hint.ttl.as_secs(), hint.public), (seconds, public));
        };
        check(&[part(60, true), part(5, true)], true, 5, true);
        check(&[part(60, true), part(90, false)], true, 60, false);
        check(&[part(60, true)], false, 60, false);
        check(&[], true, 0, false);
    }
}
