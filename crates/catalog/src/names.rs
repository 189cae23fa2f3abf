//! From a native name to the name that clients see.
//!
//! A name depends on nothing but the route's rule, the backend and the native name: not on other backends, their order,
//! or who is available (design §6). So nothing is made unique here; whoever merges hides the second of two equal names.

use aws_lc_rs::digest;
use isthmus_config::Names;
use isthmus_exchange::BackendName;

/// What stands between a prefix and a native name. No prefix contains it, but names are looked up, never split.
pub const SEPARATOR: &str = "__";

/// The exposed name of a tool or prompt: `prefix`, two underscores and the native name, in the route's alphabet and
/// within its budget. A name that had to be altered or cut ends in a hash of what it was.
#[must_use]
pub fn exposed_name(rule: Names, prefix: &str, backend: &BackendName, native: &str) -> String {
    let separator = if prefix.is_empty() { "" } else { SEPARATOR };
    let wanted = || [prefix, separator, native].into_iter().flat_map(str::chars);
    let fits = wanted().take(rule.budget + 1).count() <= rule.budget;
    if fits && !native.is_empty() && wanted().all(|c| rule.alphabet.allows(c)) {
        return wanted().collect();
    }
    let mut name: String = wanted()
        .take(rule.budget.saturating_sub(MARK_LENGTH))
        .map(|c| if rule.alphabet.allows(c) { c } else { '_' })
        .collect();
    name.push('_');
    name.push_str(&fingerprint(backend, native));
    name
}

/// Six base32 characters (30 bits) of SHA-256 over backend, NUL and native name.
fn fingerprint(backend: &BackendName, native: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(backend.as_str().as_bytes());
    hash.update(&[0]);
    hash.update(native.as_bytes());
    let hash = hash.finish();
    let bits = hash
        .as_ref()
        .iter()
        .take(4)
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    (1..=FINGERPRINT_LENGTH)
        .map(|position| {
            let digit = bits >> (32 - 5 * position) & 31;
            char::from(BASE32[digit as usize])
        })
        .collect()
}

const FINGERPRINT_LENGTH: u32 = 6;
const MARK_LENGTH: usize = 1 + FINGERPRINT_LENGTH as usize;
/// RFC 4648 §6 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[cfg(test)]
mod tests {
    use isthmus_config::Alphabet;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> BackendName {
        BackendName::parse(text).unwrap()
    }

    #[test]
    fn a_name_that_fits_is_prefix_two_underscores_and_the_native_name() {
        let check = |prefix: &str, native: &str, expected: &str| {
            let exposed = exposed_name(Names::default(), prefix, &name("files"), native);
            assert_eq!(exposed, expected);
        };
        check("files", "read", "files__read");
        check("", "read", "read");
        check("f", "read_all-now", "f__read_all-now");
    }

    #[test]
    fn an_altered_or_long_name_ends_in_a_hash_that_never_changes() {
        let check = |native: &str, expected: &str| {
            let exposed = exposed_name(Names::default(), "files", &name("files"), native);
            assert_eq!(exposed, expected);
        };
        // Written down, so that a change of the rule does not go unseen: allow-lists name these.
        check("read.all", "files__read_all_nyi4fr");
        check("lire-été", "files__lire-_t__glmx6m");
        check(
            "a_name_that_is_a_good_deal_longer_than_the_budget_allows",
            "files__a_name_that_is_a_good_deal_longer__y2y6kg",
        );
        check("", "files___ulpwbu");
    }

    #[test]
    fn the_alphabet_is_the_routes_choice() {
        let rule = |alphabet| Names {
            alphabet,
            budget: 48,
        };
        let exposed = |alphabet| exposed_name(rule(alphabet), "", &name("a"), "b.c/d");
        assert!(exposed(Alphabet::Portable).starts_with("b_c_d_"));
        assert!(exposed(Alphabet::Specification).starts_with("b.c_d_"));
        assert_eq!(exposed(Alphabet::Any), "b.c/d");
    }

    proptest! {
        #[test]
        fn a_name_keeps_to_alphabet_and_budget(
            prefix in "[a-z]{0,12}",
            native in "\\PC{0,200}",
            budget in 16_usize..=128,
            specification in any::<bool>(),
        ) {
            let alphabet = if specification { Alphabet::Specification } else { Alphabet::Portable };
            let rule = Names { alphabet, budget };
            let exposed = exposed_name(rule, &prefix, &name("backend"), &native);
            prop_assert!(exposed.chars().count() <= budget);
            prop_assert!(!exposed.is_empty());
            prop_assert!(exposed.chars().all(|c| alphabet.allows(c)));
            prop_assert_eq!(&exposed, &exposed_name(rule, &prefix, &name("backend"), &native));
        }

        #[test]
        fn different_native_names_of_a_backend_get_different_names(
            first in "[a-z._/é-]{0,80}",
            second in "[a-z._/é-]{0,80}",
        ) {
            prop_assume!(first != second);
            let exposed = |native: &str| exposed_name(Names::default(), "b", &name("b"), native);
            prop_assert_ne!(exposed(&first), exposed(&second));
        }
    }
}
