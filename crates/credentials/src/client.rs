//! How the gateway shows an authorization server which client it is.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use isthmus_config::{ClientProof, JwtAlgorithm, OAuthClient, Secret, SecretPlace};
use isthmus_exchange::{BackendName, Error};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::discovery::Found;
use crate::form::escaped;
use crate::pass::refusal;

/// A client that is registered with an authorization server.
pub(crate) struct Client {
    id: String,
    proof: Proof,
}

enum Proof {
    /// One that cannot keep a secret.
    Nothing,
    Secret {
        value: Secret,
        place: Option<SecretPlace>,
    },
    Key {
        key: Box<EncodingKey>,
        header: Box<Header>,
    },
}

/// What a request to a token endpoint carries for its client.
pub(crate) struct Shows {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) authorization: Option<HeaderValue>,
}

/// RFC 7523 §3.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

impl Client {
    /// # Errors
    ///
    /// An operator's error if the key cannot be used.
    pub(crate) fn new(backend: &BackendName, settings: &OAuthClient) -> Result<Self, Error> {
        let proof = match &settings.proof {
            ClientProof::Secret { value, place } => Proof::Secret {
                value: value.clone(),
                place: *place,
            },
            ClientProof::PrivateKey {
                key,
                algorithm: named,
                id,
                location,
            } => {
                let pem = key.expose().as_bytes();
                let made = match named {
                    JwtAlgorithm::Es256 | JwtAlgorithm::Es384 => EncodingKey::from_ec_pem(pem),
                    JwtAlgorithm::EdDsa => EncodingKey::from_ed_pem(pem),
                    _ => EncodingKey::from_rsa_pem(pem),
                };
                let unusable = |why: jsonwebtoken::errors::Error| {
                    let text = format!("{location}the private key for `{backend}` cannot sign so");
                    refusal(backend, text).caused_by(why)
                };
                let key = made.map_err(unusable)?;
                let mut header = Header::new(algorithm(*named));
                header.kid.clone_from(id);
                // A key of the wrong kind shows only when it signs.
                jsonwebtoken::encode(&header, &(), &key).map_err(unusable)?;
                Proof::Key {
                    key: Box::new(key),
                    header: Box::new(header),
                }
            }
        };
        Ok(Self {
            id: settings.id.clone(),
            proof,
        })
    }

    /// A client with this secret, or one that cannot keep any.
    pub(crate) fn new_shared(
        id: &str,
        secret: Option<&Secret>,
        place: Option<SecretPlace>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            proof: secret.map_or(Proof::Nothing, |value| Proof::Secret {
                value: value.clone(),
                place,
            }),
        }
    }

    /// What to send to `server`.
    ///
    /// # Errors
    ///
    /// A defect, or no randomness.
    pub(crate) fn shows(&self, server: &Found) -> Result<Shows, Error> {
        match &self.proof {
            Proof::Nothing => Ok(Shows {
                fields: vec![("client_id", self.id.clone())],
                authorization: None,
            }),
            Proof::Secret { value, place } => {
                let methods = server.auth_methods.as_deref();
                let takes = |method| methods.is_some_and(|all| all.iter().any(|one| one == method));
                let in_form = match place {
                    Some(place) => *place == SecretPlace::Form,
                    None => takes("client_secret_post") && !takes("client_secret_basic"),
                };
                Ok(if in_form {
                    Shows {
                        fields: vec![
                            ("client_id", self.id.clone()),
                            ("client_secret", value.expose().to_owned()),
                        ],
                        authorization: None,
                    }
                } else {
                    Shows {
                        fields: Vec::new(),
                        authorization: Some(basic(&self.id, value.expose())?),
                    }
                })
            }
            Proof::Key { key, header } => {
                // For the server itself and not for one of its endpoints, which another server could pretend to have.
                let endpoint = server.token_endpoint.to_string();
                let audience = server.issuer.as_deref().unwrap_or(&endpoint);
                let assertion = assertion(&self.id, audience, header, key)?;
                Ok(Shows {
                    fields: vec![
                        ("client_id", self.id.clone()),
                        ("client_assertion_type", ASSERTION_TYPE.to_owned()),
                        ("client_assertion", assertion),
                    ],
                    authorization: None,
                })
            }
        }
    }
}

/// RFC 6749 §2.3.1: both are escaped before they are joined.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, Error> {
    let joined = format!("{}:{}", escaped(id), escaped(secret));
    let text = format!("Basic {}", STANDARD.encode(joined));
    let mut value = HeaderValue::from_str(&text).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

fn assertion(
    id: &str,
    audience: &str,
    header: &Header,
    key: &EncodingKey,
) -> Result<String, Error> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::internal("no randomness"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_err(Error::internal)?.as_secs();
    let claims = Assertion {
        iss: id,
        sub: id,
        aud: audience,
        jti: URL_SAFE_NO_PAD.encode(random),
        iat: now,
        exp: now + LIFE.as_secs(),
    };
    jsonwebtoken::encode(header, &claims, key).map_err(Error::internal)
}

const fn algorithm(named: JwtAlgorithm) -> Algorithm {
    match named {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion is good: it is sent at once.
const LIFE: Duration = Duration::from_secs(60);
