//! Every kind of credential at every kind of route, as a table that a reviewer can read: `who_is_let_in.txt` beside this
//! folder. `ISTHMUS_BLESS=1` writes it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isthmus_config::Environment;
use isthmus_policy::NewKey;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use serde_json::{Value, json};

use crate::issuer::{Signer, claims, from_now, published};
use crate::{Gateway, Request};

const ISSUER: &str = "https://id.example";
const RESOURCE: &str = "https://mcp.example/jwt";

const ROUTES: [&str; 7] = [
    "/open",
    "/keys",
    "/jwt",
    "/scoped",
    "/certificates",
    "/optional",
    "/all",
];

/// Everything that callers show, by what it is.
struct Credentials {
    rows: Vec<(String, Request)>,
    config: String,
    jwks: String,
}

#[tokio::test]
async fn everybody_is_let_in_or_told_why_not_as_the_table_says() {
    let credentials = Credentials::make();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jwks.json"), &credentials.jwks).unwrap();
    crate::write_pem(folder.path());
    let gateway = Gateway::of(&credentials.config, folder.path());
    let mut table = String::from(HEADING);
    for (name, request) in &credentials.rows {
        let _ = writeln!(table, "\n{name}");
        let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
        for route in ROUTES {
            // Twice, since good tokens are remembered.
            let answer = describe(gateway.ask(route, request).await);
            let again = describe(gateway.ask(route, request).await);
            assert_eq!(answer, again, "{name} at {route}");
            match answers.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, routes)) => routes.push(route),
                None => answers.push((answer, vec![route])),
            }
        }
        for (answer, routes) in answers {
            let _ = writeln!(table, "  {answer}   [{}]", routes.join(" "));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/who_is_let_in.txt");
    if Environment::of_process().get("ISTHMUS_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == table, "stale, or wrong:\n{table}");
}

fn describe(answer: Result<isthmus_exchange::Principal, isthmus_exchange::Challenge>) -> String {
    match answer {
        Ok(principal) => match principal.identity() {
            None => "in, as nobody".to_owned(),
            Some(identity) => {
                let scopes = principal.scopes().join(" ");
                let scopes = if scopes.is_empty() {
                    scopes
                } else {
                    format!(" with {scopes}")
                };
                format!(
                    "in: {} {} {}{scopes}",
                    identity.method, identity.issuer, identity.subject
                )
                .replace("  ", " ")
            }
        },
        Err(challenge) => {
            let error = challenge.headers.first().map_or("-", |header| {
                header
                    .split_once("error=\"")
                    .and_then(|(_, rest)| rest.split('"').next())
                    .unwrap_or("challenge")
            });
            format!("{} {error}: {}", challenge.status, challenge.message)
        }
    }
}

impl Credentials {
    fn make() -> Self {
        let (ec, rsa, ed) = (
            Signer::es256("ec"),
            Signer::rs256("rsa"),
            Signer::eddsa("ed"),
        );
        let stranger = Signer::es256("ec");
        let (laptop, ended) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let unknown = NewKey::generate().unwrap();
        let mut rows = Rows(Vec::new());
        rows.headers(laptop.reveal(), ended.reveal(), unknown.reveal());
        rows.good_tokens(&ec, &rsa, &ed);
        rows.wrong_claims(&ec);
        rows.wrong_signatures(&ec, &rsa, &stranger);
        rows.bound(&ec);
        Self {
            rows: rows.0,
            config: config(&laptop.sha256(), &ended.sha256()),
            jwks: published(&[&ec, &rsa, &ed]),
        }
    }
}

struct Rows(Vec<(String, Request)>);

impl Rows {
    fn add(&mut self, name: &str, request: Request) {
        self.0.push((name.to_owned(), request));
    }

    fn token(&mut self, name: &str, token: &str) {
        self.add(name, Request::bearer(token));
    }

    fn headers(&mut self, laptop: &str, ended: &str, unknown: &str) {
        let empty = Request::default;
        self.add("nothing", empty());
        self.add(
            "another scheme",
            empty().with("authorization", "Basic YTpi"),
        );
        self.add(
            "a scheme without a token",
            empty().with("authorization", "Bearer"),
        );
        let twice = Request::bearer(laptop).with("authorization", "Bearer x");
        self.add("two Authorization headers", twice);
        self.token("a word that is neither key nor token", "word");
        self.token("a key", laptop);
        self.token("a key that has ended", ended);
        self.token("a key that nobody issued", unknown);
        self.token("a key and a letter", &format!("{laptop}x"));
        self.add("a key in its own header", empty().with("x-api-key", laptop));
        self.add(
            "a word in the header for keys",
            empty().with("x-api-key", "word"),
        );
        self.add(
            "a key in two headers",
            Request::bearer(laptop).with("x-api-key", laptop),
        );
    }

    fn good_tokens(&mut self, ec: &Signer, rsa: &Signer, ed: &Signer) {
        for signer in [ec, rsa, ed] {
            let name = format!("a token, {:?}", signer.algorithm);
            self.token(&name, &signer.sign(&token(&json!({}))));
        }
        let mut access = ec.header();
        access.typ = Some("at+jwt".to_owned());
        self.token(
            "an access token by its type",
            &ec.sign_as(&access, &token(&json!({}))),
        );
        let mut nameless = ec.header();
        nameless.kid = None;
        self.token(
            "a token that names no key",
            &ec.sign_as(&nameless, &token(&json!({}))),
        );
        for (name, others) in [
            (
                "a token with scopes",
                json!({"scope": "mcp:use files:read"}),
            ),
            (
                "a token with a list of scopes",
                json!({"scp": ["mcp:use", "x"]}),
            ),
            ("a token with some of the scopes", json!({"scope": "mcp"})),
            (
                "a token for several audiences",
                json!({"aud": ["other", RESOURCE]}),
            ),
            (
                "a token for the URL with a slash",
                json!({"aud": format!("{RESOURCE}/")}),
            ),
            (
                "a token that ended within the leeway",
                json!({"exp": from_now(-5)}),
            ),
            (
                "a token with fractions of seconds",
                json!({"exp": 4_102_444_800.5}),
            ),
        ] {
            self.token(name, &ec.sign(&token(&others)));
        }
    }

    fn wrong_claims(&mut self, ec: &Signer) {
        for (name, others) in [
            (
                "a token for another audience",
                json!({"aud": "https://other.example"}),
            ),
            (
                "a token for the origin",
                json!({"aud": "https://mcp.example"}),
            ),
            ("a token for nobody", json!({"aud": null})),
            ("a token for an empty list", json!({"aud": []})),
            ("a token that has ended", json!({"exp": from_now(-3600)})),
            ("a token that never ends", json!({"exp": null})),
            ("a token whose end is a text", json!({"exp": "4102444800"})),
            ("a token not valid yet", json!({"nbf": from_now(3600)})),
            (
                "a token whose beginning is a text",
                json!({"nbf": "tomorrow"}),
            ),
            (
                "a token of another issuer",
                json!({"iss": "https://other.example"}),
            ),
            (
                "a token of a similar issuer",
                json!({"iss": "https://id.example/"}),
            ),
            (
                "a token of two issuers",
                json!({"iss": [ISSUER, "https://other.example"]}),
            ),
            ("a token of no issuer", json!({"iss": null})),
            ("a token about nobody", json!({"sub": null})),
            ("a token about an empty name", json!({"sub": ""})),
        ] {
            self.token(name, &ec.sign(&token(&others)));
        }
        let body = token(&json!({})).to_string();
        let twice = format!(r#"{{"sub":"admin",{}"#, &body[1..]);
        self.token(
            "a token with a claim that is there twice",
            &ec.sign_text(&twice),
        );
    }

    fn wrong_signatures(&mut self, ec: &Signer, rsa: &Signer, stranger: &Signer) {
        let good = ec.sign(&token(&json!({})));
        let claims = good.split('.').nth(1).unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        self.token("alg none", &format!("{none}.{claims}."));
        self.token("without its signature", &good[..=good.rfind('.').unwrap()]);
        self.token("without its last part", &good[..good.rfind('.').unwrap()]);
        let admin = URL_SAFE_NO_PAD.encode(token(&json!({"sub": "admin"})).to_string());
        self.token("with other claims", &good.replace(claims, &admin));
        self.token(
            "signed by somebody else",
            &stranger.sign(&token(&json!({}))),
        );
        for (name, secret) in [
            ("HS256 with the public RSA key as secret", &rsa.public_pem),
            ("HS256 with the public EC key as secret", &ec.public_pem),
        ] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(rsa.id.to_owned());
            let key = EncodingKey::from_secret(secret.as_bytes());
            self.token(name, &encode(&header, &token(&json!({})), &key).unwrap());
        }
        let header = |edit: &dyn Fn(&mut Header)| {
            let mut header = ec.header();
            edit(&mut header);
            ec.sign_as(&header, &token(&json!({})))
        };
        self.token(
            "a kid that nobody has",
            &header(&|h| h.kid = Some("x".to_owned())),
        );
        self.token(
            "the kid of a key of another kind",
            &header(&|h| h.kid = Some("rsa".to_owned())),
        );
        self.token(
            "critical parameters",
            &header(&|h| h.crit = Some(vec!["b64".to_owned()])),
        );
        self.token(
            "a logout token",
            &header(&|h| h.typ = Some("logout+jwt".to_owned())),
        );
        let mut header = stranger.header();
        header.kid = Some("mine".to_owned());
        header.jwk = serde_json::from_value::<Jwk>(stranger.public()).ok();
        header.jku = Some("https://evil.example/jwks".to_owned());
        self.token(
            "a key of its own in the header",
            &stranger.sign_as(&header, &token(&json!({}))),
        );
        let rs384 = {
            let mut header = rsa.header();
            header.alg = Algorithm::RS384;
            rsa.sign_as(&header, &token(&json!({})))
        };
        self.token("an algorithm that the key is not for", &rs384);
    }

    fn bound(&mut self, ec: &Signer) {
        let (der, ended) = (certificate(None), certificate(Some(2001)));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        let cnf = json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(hash)}});
        let bound = ec.sign(&token(&cnf));
        self.token("a token bound to a certificate, without it", &bound);
        self.add(
            "a token bound to a certificate, with it",
            Request::bearer(&bound).certified(&der),
        );
        self.add(
            "a token bound to a certificate, with another",
            Request::bearer(&bound).certified(&certificate(None)),
        );
        let proof = json!({"cnf": {"jkt": "abc"}});
        self.token("a token bound to a DPoP key", &ec.sign(&token(&proof)));
        self.add("a certificate", Request::default().certified(&der));
        self.add(
            "a certificate that has ended",
            Request::default().certified(&ended),
        );
        self.add("what is no certificate", Request::default().certified(b"x"));
        self.add(
            "a certificate and a token of another issuer",
            Request::bearer(&ec.sign(&token(&json!({"iss": "https://other.example"}))))
                .certified(&der),
        );
    }
}

