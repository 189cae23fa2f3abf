//! `tls` of listeners and backends.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::yaml::Spanned;

/// How a listener speaks TLS: 1.2 and up, HTTP/1.1 and HTTP/2. The files are read again when they change, and new
/// connections get what is in them then.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// What is shown to clients: the first whose names fit the one that a client asks for, else the first of all.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Vec<KeyPair>,
    /// Which clients' certificates are believed. Without it clients are not asked for any.
    pub(crate) clients: Option<ClientCertificates>,
    /// The oldest version of TLS that is spoken.
    #[schemars(extend("default" = "1.2"))]
    pub(crate) minimum: Option<TlsVersionWord>,
}

/// A certificate and its key, both as PEM files.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPair {
    /// The certificate, followed by those that lead from it to the root.
    #[schemars(extend("examples" = ["fullchain.pem"]))]
    pub(crate) chain: Spanned<String>,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    #[schemars(extend("examples" = ["privkey.pem"]))]
    pub(crate) key: Spanned<String>,
}

/// Which clients' certificates are believed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificates {
    /// A PEM file with the authorities that sign them.
    #[schemars(extend("examples" = ["clients-ca.pem"]))]
    pub(crate) roots: Spanned<String>,
    /// Whether a client without one is refused during the handshake. Otherwise the routes decide.
    #[schemars(extend("default" = false))]
    pub(crate) required: Option<bool>,
}

/// How TLS is spoken to a backend, where the system's way does not do.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackendTls {
    /// A PEM file with the authorities to believe instead of the system's.
    #[schemars(extend("examples" = ["corporate-ca.pem"]))]
    pub(crate) roots: Option<Spanned<String>>,
    /// What to show if the backend asks for a certificate.
    pub(crate) certificate: Option<KeyPair>,
    /// The name to ask for and to find in the backend's certificate, instead of the host of its URL.
    #[schemars(extend("examples" = ["mcp.internal"]))]
    pub(crate) server_name: Option<Spanned<String>>,
}

/// A version of TLS.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
pub(crate) enum TlsVersionWord {
    /// TLS 1.2 and up.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    V1_3,
}
