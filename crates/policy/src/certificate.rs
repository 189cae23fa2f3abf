//! Client certificates: from a certificate that the listener has verified to a principal.
//!
//! Trust is decided before: whatever arrives here was signed by an authority that the listener trusts, and its owner has
//! shown the key. All of those authorities are trusted for every name. What kind of name it is is part of the identity, so
//! a DNS name can never be taken for a subject.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use isthmus_config::{Certificate, CertificateName};
use isthmus_exchange::Principal;
use isthmus_protocol::RawJson;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::verdict::{Refusal, Verdict};

/// What a certificate of a route's callers is good for.
#[derive(Debug)]
pub(crate) struct CertificateCheck {
    settings: Certificate,
}

/// The names in a certificate, by kind, in its order.
#[derive(Debug, Default, serde::Serialize)]
struct Names {
    uris: Vec<String>,
    dns: Vec<String>,
    emails: Vec<String>,
    subject: String,
}

impl CertificateCheck {
    pub(crate) const fn new(settings: Certificate) -> Self {
        Self { settings }
    }

    /// Whose certificate this is.
    pub(crate) fn check(&self, der: &[u8]) -> Verdict {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Verdict::Refused(Refusal::Malformed("the client certificate cannot be read"));
        };
        // A connection may outlive what it began with.
        let ends = certificate.validity().not_after.timestamp();
        let expires = u64::try_from(ends).map_or(SystemTime::UNIX_EPOCH, |seconds| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        });
        if expires <= SystemTime::now() {
            return Verdict::invalid("the client certificate has expired");
        }
        let names = Names::of(&certificate);
        let chosen = self
            .settings
            .names
            .iter()
            .find_map(|kind| Some((*kind, names.first(*kind)?)));
        let Some((kind, name)) = chosen else {
            return Verdict::invalid(
                "the client certificate has none of the names that are taken here",
            );
        };
        let kind = match kind {
            CertificateName::Uri => "uri",
            CertificateName::Dns => "dns",
            CertificateName::Email => "email",
            CertificateName::Subject => "subject",
        };
        let principal = Principal::authenticated("certificate", kind, name, "")
            .with_claims(claims(&certificate, &names, der))
            .with_scopes(self.settings.scopes.clone())
            .with_expiry(expires);
        Verdict::Known(principal)
    }
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self {
            subject: distinguished(certificate.subject()),
            ..Self::default()
        };
        let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &alternatives.value.general_names {
            let (list, name) = match name {
                GeneralName::URI(uri) => (&mut names.uris, uri),
                GeneralName::DNSName(name) => (&mut names.dns, name),
                GeneralName::RFC822Name(address) => (&mut names.emails, address),
                _ => continue,
            };
            list.push((*name).to_owned());
        }
        names
    }

    fn first(&self, kind: CertificateName) -> Option<&str> {
        let list = match kind {
            CertificateName::Uri => &self.uris,
            CertificateName::Dns => &self.dns,
            CertificateName::Email => &self.emails,
            CertificateName::Subject => std::slice::from_ref(&self.subject),
        };
        list.first()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }
}

/// A distinguished name as text, in the order of the certificate. What could be taken for the next attribute is escaped
/// (RFC 4514 §2.4), so that no value can pretend to be another name.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        if !text.is_empty() {
            text.push(',');
        }
        let kind = attribute.attr_type();
        match oid2abbrev(kind, oid_registry()) {
            Ok(short) => text.push_str(short),
            Err(_) => text.push_str(&kind.to_id_string()),
        }
        text.push('=');
        match attribute.as_str() {
            Ok(value) => {
                for character in value.chars() {
                    if character.is_control() || r#",+"\<>;=#"#.contains(character) {
                        text.push('\\');
                    }
                    text.push(character);
                }
            }
            Err(_) => {
                text.push('#');
                text.push_str(&hex(attribute.as_slice()));
            }
        }
    }
    text
}

fn claims(certificate: &X509Certificate<'_>, names: &Names, der: &[u8]) -> RawJson {
    RawJson::from_serialize(&serde_json::json!({
        "subject": names.subject,
        "issuer": distinguished(certificate.issuer()),
        "serial": hex(certificate.raw_serial()),
        "uris": names.uris,
        "dns": names.dns,
        "emails": names.emails,
        "sha256": hex(digest(&SHA256, der).as_ref()),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn der(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn everything(params: &mut CertificateParams) {
        params.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::DnsName("b.example".try_into().unwrap()),
            SanType::Rfc822Name("anna@example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/agent".try_into().unwrap()),
        ];
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "anna");
    }

    fn who(names: &[CertificateName], der: &[u8]) -> Option<(String, String)> {
        let settings = Certificate {
            names: names.to_vec(),
            scopes: vec!["mcp".to_owned()],
        };
        match CertificateCheck::new(settings).check(der) {
            Verdict::Known(principal) => {
                assert_eq!(principal.scopes(), ["mcp"]);
                let identity = principal.identity().unwrap();
                Some((identity.issuer.clone(), identity.subject.clone()))
            }
            _ => None,
        }
    }

    #[test]
    fn the_first_kind_of_name_that_a_certificate_has_says_who_it_is() {
        use CertificateName::{Dns, Email, Subject, Uri};
        let all = der(everything);
        let named = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
        assert_eq!(
            who(&[Uri, Dns], &all),
            named("uri", "spiffe://example.org/agent")
        );
        assert_eq!(who(&[Dns, Uri], &all), named("dns", "a.example"));
        assert_eq!(who(&[Email], &all), named("email", "anna@example.org"));
        assert_eq!(who(&[Subject], &all), named("subject", "O=Example,CN=anna"));
        let bare = der(|params| params.distinguished_name.push(DnType::CommonName, "anna"));
        assert_eq!(who(&[Uri, Subject], &bare), named("subject", "CN=anna"));
        assert_eq!(who(&[Uri, Dns, Email], &bare), None);
        assert_eq!(who(&[Subject], &der(|_| ())), None);
    }

    #[test]
    fn a_value_cannot_pretend_to_be_another_attribute() {
        let sly = der(|params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "anna,O=Example");
        });
        assert_eq!(
            who(&[CertificateName::Subject], &sly).unwrap().1,
            r"CN=anna\,O\=Example"
        );
    }

    #[test]
    fn a_certificate_that_has_ended_or_is_none_lets_nobody_in() {
        let past = der(|params| {
            everything(params);
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        assert_eq!(who(&[CertificateName::Dns], &past), None);
        for wrong in [&b""[..], b"0", b"certificate", &past[..past.len() / 2]] {
            assert_eq!(who(&[CertificateName::Dns], wrong), None);
        }
    }
}
