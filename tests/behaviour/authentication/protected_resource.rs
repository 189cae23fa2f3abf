//! A client that knows nothing but the route's URL finds out where to get a token, and gets in with it.

use serde_json::{Value, json};

use super::issuer::{ISSUER, Issuer};
use super::visitor::Visitor;
use crate::support::http::send;
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

/// Two routes that are resources, each known by a host of its own, and one that is none.
async fn gateway(issuer: &Issuer) -> Gateway {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwks.json"), issuer.published()).unwrap();
    let jwt = format!("{{jwt: {{issuer: {ISSUER}, jwks: {{file: jwks.json}}}}}}");
    Gateway::start_in(
        folder,
        &format!(
            "
routes:
  /mcp:
    public_url: https://mcp.example/mcp
    required_scopes: [\"mcp:use\"]
    authentication: [{jwt}]
  /other:
    public_url: https://other.example/deep/mcp
    authentication: [{jwt}]
  /open: {{}}
backends:\n{}",
            backend.entry("b")
        ),
    )
}

async fn metadata(gateway: &Gateway, path: &str, host: &str) -> Value {
    let answer = send("GET", &gateway.at(path), &[("host", host)], "").await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json().await
}

#[tokio::test]
async fn a_refusal_leads_to_the_metadata_and_the_metadata_to_a_token() {
    let issuer = Issuer::new("a");
    let gateway = gateway(&issuer).await;
    let refused = Visitor::showing(&gateway.url(), &[]).initialize().await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").to_owned();
    assert_eq!(
        challenge,
        "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", scope=\"mcp:use\""
    );
    assert!(refused.json().await["error"]["message"].is_string());
    let place = challenge.split('"').nth(1).unwrap();
    let path = place.strip_prefix("https://mcp.example").unwrap();
    let found = metadata(&gateway, path, "mcp.example").await;
    assert_eq!(
        found,
        json!({
            "resource": "https://mcp.example/mcp",
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp:use"],
            "bearer_methods_supported": ["header"],
        })
    );
    // The authorization server puts the resource into the audience, and the scopes that were named.
    let token = issuer.token(
        "anna",
        json!({"aud": found["resource"], "scope": found["scopes_supported"][0]}),
    );
    let client = Visitor::with(&gateway.url(), &token).open().await;
    let listed = client.ask("tools/list", json!({})).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "b__a");
}

#[tokio::test]
async fn a_caller_without_the_scope_is_told_exactly_which_one() {
    let issuer = Issuer::new("a");
    let gateway = gateway(&issuer).await;
    let poor = Visitor::with(
        &gateway.url(),
        &issuer.token("anna", json!({"scope": "mcp"})),
    );
    let refused = poor.initialize().await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", \
         error=\"insufficient_scope\", error_description=\"this needs the scopes `mcp:use`\", scope=\"mcp:use\""
    );
}

#[tokio::test]
async fn each_route_describes_itself_and_a_shared_root_the_one_that_the_host_means() {
    let issuer = Issuer::new("a");
    let gateway = gateway(&issuer).await;
    let root = "/.well-known/oauth-protected-resource";
    let (mine, other) = ("https://mcp.example/mcp", "https://other.example/deep/mcp");
    for (path, host, resource) in [
        (format!("{root}/mcp"), "mcp.example", mine),
        (format!("{root}/mcp"), "other.example", mine),
        (format!("{root}/mcp/sse"), "mcp.example", mine),
        (format!("{root}/deep/mcp"), "other.example", other),
        // Whatever passes requests on may take the prefix off.
        (format!("{root}/other"), "other.example", other),
        (root.to_owned(), "mcp.example", mine),
        (root.to_owned(), "other.example", other),
        (root.to_owned(), "127.0.0.1", mine),
    ] {
        let found = metadata(&gateway, &path, host).await;
        assert_eq!(found["resource"], resource, "{path} at {host}");
    }
    for path in ["/open", "/nowhere", "/mcp/messages"] {
        let answer = send("GET", &gateway.at(&format!("{root}{path}")), &[], "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // A name that the config does not have is not made one of by asking under it.
    let strange = send("GET", &gateway.at(root), &[("host", "evil.example")], "").await;
    assert_eq!(strange.status, 403);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_the_metadata_and_the_challenge() {
    let issuer = Issuer::new("a");
    let gateway = gateway(&issuer).await;
    let url = gateway.at("/.well-known/oauth-protected-resource/mcp");
    let origin = ("origin", "http://localhost:6274");
    let asked = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ];
    let preflight = send("OPTIONS", &url, &asked, "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "mcp-protocol-version"
    );
    let read = send("GET", &url, &[origin], "").await;
    assert_eq!(read.status, 200);
    assert_eq!(read.header("access-control-allow-origin"), origin.1);
    let posted = send("POST", &url, &[origin], "").await;
    assert_eq!(posted.status, 405);
    let refused = send("POST", &gateway.url(), &[origin], "{}").await;
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("access-control-expose-headers")
            .contains("www-authenticate")
    );
}

#[tokio::test]
async fn a_token_ends_a_stream_when_it_ends_itself() {
    let issuer = Issuer::new("a");
    let gateway = gateway(&issuer).await;
    let claims = json!({"scope": "mcp:use", "exp": super::issuer::from_now(4)});
    let client = Visitor::with(&gateway.url(), &issuer.token("anna", claims));
    let client = client.open().await;
    let mut heard = client.listen().await;
    assert_eq!(heard.status, 200);
    let ending = async { while heard.event().await.is_some() {} };
    tokio::time::timeout(crate::support::patience(), ending)
        .await
        .expect("the stream outlives the token");
    // A new token goes on in the same session.
    let longer = issuer.token("anna", json!({"scope": "mcp:use"}));
    let again = Visitor::with(&gateway.url(), &longer).in_session(client.session.as_ref().unwrap());
    assert_eq!(again.ask("ping", json!({})).await["result"], json!({}));
    assert_eq!(again.listen().await.status, 200);
}
