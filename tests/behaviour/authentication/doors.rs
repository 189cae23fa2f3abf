//! Every endpoint and method with every kind of credential, as statuses and challenges in `snapshots/doors.txt`: who reads
//! it sees that no path and no method lets in whom another one refuses. `ISTHMUS_BLESS=1` writes it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::issuer::{Issuer, from_now};
use super::visitor::{Visitor, new_key};
use crate::support::http::Answer;
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

/// What is asked, by which method, where.
struct Endpoint {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    ask: Ask,
}

#[derive(Clone, Copy, PartialEq)]
enum Ask {
    Initialize,
    Stateless,
    InSession,
    Listen,
    End,
    Bare,
}

const ENDPOINTS: [Endpoint; 25] = [
    at("initialize", "POST", "/mcp", Ask::Initialize),
    at("a request of its own", "POST", "/mcp", Ask::Stateless),
    at("a request in a session", "POST", "/mcp", Ask::InSession),
    at("a session's stream", "GET", "/mcp", Ask::Listen),
    at("the end of a session", "DELETE", "/mcp", Ask::End),
    at("a slash at the end", "POST", "/mcp/", Ask::Initialize),
    at("an old client's stream", "GET", "/mcp/sse", Ask::Bare),
    at(
        "an old client's message",
        "POST",
        "/mcp/messages?session=x",
        Ask::Initialize,
    ),
    at("a method that is not served", "PUT", "/mcp", Ask::Bare),
    at("the same, of old clients", "DELETE", "/mcp/sse", Ask::Bare),
    at(
        "the same, their messages",
        "GET",
        "/mcp/messages",
        Ask::Bare,
    ),
    at("preflight", "OPTIONS", "/mcp", Ask::Bare),
    at(
        "the route that asks nobody",
        "POST",
        "/open",
        Ask::Initialize,
    ),
    at(
        "metadata, path form",
        "GET",
        "/.well-known/oauth-protected-resource/mcp",
        Ask::Bare,
    ),
    at(
        "metadata, root form",
        "GET",
        "/.well-known/oauth-protected-resource",
        Ask::Bare,
    ),
    at(
        "metadata of what is none",
        "GET",
        "/.well-known/oauth-protected-resource/open",
        Ask::Bare,
    ),
    at(
        "metadata, posted to",
        "POST",
        "/.well-known/oauth-protected-resource/mcp",
        Ask::Bare,
    ),
    at("is it alive?", "GET", "/healthz", Ask::Bare),
    at("is it ready?", "GET", "/readyz", Ask::Bare),
    at("health, posted to", "POST", "/healthz", Ask::Bare),
    at(
        "a path that is not there",
        "POST",
        "/other",
        Ask::Initialize,
    ),
    at("below a path that is", "POST", "/mcp/x", Ask::Initialize),
    at("other case", "POST", "/MCP", Ask::Initialize),
    at("two slashes", "POST", "//mcp", Ask::Initialize),
    at("a way around", "POST", "/open/../mcp", Ask::Initialize),
];

const fn at(name: &'static str, method: &'static str, path: &'static str, ask: Ask) -> Endpoint {
    Endpoint {
        name,
        method,
        path,
        ask,
    }
}

