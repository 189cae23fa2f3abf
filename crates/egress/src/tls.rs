//! How we speak TLS to backends.

use std::sync::{Arc, OnceLock};

use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, ResolveServerName};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// Whom we believe and what we show. The default is the platform's way: its roots, and nothing shown.
#[derive(Debug, Default)]
pub struct TlsSettings {
    trust: Trust,
    identity: Option<Identity>,
    server_name: Option<ServerName<'static>>,
}

/// Settings for TLS that cannot be used. Does not quote them.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTls {
    /// No certificates, or no PEM.
    #[error("the certificates cannot be read")]
    Certificates(#[source] Option<pem::Error>),
    /// No private key in it, or no PEM.
    #[error("the private key cannot be read")]
    PrivateKey,
    /// A root, or a certificate with its key, that rustls refuses.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
    /// Not the name of a host.
    #[error("`{0}` is not the name of a host")]
    ServerName(String),
}

#[derive(Debug)]
enum Trust {
    Platform { extra: Vec<CertificateDer<'static>> },
    Only(Arc<RootCertStore>),
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Default for Trust {
    fn default() -> Self {
        Self::Platform { extra: Vec::new() }
    }
}

impl TlsSettings {
    /// The platform's roots, and these beside them.
    #[must_use]
    pub fn with_extra_roots(mut self, extra: Vec<CertificateDer<'static>>) -> Self {
        self.trust = Trust::Platform { extra };
        self
    }

    /// These roots (PEM) and no others.
    ///
    /// # Errors
    ///
    /// If there is none in it, or one cannot be used.
    pub fn with_roots(mut self, roots: &str) -> Result<Self, UnusableTls> {
        let mut store = RootCertStore::empty();
        for root in certificates(roots)? {
            store.add(root)?;
        }
        self.trust = Trust::Only(Arc::new(store));
        Ok(self)
    }

    /// Shows this certificate (PEM, with its chain) if the server asks for one.
    ///
    /// # Errors
    ///
    /// If either cannot be read, or they do not belong together.
    pub fn with_identity(mut self, chain: &str, key: &str) -> Result<Self, UnusableTls> {
        let chain = certificates(chain)?;
        // What was read is not in the error: it may be a part of a key.
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| UnusableTls::PrivateKey)?;
        rustls::sign::CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider())?;
        self.identity = Some((chain, key));
        Ok(self)
    }

    /// Asks for this name, and wants to find it in the server's certificate, instead of the URL's host.
    ///
    /// # Errors
    ///
    /// If it is no name.
    pub fn with_server_name(mut self, name: &str) -> Result<Self, UnusableTls> {
        let parsed = ServerName::try_from(name.to_owned());
        let parsed = parsed.map_err(|_| UnusableTls::ServerName(name.to_owned()))?;
        self.server_name = Some(parsed);
        Ok(self)
    }
}

/// The TLS configuration: made when the first `https` request needs it, because reading the platform's roots takes
/// longer than the rest of start-up together.
#[derive(Debug)]
pub(crate) struct LazyTls {
    settings: TlsSettings,
    made: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl LazyTls {
    pub(crate) fn new(settings: TlsSettings) -> Self {
        Self {
            settings,
            made: OnceLock::new(),
        }
    }

    /// The configuration if it was made before.
    pub(crate) fn ready(&self) -> Option<Result<Arc<ClientConfig>, rustls::Error>> {
        self.made.get().cloned()
    }

    /// Makes the configuration; blocks while it reads the platform's roots.
    pub(crate) fn make(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        self.made
            .get_or_init(|| self.settings.assemble().map(Arc::new))
            .clone()
    }

    /// Under which name a server is asked for and checked.
    pub(crate) fn names(&self) -> Arc<dyn ResolveServerName + Send + Sync> {
        match &self.settings.server_name {
            None => Arc::new(DefaultServerNameResolver::default()),
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
        }
    }
}

impl TlsSettings {
    fn assemble(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls calls every verifier of one's own so; these are the platform's and its own.
            .with_custom_certificate_verifier(self.trust.verifier(provider)?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Trust {
    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        match self {
            Self::Platform { extra } => {
                let extra = extra.iter().cloned();
                Ok(Arc::new(Verifier::new_with_extra_roots(extra, provider)?))
            }
            Self::Only(roots) => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider);
                let built = builder.build();
                built
                    .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                    .map_err(|error| rustls::Error::General(error.to_string()))
            }
        }
    }
}

/// Named, not taken from the process: another crate may have installed none, or another one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, UnusableTls> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| UnusableTls::Certificates(Some(error)))?;
    if found.is_empty() {
        return Err(UnusableTls::Certificates(None));
    }
    Ok(found)
}
