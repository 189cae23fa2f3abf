//! What a route says of itself as a protected resource (RFC 9728).

use isthmus_config::{AuthenticationMethod, PublicUrl, Route};
use isthmus_exchange::PublicDocument;
use isthmus_protocol::RawJson;

/// A route that is an OAuth 2.1 protected resource: it takes tokens of an authorization server, and has a name.
#[derive(Debug)]
pub(super) struct Resource {
    /// Where its metadata is.
    pub(super) metadata_url: String,
    pub(super) documents: Vec<PublicDocument>,
}

impl Resource {
    /// `None` if nobody could get a token for the route: it takes none, or nobody said by which URL it is known.
    pub(super) fn of(route: &Route, url: Option<&PublicUrl>) -> Option<Self> {
        let url = url?;
        let servers = authorization_servers(route);
        if servers.is_empty() {
            return None;
        }
        let scopes = &route.authentication.required_scopes;
        let mut content = serde_json::json!({
            "resource": resource_of(url),
            "authorization_servers": servers,
            "bearer_methods_supported": ["header"],
        });
        // The least that a client needs (SBP, scope minimisation): never the whole catalogue of scopes.
        if !scopes.is_empty() {
            content["scopes_supported"] = serde_json::json!(scopes);
        }
        let content = RawJson::from_serialize(&content);
        let document = |path: String| PublicDocument {
            path,
            authority: url.authority().to_owned(),
            content: content.clone(),
        };
        // Behind something that takes a prefix off paths, requests for the one form may arrive as the other.
        let mut paths = vec![format!("{WELL_KNOWN}{}", url.path())];
        let own = route.path.trim_end_matches('/');
        paths.push(format!("{WELL_KNOWN}{own}"));
        if route.legacy_sse {
            // Clients of HTTP+SSE know the route by the path of its stream.
            paths.push(format!("{WELL_KNOWN}{}/sse", url.path()));
            paths.push(format!("{WELL_KNOWN}{own}/sse"));
        }
        paths.push(WELL_KNOWN.to_owned());
        let mut documents: Vec<PublicDocument> = Vec::new();
        for path in paths {
            if !documents.iter().any(|known| known.path == path) {
                documents.push(document(path));
            }
        }
        Some(Self {
            metadata_url: format!("{}{WELL_KNOWN}{}", url.origin(), url.path()),
            documents,
        })
    }
}

/// The route's name as a resource. Where the path is empty it is the origin without a slash.
pub(super) fn resource_of(url: &PublicUrl) -> String {
    url.to_string()
}

/// What an `aud` may say that means this URL: clients write a URL with and without a slash at its end, and both are
/// sent as `resource` to authorization servers.
pub(super) fn audiences_of(url: &PublicUrl) -> Vec<String> {
    vec![resource_of(url), format!("{url}/")]
}

fn authorization_servers(route: &Route) -> Vec<String> {
    let mut servers: Vec<String> = Vec::new();
    for method in &route.authentication.methods {
        let AuthenticationMethod::Jwt(jwt) = method else {
            continue;
        };
        let issuer = || Some(jwt.issuer.clone()).filter(|issuer| PublicUrl::parse(issuer).is_ok());
        let server = jwt.authorization_server.clone().or_else(issuer);
        servers.extend(server.filter(|server| !servers.contains(server)));
    }
    servers
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use isthmus_config::Jwt;

    use super::*;

    fn route(path: &str) -> Route {
        let mut route = Route::new(path);
        route.authentication.methods = vec![
            AuthenticationMethod::Jwt(Box::new(Jwt::new("https://id.example/"))),
            AuthenticationMethod::Jwt(Box::new(Jwt::new("not-a-url"))),
        ];
        route
    }

    fn paths(resource: &Resource) -> Vec<&str> {
        let documents = resource.documents.iter();
        documents.map(|document| document.path.as_str()).collect()
    }

    #[test]
    fn a_resource_is_described_at_the_path_form_and_the_root_form() {
        let url = PublicUrl::parse("https://mcp.example/mcp").unwrap();
        let mut route = route("/mcp");
        route.authentication.required_scopes = vec!["mcp:use".to_owned()];
        let resource = Resource::of(&route, Some(&url)).unwrap();
        assert_eq!(
            resource.metadata_url,
            "https://mcp.example/.well-known/oauth-protected-resource/mcp"
        );
        assert_eq!(
            paths(&resource),
            [
                "/.well-known/oauth-protected-resource/mcp",
                "/.well-known/oauth-protected-resource/mcp/sse",
                "/.well-known/oauth-protected-resource",
            ]
        );
        let content: serde_json::Value = resource.documents[0].content.read().unwrap();
        assert_eq!(
            content,
            serde_json::json!({
                "resource": "https://mcp.example/mcp",
                "authorization_servers": ["https://id.example/"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["mcp:use"],
            })
        );
        assert_eq!(resource.documents[0].authority, "mcp.example");
    }

    #[test]
    fn the_public_path_and_the_routes_own_both_lead_to_it() {
        let url = PublicUrl::parse("https://example.org/gateway/mcp").unwrap();
        let resource = Resource::of(&route("/"), Some(&url)).unwrap();
        assert_eq!(
            paths(&resource),
            [
                "/.well-known/oauth-protected-resource/gateway/mcp",
                "/.well-known/oauth-protected-resource",
                "/.well-known/oauth-protected-resource/gateway/mcp/sse",
                "/.well-known/oauth-protected-resource/sse",
            ]
        );
    }

    #[test]
    fn who_takes_no_tokens_or_has_no_name_is_no_resource() {
        let url = PublicUrl::parse("https://mcp.example/mcp").unwrap();
        assert!(Resource::of(&Route::new("/mcp"), Some(&url)).is_none());
        assert!(Resource::of(&route("/mcp"), None).is_none());
    }
}
