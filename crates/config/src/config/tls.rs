//! TLS: what we show, and whom we believe.
//!
//! The content of every file is part of the settings, so that a renewed certificate is a changed config.

use super::{Location, Secret};

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// What is shown to clients: the first whose names fit the one they ask for (SNI), else the first of all. At least one.
    pub certificates: Vec<KeyPair>,
    /// Whether clients may or must show certificates; `None`: they are not asked.
    pub clients: Option<ClientCertificates>,
    /// The oldest version spoken.
    pub minimum: TlsVersion,
}

/// Which clients' certificates are believed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCertificates {
    /// Those that these authorities have signed.
    pub roots: Roots,
    /// Whether a client without one is refused during the handshake.
    pub required: bool,
}

/// How TLS is spoken to one backend, where the system's way does not do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackendTls {
    /// The authorities to believe instead of the system's.
    pub roots: Option<Roots>,
    /// What we show if the backend asks.
    pub certificate: Option<KeyPair>,
    /// Under which name the backend's certificate is checked and asked for, instead of the URL's host.
    pub server_name: Option<String>,
}

/// A certificate with its chain, and the key that belongs to it.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// PEM: the certificate first, then the others up to the root.
    pub chain: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
    /// Where it was written. Does not count in equality.
    pub location: Option<Location>,
}

/// Certificates of authorities.
#[derive(Debug, Clone)]
pub struct Roots {
    /// PEM.
    pub certificates: String,
    /// Where they were written. Does not count in equality.
    pub location: Option<Location>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            chain,
            key,
            location: _,
        } = self;
        *chain == other.chain && *key == other.key
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}
