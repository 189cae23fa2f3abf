//! Tokens that were found good before.
//!
//! Checking a signature takes tens of microseconds, and a client shows the same token with every request. A token counts
//! as seen only under the very keys that it was checked with, so a key that is withdrawn takes its tokens with it. What
//! is kept is the token's hash.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use isthmus_exchange::Principal;

/// Tokens that were found good before, a bounded number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tokens: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    /// Of the key set.
    keys: u64,
    young: HashMap<TokenHash, Good>,
    old: HashMap<TokenHash, Good>,
}

#[derive(Debug, Clone)]
struct Good {
    principal: Principal,
    until: SystemTime,
}

/// A token's hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl Seen {
    /// Whose token this is, if it was good under these keys and has not ended.
    pub(super) fn find(&self, token: &TokenHash, keys: u64) -> Option<Principal> {
        let mut tokens = self.tokens.lock().ok()?;
        if tokens.keys != keys {
            return None;
        }
        let found = match tokens.young.get(token) {
            Some(found) => found.clone(),
            None => {
                let found = tokens.old.remove(token)?;
                tokens.insert(*token, found.clone());
                found
            }
        };
        (found.until > SystemTime::now()).then_some(found.principal)
    }

    /// Remembers a token that was good under these keys, until it ends.
    pub(super) fn insert(
        &self,
        token: TokenHash,
        keys: u64,
        principal: Principal,
        until: SystemTime,
    ) {
        let Ok(mut tokens) = self.tokens.lock() else {
            return;
        };
        if tokens.keys != keys {
            *tokens = Generations {
                keys,
                ..Generations::default()
            };
        }
        tokens.insert(token, Good { principal, until });
    }
}

impl Generations {
    /// What nobody has shown while as many others came is forgotten.
    fn insert(&mut self, token: TokenHash, good: Good) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, good);
    }
}

/// Twice as many are kept at most.
const HALF: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    fn remember(seen: &Seen, token: &str, keys: u64, until: SystemTime) {
        let principal = Principal::authenticated("jwt", "i", token, "");
        seen.insert(TokenHash::of(token), keys, principal, until);
    }

    fn knows(seen: &Seen, token: &str, keys: u64) -> bool {
        seen.find(&TokenHash::of(token), keys).is_some()
    }

    #[test]
    fn a_token_is_known_under_the_keys_it_was_checked_with() {
        let seen = Seen::default();
        remember(&seen, "a", 1, later());
        assert!(knows(&seen, "a", 1));
        assert!(!knows(&seen, "b", 1));
        assert!(!knows(&seen, "a", 2));
        remember(&seen, "b", 2, later());
        assert!(!knows(&seen, "a", 1));
        assert!(!knows(&seen, "a", 2));
    }

    #[test]
    fn a_token_is_forgotten_when_it_ends() {
        let seen = Seen::default();
        remember(&seen, "a", 1, SystemTime::now() - Duration::from_secs(1));
        assert!(!knows(&seen, "a", 1));
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let seen = Seen::default();
        remember(&seen, "used", 1, later());
        remember(&seen, "unused", 1, later());
        for number in 0..3 * HALF {
            remember(&seen, &number.to_string(), 1, later());
            if number % 1000 == 0 {
                assert!(knows(&seen, "used", 1));
            }
        }
        assert!(!knows(&seen, "unused", 1));
        let tokens = seen.tokens.lock().unwrap();
        assert!(tokens.young.len() + tokens.old.len() <= 2 * HALF);
    }
}
