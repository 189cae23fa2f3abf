//! TLS: reads the files. Whether what is in them fits together is found out by whoever uses it.

use super::Resolver;
use crate::config::{
    BackendTls, ClientCertificates, KeyPair, ListenerTls, Roots, Secret, TlsVersion,
};
use crate::document;
use crate::yaml::Spanned;

impl Resolver<'_> {
    pub(super) fn listener_tls(
        &mut self,
        written: &document::ListenerTls,
        path: &str,
    ) -> Option<ListenerTls> {
        let path = format!("{path}.tls");
        // The schema wants at least one.
        let certificates = written.certificates.iter().enumerate();
        let certificates = certificates
            .filter_map(|(index, pair)| {
                self.key_pair(pair, &format!("{path}.certificates[{index}]"))
            })
            .collect();
        let clients = written.clients.as_ref().and_then(|clients| {
            Some(ClientCertificates {
                roots: self.roots(&clients.roots, &format!("{path}.clients.roots"))?,
                required: clients.required.unwrap_or_default(),
            })
        });
        Some(ListenerTls {
            certificates,
            clients,
            minimum: match written.minimum {
                None | Some(document::TlsVersionWord::V1_2) => TlsVersion::V1_2,
                Some(document::TlsVersionWord::V1_3) => TlsVersion::V1_3,
            },
        })
    }

    pub(super) fn backend_tls(
        &mut self,
        written: Option<&document::BackendTls>,
        path: &str,
    ) -> BackendTls {
        let Some(written) = written else {
            return BackendTls::default();
        };
        let path = format!("{path}.tls");
        let roots = written.roots.as_ref();
        let certificate = written.certificate.as_ref();
        let name = written.server_name.as_ref();
        if let Some(name) = name.filter(|name| !is_name(name)) {
            let message = "not the name of a host";
            self.complaints
                .add(name.mark, format!("{path}.server_name"), message);
        }
        BackendTls {
            roots: roots.and_then(|roots| self.roots(roots, &format!("{path}.roots"))),
            certificate: certificate
                .and_then(|pair| self.key_pair(pair, &format!("{path}.certificate"))),
            server_name: name.map(|name| name.value.clone()),
        }
    }

    fn key_pair(&mut self, written: &document::KeyPair, path: &str) -> Option<KeyPair> {
        let chain = self.pem(&written.chain, "CERTIFICATE", &format!("{path}.chain"));
        let key = self.pem(&written.key, "PRIVATE KEY", &format!("{path}.key"));
        Some(KeyPair {
            chain: chain?,
            key: Secret::new(key?),
            location: Some(self.complaints.location(written.chain.mark)),
        })
    }

    fn roots(&mut self, written: &Spanned<String>, path: &str) -> Option<Roots> {
        Some(Roots {
            certificates: self.pem(written, "CERTIFICATE", path)?,
            location: Some(self.complaints.location(written.mark)),
        })
    }

    /// Reads a PEM file that must have a section of this kind.
    fn pem(&mut self, written: &Spanned<String>, kind: &str, path: &str) -> Option<String> {
        let text = self.read(written, written.mark, path)?;
        if text.contains(&format!("{kind}-----")) {
            return Some(text);
        }
        let message = format!("`{}` has no `{kind}` in it", self.path(written).display());
        let help = "a PEM file is expected: text with lines like `-----BEGIN …-----`";
        self.complaints
            .add_with_help(written.mark, path, message, help);
        None
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    !name.is_empty() && name.len() <= 253 && name.chars().all(legal)
}