fn token(others: &Value) -> Value {
    claims(ISSUER, RESOURCE, others)
}

fn certificate(ended: Option<i32>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "agent");
    let id = "spiffe://example.org/agent".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(id)];
    if let Some(year) = ended {
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn config(laptop: &str, ended: &str) -> String {
    let jwt = format!(
        "jwt: {{issuer: {ISSUER}, audience: [{RESOURCE}, {RESOURCE}/], jwks: {{file: jwks.json}}}}"
    );
    let tls = crate::TLS;
    format!(
        "
listeners:
  main: {{address: 127.0.0.1:8080, public_url: https://mcp.example, allow_unauthenticated: true, {tls}}}
api_keys:
  laptop: {{sha256: {laptop}, scopes: [mcp:use], expires: 2099-01-01}}
  ended: {{sha256: {ended}, expires: 2001-01-01}}
routes:
  /open: {{}}
  /keys: {{authentication: [api_keys: {{header: X-API-Key}}]}}
  /jwt: {{authentication: [jwt: {{issuer: {ISSUER}, jwks: {{file: jwks.json}}}}]}}
  /scoped: {{authentication: [{jwt}, api_keys: {{}}], required_scopes: [mcp:use]}}
  /certificates: {{authentication: [certificate: {{}}]}}
  /optional: {{authentication: [api_keys: {{}}, none: {{}}]}}
  /all: {{authentication: [certificate: {{}}, {jwt}, api_keys: {{}}]}}
"
    )
}

const HEADING: &str = "\
Who is let in, and what others are told.

  /open          asks nobody
  /keys          API keys, also in X-API-Key
  /jwt           tokens of https://id.example, made for https://mcp.example/jwt
  /scoped        such tokens and API keys; the scope mcp:use is needed
  /certificates  client certificates
  /optional      API keys, or nothing
  /all           certificates, then tokens, then API keys
";
