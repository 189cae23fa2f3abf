//! Which certificate a client is shown.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of one listener, in the operator's order.
#[derive(Debug)]
pub(super) struct Shown(Vec<Arc<CertifiedKey>>);

impl Shown {
    /// # Errors
    ///
    /// If one is no X.509 certificate.
    pub(super) fn new(pairs: Vec<CertifiedKey>) -> anyhow::Result<Self> {
        for pair in &pairs {
            let leaf = pair.end_entity_cert().context("a chain is empty")?;
            ParsedCertificate::try_from(leaf).context("a certificate cannot be read")?;
        }
        Ok(Self(pairs.into_iter().map(Arc::new).collect()))
    }

    fn choose(
        &self,
        name: Option<&str>,
        usable: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let fits = |pair: &CertifiedKey| {
            let leaf = pair.end_entity_cert().ok();
            leaf.zip(name.as_ref())
                .is_some_and(|(leaf, name)| is_for(leaf, name))
        };
        let usable: Vec<_> = self.0.iter().filter(|pair| usable(pair)).collect();
        let chosen = usable.iter().find(|pair| fits(pair)).or(usable.first());
        chosen.map(|pair| Arc::clone(pair))
    }
}

impl ResolvesServerCert for Shown {
    /// The first whose names fit the one asked for and whose key speaks an algorithm of the client's; if none fits, the
    /// first whose key does: the client then says what it thinks of it.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |pair| {
            pair.key.choose_scheme(schemes).is_some()
        })
    }
}

/// By the rules by which clients compare names, wildcards included.
fn is_for(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn pair(name: &str) -> CertifiedKey {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).unwrap()
    }

    #[test]
    fn the_name_asked_for_decides_and_the_first_is_for_everybody_else() {
        let names = ["a.example", "*.b.example", "c.example"];
        let shown = Shown::new(names.iter().map(|name| pair(name)).collect()).unwrap();
        let index = |name: Option<&str>| {
            let chosen = shown.choose(name, |_| true).unwrap();
            shown.0.iter().position(|pair| Arc::ptr_eq(pair, &chosen))
        };
        assert_eq!(index(Some("a.example")), Some(0));
        assert_eq!(index(Some("x.b.example")), Some(1));
        assert_eq!(index(Some("C.EXAMPLE")), Some(2));
        assert_eq!(index(Some("other.example")), Some(0));
        assert_eq!(index(Some("x.y.b.example")), Some(0));
        assert_eq!(index(None), Some(0));
    }

    #[test]
    fn a_key_that_the_client_cannot_check_is_not_shown() {
        let shown = Shown::new(vec![pair("a.example"), pair("b.example")]).unwrap();
        let second = shown.0[1].clone();
        let chosen = shown.choose(Some("a.example"), |pair| std::ptr::eq(pair, &*second));
        assert!(Arc::ptr_eq(&chosen.unwrap(), &second));
    }
}
