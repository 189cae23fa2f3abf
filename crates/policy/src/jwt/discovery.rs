//! Where an issuer says that its keys are (RFC 8414, OpenID Connect Discovery 1.0).

use http::Uri;
use isthmus_config::PublicUrl;
use isthmus_egress::{Fetcher, NamedBy};
use serde::Deserialize;

use super::issuer_keys::FetchFailure;

/// What of an authorization server's metadata matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where the keys of `issuer` are, and who has named that place.
///
/// A document that names another issuer is not believed (RFC 8414 §3.3).
pub(super) async fn discover(
    fetcher: &Fetcher,
    issuer: &str,
) -> Result<(Uri, NamedBy), FetchFailure> {
    let mut last = FetchFailure::NoMetadata;
    for place in places(issuer).ok_or(FetchFailure::NoMetadata)? {
        match metadata(fetcher, &place).await {
            Ok(found) if found.issuer != issuer => last = FetchFailure::OtherIssuer,
            Ok(found) => return keys_of(issuer, &found),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn metadata(fetcher: &Fetcher, place: &str) -> Result<Metadata, FetchFailure> {
    let url: Uri = place.parse().map_err(|_| FetchFailure::NoMetadata)?;
    let fetched = fetcher
        .get(&url, NamedBy::Operator, "application/json")
        .await?;
    if !fetched.status.is_success() {
        return Err(FetchFailure::Status(fetched.status));
    }
    serde_json::from_slice(&fetched.body).map_err(|_| FetchFailure::NoMetadata)
}

/// The operator vouches for the issuer's own origin; elsewhere it is the issuer who sends us.
fn keys_of(issuer: &str, found: &Metadata) -> Result<(Uri, NamedBy), FetchFailure> {
    let url: Uri = found
        .jwks_uri
        .parse()
        .map_err(|_| FetchFailure::NoMetadata)?;
    let same = match (
        PublicUrl::parse(issuer),
        PublicUrl::parse(without_query(&found.jwks_uri)),
    ) {
        (Ok(issuer), Ok(keys)) => issuer.origin() == keys.origin(),
        _ => false,
    };
    let named_by = if same {
        NamedBy::Operator
    } else {
        NamedBy::Peer
    };
    Ok((url, named_by))
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// The well-known places of an issuer's metadata, in the order in which MCP asks for them (26:basic/authorization).
fn places(issuer: &str) -> Option<Vec<String>> {
    let url = PublicUrl::parse(issuer).ok()?;
    let (origin, path) = (url.origin(), url.path());
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stands_at_the_well_known_places() {
        assert_eq!(
            places("https://id.example/").unwrap(),
            [
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            places("https://id.example/realms/a").unwrap(),
            [
                "https://id.example/.well-known/oauth-authorization-server/realms/a",
                "https://id.example/.well-known/openid-configuration/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration",
            ]
        );
        assert_eq!(places("somebody"), None);
    }

    #[test]
    fn the_operator_vouches_for_the_issuers_own_origin_only() {
        let named_by = |keys: &str| {
            let found = Metadata {
                issuer: "http://127.0.0.1:5000/a".to_owned(),
                jwks_uri: keys.to_owned(),
            };
            keys_of(&found.issuer.clone(), &found).unwrap().1
        };
        assert_eq!(
            named_by("http://127.0.0.1:5000/jwks?x=1"),
            NamedBy::Operator
        );
        for elsewhere in [
            "http://127.0.0.1:5001/jwks",
            "http://localhost:5000/jwks",
            "https://127.0.0.1:5000/jwks",
            "https://keys.example/jwks",
        ] {
            assert_eq!(named_by(elsewhere), NamedBy::Peer, "{elsewhere}");
        }
    }
}
