//! Somebody who signs tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://id.example";
/// By which the route of the tests is known.
pub const RESOURCE: &str = "https://mcp.example/mcp";

/// An issuer with one key.
pub struct Issuer {
    id: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl Issuer {
    pub fn new(id: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        Self {
            id: id.to_owned(),
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            public: pair.public_key_raw().to_vec(),
        }
    }

    /// Its key set.
    pub fn published(&self) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        json!({ "keys": [jwk] }).to_string()
    }

    /// A token for `subject`, with other claims put in; `null` takes one out.
    pub fn token(&self, subject: &str, others: Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        self.signed(&header, subject, others)
    }

    /// The same under a header of the test's own.
    pub fn signed(&self, header: &Header, subject: &str, others: Value) -> String {
        encode(header, &claims(subject, others), &self.key).unwrap()
    }

    /// A token that takes the published key for a secret.
    pub fn confused(&self, subject: &str) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.id.clone());
        let secret = EncodingKey::from_secret(&self.public);
        encode(&header, &claims(subject, json!({})), &secret).unwrap()
    }
}

fn claims(subject: &str, others: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "sub": subject, "aud": RESOURCE, "exp": from_now(600)});
    let Value::Object(others) = others else {
        panic!("claims are an object");
    };
    let known = claims.as_object_mut().unwrap();
    known.extend(others);
    known.retain(|_, value| !value.is_null());
    claims
}

/// Seconds from now on.
pub fn from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}