#[tokio::test]
async fn no_door_lets_in_whom_another_refuses() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let issuer = Issuer::new("a");
    let (laptop, ended) = (
        new_key("laptop", &["--scopes", "mcp:use"]),
        Issuer::new("a"),
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwks.json"), issuer.published()).unwrap();
    let fleet = format!(
        "{}routes:
  /open: {{}}
  /mcp:
    public_url: https://mcp.example/mcp
    required_scopes: [mcp:use]
    authentication:
      - jwt: {{issuer: https://id.example, jwks: {{file: jwks.json}}}}
      - api_keys: {{header: X-API-Key}}
backends:\n{}",
        laptop.snippet,
        backend.entry("b")
    );
    let gateway = Gateway::start_in(folder, &fleet);
    let credentials = credentials(&issuer, &ended, &laptop.key);
    let owner = Visitor::with(&gateway.url(), &laptop.key);
    let mut table = String::from(
        "Status of every endpoint for every kind of credential, and by a letter which challenge came with it.\n\
         A session is always that of the key's owner: who comes with a good token is somebody else.\n\n",
    );
    let _ = write!(table, "{:<38}", "");
    for endpoint in &ENDPOINTS {
        let _ = write!(table, " {:<4}", letter(endpoint));
    }
    end_line(&mut table);
    let mut challenges = Vec::new();
    for (name, headers) in &credentials {
        let _ = write!(table, "{name:<38}");
        for endpoint in &ENDPOINTS {
            let session = owner.open().await.session.unwrap();
            let mut url = gateway.at(endpoint.path);
            if let Some((_, token)) = headers.iter().find(|(header, _)| header == QUERY) {
                let join = if url.contains('?') { '&' } else { '?' };
                url = format!("{url}{join}access_token={token}");
            }
            let shown: Headers = headers
                .iter()
                .filter(|(header, _)| header != QUERY)
                .cloned()
                .collect();
            let visitor = Visitor::showing(&url, &shown);
            let answer = answer(&visitor, endpoint, &session).await;
            let status = answer.status.as_u16();
            let _ = write!(table, " {status}{}", challenge(&answer, &mut challenges));
        }
        end_line(&mut table);
    }
    table.push('\n');
    for (letter, challenge) in ('a'..).zip(&challenges) {
        let _ = writeln!(table, "{letter}  {challenge}");
    }
    table.push('\n');
    for endpoint in &ENDPOINTS {
        let Endpoint {
            name, method, path, ..
        } = endpoint;
        let _ = writeln!(table, "{}  {method:<7} {path:<45} {name}", letter(endpoint));
    }
    let kept =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/behaviour/snapshots/doors.txt");
    if std::env::var_os("ISTHMUS_BLESS").is_some() {
        std::fs::write(&kept, &table).unwrap();
    }
    let found = std::fs::read_to_string(kept).unwrap_or_default();
    assert!(found == table, "stale, or wrong:\n{table}");
}

fn letter(endpoint: &Endpoint) -> char {
    let place = ENDPOINTS
        .iter()
        .position(|other| other.name == endpoint.name);
    (b'A' + u8::try_from(place.unwrap()).unwrap()) as char
}

fn end_line(table: &mut String) {
    table.truncate(table.trim_end_matches(' ').len());
    table.push('\n');
}

/// A letter for the challenges of an answer, a space if it has none. The sentence for people is left out: which they are
/// is in `crates/policy/tests/who_is_let_in.txt`.
fn challenge(answer: &Answer, known: &mut Vec<String>) -> char {
    let schemes = answer.headers.get_all("www-authenticate").iter();
    let schemes: Vec<String> = schemes
        .map(|scheme| {
            let parts = scheme.to_str().unwrap().split(", ");
            let kept = parts.filter(|part| !part.contains("error_description="));
            kept.collect::<Vec<_>>().join(", ")
        })
        .collect();
    if schemes.is_empty() {
        return ' ';
    }
    let shown = schemes.join("  and  ");
    let place = known.iter().position(|other| *other == shown);
    let place = place.unwrap_or_else(|| {
        known.push(shown);
        known.len() - 1
    });
    (b'a' + u8::try_from(place).unwrap()) as char
}

async fn answer(visitor: &Visitor, endpoint: &Endpoint, session: &str) -> Answer {
    let Endpoint { method, ask, .. } = endpoint;
    let visitor = if matches!(ask, Ask::InSession | Ask::Listen | Ask::End) {
        visitor.in_session(session)
    } else {
        visitor.clone()
    };
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    match ask {
        Ask::Initialize => visitor.initialize().await,
        Ask::Stateless => visitor.stateless("tools/list", json!({}), json!({})).await,
        Ask::InSession => visitor.post(&ping).await,
        Ask::Listen => visitor.listen().await,
        Ask::End => visitor.delete().await,
        Ask::Bare => {
            let accept = [("accept", "text/event-stream, application/json")];
            visitor
                .send(method, &visitor.url, &accept, String::new())
                .await
        }
    }
}

/// Not a header: what stands here goes into the URL.
const QUERY: &str = "?";

type Headers = Vec<(String, String)>;

fn credentials(issuer: &Issuer, stranger: &Issuer, key: &str) -> Vec<(&'static str, Headers)> {
    let bearer = |token: &str| vec![("authorization".to_owned(), format!("Bearer {token}"))];
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let scoped = |others: serde_json::Value| {
        let mut claims = json!({"scope": "mcp:use"});
        let serde_json::Value::Object(others) = others else {
            panic!("claims are an object");
        };
        claims.as_object_mut().unwrap().extend(others);
        issuer.token("anna", claims)
    };
    let good = scoped(json!({}));
    let [_, claims, _] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    // {"alg":"none"}
    let none = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let mut unknown = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    unknown.kid = Some("b".to_owned());
    vec![
        ("none", Vec::new()),
        ("malformed", header("authorization", "Bearer a b")),
        ("another scheme", header("authorization", "Basic YTpi")),
        ("a good token, in the query", header(QUERY, &good)),
        (
            "a token for another audience",
            bearer(&scoped(json!({"aud": "https://mcp.example/open"}))),
        ),
        (
            "an ended token",
            bearer(&scoped(json!({"exp": from_now(-600)}))),
        ),
        (
            "a token not valid yet",
            bearer(&scoped(json!({"nbf": from_now(600)}))),
        ),
        (
            "a token of another issuer",
            bearer(&scoped(json!({"iss": "https://other.example"}))),
        ),
        ("alg none", bearer(&none)),
        (
            "the public key taken for a secret",
            bearer(&issuer.confused("anna")),
        ),
        (
            "an unknown key id",
            bearer(&issuer.signed(&unknown, "anna", json!({"scope": "mcp:use"}))),
        ),
        (
            "signed by somebody else",
            bearer(&stranger.token("anna", json!({"scope": "mcp:use"}))),
        ),
        (
            "a token without the scope",
            bearer(&issuer.token("anna", json!({"scope": "mcp"}))),
        ),
        ("an unknown API key", bearer(&format!("{key}x"))),
        (
            "an unknown API key, own header",
            header("x-api-key", "word"),
        ),
        ("a good token", bearer(&good)),
        ("the owner's key", bearer(key)),
        ("the owner's key, own header", header("x-api-key", key)),
    ]
}
