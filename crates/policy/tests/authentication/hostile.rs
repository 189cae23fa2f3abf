//! Credentials that were damaged, cut or made up: each is refused, and none makes anything panic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::json;

use crate::issuer::{Signer, claims, published};
use crate::{Gateway, Request};

const ROUTES: &str = "
routes:
  /jwt: {authentication: [jwt: {issuer: https://id.example, jwks: {file: jwks.json}}]}
  /certificates: {authentication: [certificate: {names: [uri]}]}
";

fn gateway(signer: &Signer) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwks.json"), published(&[signer])).unwrap();
    crate::write_pem(folder.path());
    let listener = format!(
        "listeners: {{main: {{address: 127.0.0.1:8080, public_url: https://mcp.example, {}}}}}",
        crate::TLS
    );
    Gateway::of(&format!("{listener}{ROUTES}"), folder.path())
}

#[tokio::test]
async fn a_token_with_one_other_letter_is_no_token() {
    let signer = Signer::es256("a");
    let gateway = gateway(&signer);
    let good = signer.sign(&claims(
        "https://id.example",
        "https://mcp.example/jwt",
        &json!({}),
    ));
    assert!(gateway.ask("/jwt", &Request::bearer(&good)).await.is_ok());
    for place in 0..good.len() {
        for letter in ["A", "_", ".", "=", "\u{7f}", "é"] {
            let damaged = format!("{}{letter}{}", &good[..place], &good[place + 1..]);
            // The last letter of a part has bits that mean nothing.
            if same_bytes(&good, &damaged) {
                continue;
            }
            let refused = gateway.ask("/jwt", &Request::bearer(&damaged)).await;
            let status = refused.map_or_else(|challenge| challenge.status, |_| 200);
            assert!(matches!(status, 400 | 401), "{place} {letter}: {status}");
        }
        let cut = gateway.ask("/jwt", &Request::bearer(&good[..place])).await;
        assert!(cut.is_err(), "{place}");
    }
}

fn same_bytes(a: &str, b: &str) -> bool {
    let read = |text: &str| -> Option<Vec<Vec<u8>>> {
        let parts = text.split('.');
        parts
            .map(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .collect()
    };
    read(b).is_some_and(|b| read(a) == Some(b))
}

#[tokio::test]
async fn what_only_looks_like_a_token_is_refused() {
    let signer = Signer::es256("a");
    let gateway = gateway(&signer);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let mine = part(r#"{"iss":"https://id.example"}"#);
    let deep = "[".repeat(50_000);
    for (header, claims, signature) in [
        (part("{}"), mine.clone(), String::new()),
        (
            part(r#"{"alg":"ES256","alg":"none"}"#),
            mine.clone(),
            String::new(),
        ),
        (
            part(r#"{"alg":"ES256","kid":5}"#),
            mine.clone(),
            String::new(),
        ),
        (
            part(r#"{"alg":"ES256","kid":"a"}"#),
            mine.clone(),
            part("x"),
        ),
        (
            part(r#"{"alg":"ES256","kid":"a"}"#),
            mine.clone(),
            part(&"x".repeat(64)),
        ),
        (
            part(r#"{"alg":"ES256","kid":"a","crit":[]}"#),
            mine.clone(),
            String::new(),
        ),
        (
            part(r#"{"alg":"ES256"}"#),
            part(&format!(r#"{{"iss":{deep}"#)),
            String::new(),
        ),
        (
            part(&format!(r#"{{"alg":"ES256","x":{deep}"#)),
            mine.clone(),
            String::new(),
        ),
        (part("\u{0}"), part("\u{0}"), part("\u{0}")),
        (String::new(), String::new(), String::new()),
    ] {
        let token = format!("{header}.{claims}.{signature}");
        let refused = gateway.ask("/jwt", &Request::bearer(&token)).await;
        assert_eq!(refused.unwrap_err().status, 401, "{header}");
    }
    for word in [
        ".",
        "..",
        "...",
        "a.b.c.d",
        &".".repeat(60_000),
        &"a".repeat(60_000),
    ] {
        let refused = gateway.ask("/jwt", &Request::bearer(word)).await;
        assert_eq!(refused.unwrap_err().status, 401);
    }
}

#[tokio::test]
async fn a_damaged_certificate_is_read_without_harm() {
    let gateway = gateway(&Signer::es256("a"));
    let mut params = CertificateParams::default();
    let id = "spiffe://example.org/agent".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(id)];
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    // Whether its signature holds was for the listener to say; here it only has to be read, or not.
    for place in 0..der.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = der.clone();
            damaged[place] ^= mask;
            let _ = gateway
                .ask("/certificates", &Request::default().certified(&damaged))
                .await;
        }
        let cut = Request::default().certified(&der[..place]);
        assert!(gateway.ask("/certificates", &cut).await.is_err(), "{place}");
    }
}
