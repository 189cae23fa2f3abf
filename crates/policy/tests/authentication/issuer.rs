//! Somebody who signs tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// A key pair with which tokens are signed.
pub(crate) struct Signer {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
    /// What anybody may see of it, as PEM.
    pub(crate) public_pem: String,
    public_raw: Vec<u8>,
}

impl Signer {
    pub(crate) fn es256(id: &'static str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self::new(id, Algorithm::ES256, key, &pair)
    }

    pub(crate) fn rs256(id: &'static str) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::new(id, Algorithm::RS256, key, &pair)
    }

    pub(crate) fn eddsa(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        Self::new(id, Algorithm::EdDSA, key, &pair)
    }

    fn new(id: &'static str, algorithm: Algorithm, key: EncodingKey, pair: &KeyPair) -> Self {
        Self {
            id,
            algorithm,
            key,
            public_pem: pair.public_key_pem(),
            public_raw: pair.public_key_raw().to_vec(),
        }
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        header
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    pub(crate) fn sign_as(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }

    /// Signs claims as they are written, for what no value can hold.
    pub(crate) fn sign_text(&self, claims: &str) -> String {
        let header = serde_json::to_string(&self.header()).unwrap();
        let message = [header.as_str(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = message.join(".");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.unwrap())
    }

    pub(crate) fn public(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public_raw);
            return json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x});
        }
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }
}

/// The key set of an issuer with these keys.
pub(crate) fn published(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    json!({ "keys": keys }).to_string()
}

/// Seconds from now on.
pub(crate) fn from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// The claims of a good token, with others put in; `null` takes one out.
pub(crate) fn claims(issuer: &str, audience: &str, others: &Value) -> Value {
    let mut claims = json!({
        "iss": issuer, "sub": "anna", "aud": audience, "exp": from_now(600), "iat": from_now(0),
    });
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}
