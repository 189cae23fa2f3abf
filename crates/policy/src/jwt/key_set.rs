//! The keys that an issuer publishes (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// The keys of an issuer with which a signature can be checked.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// What the key may be used for: never more than one family, and never anything symmetric.
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
}

/// Why something is not a key set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    /// It has another shape.
    #[error("it is not a JWK set: {0}")]
    Shape(#[from] serde_json::Error),
    /// No key in it can check a signature.
    #[error("it has no key that could check a signature")]
    Empty,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWK set. Keys that are for something else, or that cannot be used here, are left out.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let published: Published = serde_json::from_slice(text)?;
        let keys: Vec<Key> = published
            .keys
            .into_iter()
            .take(MOST_KEYS)
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .filter_map(|key| Key::of(&key))
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self { keys })
    }

    /// The keys with which a token could be signed whose header has this `kid` and `alg`.
    pub(crate) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let fits = |key: &&Key| {
            let named = match (id, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                _ => true,
            };
            named && key.algorithms.contains(&algorithm)
        };
        self.keys.iter().filter(fits).take(MOST_TRIES).collect()
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) => match key.curve {
                EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
                _ => return None,
            },
            // A symmetric key that is published is no secret; others are not known.
            _ => return None,
        };
        let algorithms: Vec<Algorithm> = match common.key_algorithm {
            None => possible.to_vec(),
            Some(only) => {
                let only = Algorithm::try_from(only).ok()?;
                possible
                    .iter()
                    .copied()
                    .filter(|one| *one == only)
                    .collect()
            }
        };
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// More than any issuer has.
const MOST_KEYS: usize = 200;
/// How many keys a token without `kid` is tried with.
const MOST_TRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;

    fn set(keys: &[String]) -> Result<KeySet, KeySetError> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn a_key_is_used_for_what_it_is_published_for() {
        let good = set(&[format!(r#"{{{EC},"kid":"a","alg":"ES256","use":"sig"}}"#)]).unwrap();
        assert_eq!(good.candidates(Some("a"), Algorithm::ES256).len(), 1);
        assert_eq!(good.candidates(None, Algorithm::ES256).len(), 1);
        assert!(good.candidates(Some("b"), Algorithm::ES256).is_empty());
        for other in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES384] {
            assert!(good.candidates(Some("a"), other).is_empty(), "{other:?}");
        }
        for other in [
            format!(r#"{{{EC},"use":"enc"}}"#),
            format!(r#"{{{EC},"alg":"RS256"}}"#),
            format!(r#"{{{EC},"alg":"ECDH-ES"}}"#),
            format!(r#"{{{EC},"key_ops":["sign"]}}"#),
            r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(),
            r#"{"kty":"new"}"#.to_owned(),
            "5".to_owned(),
        ] {
            assert!(set(std::slice::from_ref(&other)).is_err(), "{other}");
        }
    }

    #[test]
    fn one_key_that_cannot_be_used_does_not_spoil_the_others() {
        let keys = [r#"{"kty":"new"}"#.to_owned(), format!("{{{EC}}}")];
        let set = set(&keys).unwrap();
        assert_eq!(set.candidates(Some("any"), Algorithm::ES256).len(), 1);
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
            assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
