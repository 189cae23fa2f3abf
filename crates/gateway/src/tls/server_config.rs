//! From a listener's settings to what rustls serves by.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use isthmus_config::{ClientCertificates, KeyPair, ListenerTls, Location, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::shown::Shown;

/// What a listener with these settings serves by.
///
/// # Errors
///
/// Where a pair does not fit together or a root is none, with its place in the config.
pub(super) fn server_config(tls: &ListenerTls) -> anyhow::Result<Arc<ServerConfig>> {
    // Named, not taken from the process: another crate may have installed none, or another one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match tls.minimum {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let pairs = tls.certificates.iter();
    let pairs = pairs
        .map(|pair| certified_key(pair, &provider))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .context("TLS cannot be spoken")?;
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients, provider)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Shown::new(pairs)?));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions are resumed by tickets that only this configuration opens: renewing it forgets them.
    config.ticketer = aws_lc_rs::Ticketer::new().context("TLS tickets cannot be made")?;
    Ok(Arc::new(config))
}

fn certified_key(pair: &KeyPair, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let at = place(pair.location.as_ref());
    let chain =
        certificates(&pair.chain).with_context(|| format!("{at}the chain cannot be read"))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes())
        // The library's error may quote what it read.
        .map_err(|_| anyhow!("{at}the private key cannot be read"))?;
    let certified = CertifiedKey::from_der(chain, key, provider);
    certified.map_err(|error| anyhow!("{at}the certificate and its key cannot be used: {error}"))
}

fn verifier(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let at = place(clients.roots.location.as_ref());
    let mut roots = RootCertStore::empty();
    let authorities = certificates(&clients.roots.certificates)
        .with_context(|| format!("{at}the roots cannot be read"))?;
    for authority in authorities {
        let added = roots.add(authority);
        added.map_err(|error| anyhow!("{at}a root cannot be used: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if clients.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    let built = builder.build();
    built.map_err(|error| anyhow!("{at}the roots cannot be used: {error}"))
}

fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(anyhow!("there is no certificate in it"));
    }
    Ok(found)
}

fn place(location: Option<&Location>) -> String {
    location.map_or_else(String::new, |location| format!("{location}: "))
}

#[cfg(test)]
mod tests {
    use isthmus_config::{Roots, Secret};

    use super::*;

    fn pair(name: &str) -> KeyPair {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        KeyPair {
            chain: made.cert.pem(),
            key: Secret::new(made.signing_key.serialize_pem()),
            location: None,
        }
    }

    fn tls(certificates: Vec<KeyPair>) -> ListenerTls {
        ListenerTls {
            certificates,
            clients: None,
            minimum: TlsVersion::V1_2,
        }
    }

    #[test]
    fn both_versions_of_http_are_offered() {
        let config = server_config(&tls(vec![pair("a.example")])).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_not_shown() {
        let mut mixed = pair("a.example");
        mixed.key = pair("b.example").key;
        let refused = server_config(&tls(vec![mixed])).unwrap_err().to_string();
        assert!(refused.contains("cannot be used"), "{refused}");
        let mut broken = pair("a.example");
        broken.key = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----");
        let refused = format!("{:#}", server_config(&tls(vec![broken])).unwrap_err());
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn roots_that_are_none_are_refused() {
        let mut with_clients = tls(vec![pair("a.example")]);
        with_clients.clients = Some(ClientCertificates {
            roots: Roots {
                certificates: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                    .into(),
                location: None,
            },
            required: true,
        });
        assert!(server_config(&with_clients).is_err());
    }
}
