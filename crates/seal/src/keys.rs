//! The keys that seal, several at a time so that they can be rotated.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::{digest, hkdf, rand};

use crate::Purpose;

/// Names one key inside a token, so that the right one opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub u32);

/// 256 secret bits. They do not print.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(pub [u8; 32]);

/// The keys of one gateway, or of a fleet that shares them: the newest seals, all of them open.
pub struct SealKeys {
    keys: Vec<Key>,
}

/// There must be at least one key, and no two with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealing needs at least one key, and each key an id of its own")]
pub struct NoKeys;

pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// One derived key per purpose, in the order of [`Purpose::ALL`].
    purposes: Vec<RandomizedNonceKey>,
}

impl SealKeys {
    /// One random key that lives as long as this value: tokens do not survive a restart.
    #[must_use]
    pub fn generate() -> Self {
        let material = KeyMaterial::random();
        Self {
            keys: vec![Key::derive(material.id(), &material)],
        }
    }

    /// Keys from the configuration, oldest first: the last one seals.
    ///
    /// # Errors
    ///
    /// [`NoKeys`] if there is none, or two have the same id.
    pub fn from_keys(keys: &[(KeyId, KeyMaterial)]) -> Result<Self, NoKeys> {
        let distinct = keys
            .iter()
            .enumerate()
            .all(|(index, (id, _))| keys[..index].iter().all(|(earlier, _)| earlier != id));
        if keys.is_empty() || !distinct {
            return Err(NoKeys);
        }
        let keys = keys
            .iter()
            .map(|(id, material)| Key::derive(*id, material))
            .collect();
        Ok(Self { keys })
    }

    pub(crate) fn newest(&self) -> &Key {
        self.keys
            .last()
            .expect("the constructors refuse an empty list")
    }

    pub(crate) fn by_id(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| key.id))
            .finish()
    }
}

impl KeyMaterial {
    /// A new key.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give, which no part of the gateway could work without.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system provides randomness");
        Self(bytes)
    }

    /// An id that follows from the key itself, for keys that nobody gave one. Says nothing about the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut input = b"isthmus key id".to_vec();
        input.extend_from_slice(&self.0);
        let digest = digest::digest(&digest::SHA256, &input);
        let [a, b, c, d, ..] = digest.as_ref() else {
            unreachable!("a SHA-256 digest has 32 bytes")
        };
        KeyId(u32::from_be_bytes([*a, *b, *c, *d]))
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(secret)")
    }
}

/// 128 bits that nobody can guess: for ids that are handed out.
///
/// # Panics
///
/// As [`KeyMaterial::random`].
#[must_use]
pub fn random_id() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    u128::from_be_bytes(bytes)
}

/// Prepares the generator of nonces, which otherwise happens when the first token is sealed: it gathers entropy of its own
/// for tens of milliseconds. Call it on a thread that may be busy for so long.
pub fn warm_up() {
    // What comes of it does not matter: sealing reports a generator that does not work.
    let _ = rand::fill(&mut [0]);
}

impl Key {
    /// Derives one key per purpose, so that no two purposes ever encrypt under the same one (S21).
    fn derive(id: KeyId, material: &KeyMaterial) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"isthmus seal 1");
        let root = salt.extract(&material.0);
        let purposes = Purpose::ALL
            .iter()
            .map(|purpose| {
                let mut bytes = [0; 32];
                root.expand(&[&[*purpose as u8]], hkdf::HKDF_SHA256)
                    .and_then(|output| output.fill(&mut bytes))
                    .expect("HKDF-SHA256 yields 32 bytes");
                RandomizedNonceKey::new(&AES_256_GCM, &bytes)
                    .expect("AES-256-GCM takes a key of 32 bytes")
            })
            .collect();
        Self { id, purposes }
    }

    pub(crate) fn purpose(&self, purpose: Purpose) -> &RandomizedNonceKey {
        &self.purposes[purpose as usize]
    }
}
