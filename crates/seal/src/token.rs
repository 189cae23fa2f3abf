//! Sealing and unsealing.
//!
//! A token is URL-safe Base64 of: version (1 byte), key id (4), nonce (12), AES-256-GCM ciphertext with its tag. The
//! associated data are version, key id, purpose and principal.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};

use crate::{KeyId, SealKeys, base64};

/// What a token is for. A token of one purpose is garbage for every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A place in a list.
    Cursor,
    /// What a retry has to repeat.
    RequestState,
    /// A session id.
    Session,
    /// A task id.
    Task,
    /// A link for a user's browser.
    Link,
    /// What a login to a backend has given.
    Grant,
}

/// Why a token was not accepted. Tell the peer no more than that it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// Not in the form of a token.
    #[error("not a token of ours")]
    Malformed,
    /// Sealed with a key that is not (or no longer) here.
    #[error("sealed with a key that is not known here")]
    UnknownKey,
    /// Changed, or sealed for another purpose or principal.
    #[error("changed, or sealed for something else")]
    NotAuthentic,
}

impl Purpose {
    /// Every purpose, in the order of their numbers, which are part of the format.
    pub(crate) const ALL: [Self; 6] = [
        Self::Cursor,
        Self::RequestState,
        Self::Session,
        Self::Task,
        Self::Link,
        Self::Grant,
    ];
}

impl SealKeys {
    /// Seals `plaintext` for one purpose and principal with the newest key.
    ///
    /// # Panics
    ///
    /// Never for plaintexts that fit into memory: AES-GCM's limit is 64 GiB.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, principal: &str, plaintext: &[u8]) -> String {
        let key = self.newest();
        let mut body = plaintext.to_vec();
        let nonce = key
            .purpose(purpose)
            .seal_in_place_append_tag(Aad::from(associated(key.id, purpose, principal)), &mut body)
            .expect("the plaintext is far below the limit of AES-GCM");
        let mut token = Vec::with_capacity(HEADER + NONCE_LEN + body.len());
        token.push(VERSION);
        token.extend_from_slice(&key.id.0.to_be_bytes());
        token.extend_from_slice(nonce.as_ref());
        token.extend_from_slice(&body);
        base64::encode(&token)
    }

    /// Opens what [`SealKeys::seal`] sealed for the same purpose and principal.
    ///
    /// # Errors
    ///
    /// [`UnsealError`]; never a panic, whatever the text is. Bound the length of `token` before.
    pub fn unseal(
        &self,
        purpose: Purpose,
        principal: &str,
        token: &str,
    ) -> Result<Vec<u8>, UnsealError> {
        let mut bytes = base64::decode(token).ok_or(UnsealError::Malformed)?;
        let (header, body) = bytes
            .split_at_mut_checked(HEADER + NONCE_LEN)
            .ok_or(UnsealError::Malformed)?;
        let [VERSION, a, b, c, d, nonce @ ..] = header else {
            return Err(UnsealError::Malformed);
        };
        let id = KeyId(u32::from_be_bytes([*a, *b, *c, *d]));
        let key = self.by_id(id).ok_or(UnsealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| UnsealError::Malformed)?;
        let plaintext = key
            .purpose(purpose)
            .open_in_place(nonce, Aad::from(associated(id, purpose, principal)), body)
            .map_err(|_| UnsealError::NotAuthentic)?;
        Ok(plaintext.to_vec())
    }
}

fn associated(id: KeyId, purpose: Purpose, principal: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(HEADER + 1 + principal.len());
    data.push(VERSION);
    data.extend_from_slice(&id.0.to_be_bytes());
    data.push(purpose as u8);
    data.extend_from_slice(principal.as_bytes());
    data
}

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::KeyMaterial;

    fn key(byte: u8) -> (KeyId, KeyMaterial) {
        (KeyId(u32::from(byte)), KeyMaterial([byte; 32]))
    }

    #[test]
    fn a_token_opens_for_its_purpose_and_principal_only() {
        let keys = SealKeys::generate();
        let token = keys.seal(Purpose::Cursor, "alice", b"page 2");
        assert_eq!(
            keys.unseal(Purpose::Cursor, "alice", &token).unwrap(),
            b"page 2"
        );
        for (purpose, principal) in [
            (Purpose::Session, "alice"),
            (Purpose::Cursor, "bob"),
            (Purpose::Cursor, ""),
        ] {
            assert_eq!(
                keys.unseal(purpose, principal, &token),
                Err(UnsealError::NotAuthentic)
            );
        }
    }

    #[test]
    fn after_a_rotation_old_tokens_still_open_and_new_ones_need_the_new_key() {
        let old = SealKeys::from_keys(&[key(1)]).unwrap();
        let both = SealKeys::from_keys(&[key(1), key(2)]).unwrap();
        let new = SealKeys::from_keys(&[key(2)]).unwrap();
        let before = old.seal(Purpose::Session, "a", b"1");
        let after = both.seal(Purpose::Session, "a", b"2");
        assert_eq!(both.unseal(Purpose::Session, "a", &before).unwrap(), b"1");
        assert_eq!(new.unseal(Purpose::Session, "a", &after).unwrap(), b"2");
        assert_eq!(
            new.unseal(Purpose::Session, "a", &before),
            Err(UnsealError::UnknownKey)
        );
    }

    #[test]
    fn no_keys_or_two_of_the_same_id_are_refused() {
        assert!(SealKeys::from_keys(&[]).is_err());
        assert!(SealKeys::from_keys(&[key(1), key(2), key(1)]).is_err());
    }

    #[test]
    fn another_key_under_the_same_id_opens_nothing() {
        let one = SealKeys::from_keys(&[key(1)]).unwrap();
        let other = SealKeys::from_keys(&[(KeyId(1), KeyMaterial([9; 32]))]).unwrap();
        let token = one.seal(Purpose::Task, "a", b"x");
        assert_eq!(
            other.unseal(Purpose::Task, "a", &token),
            Err(UnsealError::NotAuthentic)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_comes_back(plaintext: Vec<u8>, principal: String) {
            let keys = SealKeys::from_keys(&[key(3)]).unwrap();
            let token = keys.seal(Purpose::RequestState, &principal, &plaintext);
            prop_assert!(token.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
            prop_assert_eq!(keys.unseal(Purpose::RequestState, &principal, &token), Ok(plaintext));
        }

        #[test]
        fn a_changed_character_is_noticed(plaintext: Vec<u8>, place: prop::sample::Index, with in "[A-Za-z0-9_-]") {
            let keys = SealKeys::from_keys(&[key(4)]).unwrap();
            let token = keys.seal(Purpose::Link, "a", &plaintext);
            let place = place.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(place..=place, &with);
            prop_assume!(changed != token);
            prop_assert!(keys.unseal(Purpose::Link, "a", &changed).is_err());
        }

        #[test]
        fn any_text_is_survived(text: String) {
            prop_assert!(SealKeys::generate().unseal(Purpose::Cursor, "a", &text).is_err());
        }
    }
}
