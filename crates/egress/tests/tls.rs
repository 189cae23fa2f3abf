//! `https`: whom we trust, and which version of HTTP comes out.

#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime, and its own server is trusted"
)]

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use isthmus_egress::{Client, ClientSettings, EgressError, TlsSettings};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that answers everything with its protocol version's name; returns its URL and certificate.
async fn serve(protocols: &[&str]) -> (String, CertificateDer<'static>) {
    serve_to(protocols, None).await
}

/// The same for clients that show a certificate which `root` has signed.
async fn serve_to(
    protocols: &[&str],
    root: Option<CertificateDer<'static>>,
) -> (String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match root {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(root).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!(
        "https://localhost:{}/mcp",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else {
                    return;
                };
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    let text = format!("{:?}", request.version());
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, certificate)
}

fn client(trusted: Vec<CertificateDer<'static>>) -> Client {
    Client::new(ClientSettings {
        tls: TlsSettings::default().with_extra_roots(trusted),
        ..ClientSettings::default()
    })
}

fn post(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::from("{}")).unwrap()
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_and_http_1_elsewhere() {
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let (url, certificate) = serve(offered).await;
        let client = client(vec![certificate]);
        for _ in 0..2 {
            let response = client.send(post(&url)).await.unwrap();
            assert_eq!(response.version(), expected);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("{expected:?}"));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (url, _) = serve(&["http/1.1"]).await;
    let (_, other) = serve(&["http/1.1"]).await;
    let error = client(vec![other]).send(post(&url)).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (url, certificate) = serve(&["http/1.1"]).await;
    let url = url.replace("localhost", "127.0.0.1");
    let error = client(vec![certificate])
        .send(post(&url))
        .await
        .unwrap_err();
    assert!(error.never_left());
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn own_roots_and_another_name_are_taken_instead_of_the_systems() {
    let (url, certificate) = serve(&["h2"]).await;
    let url = url.replace("localhost", "127.0.0.1");
    let root = pem("CERTIFICATE", &certificate);
    let settings = TlsSettings::default().with_roots(&root).unwrap();
    let settings = settings.with_server_name("localhost").unwrap();
    let client = Client::new(ClientSettings {
        tls: settings,
        ..ClientSettings::default()
    });
    assert_eq!(
        client.send(post(&url)).await.unwrap().version(),
        Version::HTTP_2
    );
    let (elsewhere, _) = serve(&["h2"]).await;
    assert!(client.send(post(&elsewhere)).await.is_err());
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    let ours = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    let (chain, key) = (
        pem("CERTIFICATE", ours.cert.der()),
        pem("PRIVATE KEY", &ours.signing_key.serialize_der()),
    );
    let (url, server) = serve_to(&["http/1.1"], Some(ours.cert.der().clone())).await;
    let without = client(vec![server.clone()]);
    assert!(without.send(post(&url)).await.is_err());
    let settings = TlsSettings::default().with_extra_roots(vec![server]);
    let with = Client::new(ClientSettings {
        tls: settings.with_identity(&chain, &key).unwrap(),
        ..ClientSettings::default()
    });
    assert!(with.send(post(&url)).await.is_ok());
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_opened() {
    let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
    let chain = pem("CERTIFICATE", made.cert.der());
    let key = pem("PRIVATE KEY", &other.signing_key.serialize_der());
    assert!(TlsSettings::default().with_roots("nothing").is_err());
    assert!(TlsSettings::default().with_identity(&chain, &key).is_err());
    assert!(
        TlsSettings::default()
            .with_server_name("two words")
            .is_err()
    );
    let refused = TlsSettings::default().with_identity(&chain, "hunter2");
    assert!(!format!("{:?}", refused.unwrap_err()).contains("hunter2"));
}

fn pem(kind: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}
