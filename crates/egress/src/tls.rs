//! How we speak TLS to backends.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

/// The TLS configuration: made when the first `https` request needs it, because reading the platform's roots takes
/// longer than the rest of start-up together.
#[derive(Debug)]
pub(crate) struct LazyTls {
    extra_roots: Vec<CertificateDer<'static>>,
    made: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl LazyTls {
    pub(crate) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            extra_roots,
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
            .get_or_init(|| assemble(&self.extra_roots).map(Arc::new))
            .clone()
    }
}

fn assemble(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    // Named, not taken from the process: another crate may have installed none, or another one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(extra_roots.iter().cloned(), Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // rustls calls every verifier of one's own so; this one is the platform's.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
