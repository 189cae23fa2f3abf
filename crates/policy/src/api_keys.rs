//! Keys that the gateway has issued.
//!
//! The config has the SHA-256 of a key, no more. A slow hash would gain nothing: a key has 256 random bits, so nobody
//! finds it by trying; and it would let anybody make the gateway busy with wrong keys. What is compared is the hash of
//! what the caller sent, in constant time, so how long that takes says nothing about any key.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isthmus_config::ApiKey;
use isthmus_exchange::Principal;
use isthmus_protocol::RawJson;

use crate::verdict::Verdict;

/// How every key begins: scanners for leaked secrets find it, and it is not mistaken for a token.
pub const KEY_PREFIX: &str = "isthmus_";

/// A key just made. It does not print but by [`NewKey::reveal`].
pub struct NewKey(String);

/// The keys of a route.
#[derive(Debug)]
pub(crate) struct ApiKeyCheck {
    /// By the first bytes of their hashes. Whoever could learn those from the time this takes would know how a hash begins
    /// that they made themselves.
    keys: HashMap<[u8; 8], Vec<IssuedKey>>,
}

#[derive(Debug)]
struct IssuedKey {
    settings: ApiKey,
    principal: Principal,
}

impl NewKey {
    /// A key of 256 random bits.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(format!(
            "{KEY_PREFIX}{}",
            URL_SAFE_NO_PAD.encode(bytes)
        )))
    }

    /// The key, for whoever is to have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the config has of it: its SHA-256, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in hash(&self.0) {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(…)")
    }
}

/// Who calls with a key.
#[must_use]
pub fn principal_of_key(settings: &ApiKey) -> Principal {
    let claims = RawJson::from_serialize(&serde_json::json!({ "key": settings.name }));
    let principal = Principal::authenticated("api_key", "", &settings.principal, "")
        .with_claims(claims)
        .with_scopes(settings.scopes.clone());
    match settings.expires {
        Some(expires) => principal.with_expiry(expires),
        None => principal,
    }
}

impl ApiKeyCheck {
    pub(crate) fn new(keys: &[ApiKey]) -> Self {
        let mut by_beginning: HashMap<_, Vec<_>> = HashMap::new();
        for settings in keys {
            let issued = IssuedKey {
                settings: settings.clone(),
                principal: principal_of_key(settings),
            };
            by_beginning
                .entry(beginning(&settings.sha256))
                .or_default()
                .push(issued);
        }
        Self { keys: by_beginning }
    }

    /// Whose key this is. `presented` is a key by where it stands or how it begins, so nobody else is asked about it.
    pub(crate) fn check(&self, presented: &str) -> Verdict {
        let hash = hash(presented);
        let candidates = self
            .keys
            .get(&beginning(&hash))
            .map_or(&[][..], Vec::as_slice);
        let issued = candidates
            .iter()
            .find(|issued| verify_slices_are_equal(&issued.settings.sha256, &hash).is_ok());
        match issued {
            None => Verdict::invalid("the key is not known here"),
            Some(issued) if issued.ended() => Verdict::invalid("the key has expired"),
            Some(issued) => Verdict::Known(issued.principal.clone()),
        }
    }
}

impl IssuedKey {
    fn ended(&self) -> bool {
        self.settings
            .expires
            .is_some_and(|expires| expires <= SystemTime::now())
    }
}

fn hash(key: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    bytes
}

fn beginning(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::verdict::Refusal;

    fn issued(name: &str, principal: &str, expires: Option<SystemTime>) -> (NewKey, ApiKey) {
        let key = NewKey::generate().unwrap();
        let settings = ApiKey {
            name: name.to_owned(),
            principal: principal.to_owned(),
            sha256: hash(key.reveal()),
            scopes: vec!["read".to_owned()],
            expires,
            location: None,
        };
        (key, settings)
    }

    fn principal(verdict: Verdict) -> Principal {
        match verdict {
            Verdict::Known(principal) => principal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_belongs_to_whom_it_was_issued_to() {
        let (old, old_settings) = issued("laptop", "laptop", None);
        let (new, new_settings) = issued("laptop-new", "laptop", None);
        let (other, other_settings) = issued("ci", "ci", None);
        let check = ApiKeyCheck::new(&[old_settings, new_settings, other_settings]);
        let laptop = principal(check.check(old.reveal()));
        assert_eq!(laptop.scopes(), ["read"]);
        assert_eq!(laptop.claims().unwrap().as_str(), r#"{"key":"laptop"}"#);
        assert_eq!(laptop.id(), principal(check.check(new.reveal())).id());
        assert_ne!(laptop.id(), principal(check.check(other.reveal())).id());
    }

    #[test]
    fn what_is_not_quite_a_key_is_none() {
        let (key, settings) = issued("laptop", "laptop", None);
        let sha256 = key.sha256();
        let check = ApiKeyCheck::new(&[settings]);
        let key = key.reveal();
        for wrong in [
            "",
            KEY_PREFIX,
            &key[..key.len() - 1],
            &key[1..],
            &format!("{key} "),
            &key.to_ascii_uppercase(),
            // The hash that the config has is not the key.
            &sha256,
            &format!("{KEY_PREFIX}{sha256}"),
        ] {
            let verdict = check.check(wrong);
            assert!(
                matches!(verdict, Verdict::Refused(Refusal::Invalid(_))),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn a_key_ends_when_it_was_said_to() {
        let now = SystemTime::now();
        let (ended, ended_settings) = issued("a", "a", Some(now - Duration::from_secs(1)));
        let (good, good_settings) = issued("b", "b", Some(now + Duration::from_secs(3600)));
        let check = ApiKeyCheck::new(&[ended_settings, good_settings]);
        assert!(matches!(
            check.check(ended.reveal()),
            Verdict::Refused(Refusal::Invalid("the key has expired"))
        ));
        assert!(principal(check.check(good.reveal())).expires().is_some());
    }

    #[test]
    fn two_keys_differ_and_neither_prints() {
        let (a, b) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), KEY_PREFIX.len() + 43);
        assert!(!format!("{a:?}").contains(&a.reveal()[KEY_PREFIX.len()..]));
    }
}
