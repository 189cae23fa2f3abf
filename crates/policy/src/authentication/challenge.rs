//! What a caller is told who is not let in (RFC 6750 §3, RFC 9728 §5.1, 26:basic/authorization).

use isthmus_exchange::Challenge;

use super::metadata::Resource;
use crate::verdict::Refusal;

/// Writes the challenges of one route.
#[derive(Debug)]
pub(super) struct Challenger {
    /// What stands in every `Bearer` challenge; `None` if the route takes no bearer credential.
    bearer: Option<String>,
    /// Scopes that every caller needs.
    scopes: Vec<String>,
}

impl Challenger {
    pub(super) fn new(bearer: bool, resource: Option<&Resource>, scopes: &[String]) -> Self {
        let parameters = match resource {
            Some(resource) => format!("resource_metadata={}", quoted(&resource.metadata_url)),
            // A Bearer challenge has at least one parameter (RFC 6750 §3).
            None => format!("realm={}", quoted("mcp")),
        };
        Self {
            bearer: bearer.then_some(parameters),
            scopes: scopes.to_vec(),
        }
    }

    /// To who has shown nothing: no error, just what is needed.
    pub(super) fn nothing_shown(&self) -> Challenge {
        self.write(
            401,
            None,
            &self.scopes,
            "who are you? this route needs a credential",
        )
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> Challenge {
        match refusal {
            Refusal::Malformed(why) => self.write(400, Some("invalid_request"), &[], why),
            Refusal::Invalid(why) => self.write(401, Some("invalid_token"), &self.scopes, why),
            Refusal::Unavailable {
                message,
                retry_after,
            } => Challenge {
                status: 503,
                headers: Vec::new(),
                retry_after: Some(*retry_after),
                message: (*message).to_owned(),
            },
        }
    }

    /// To who is known and has not all of `scopes`: all of them are named, since a client asks for exactly those
    /// (26:basic/authorization).
    pub(super) fn insufficient_scope(&self, scopes: &[String]) -> Challenge {
        let message = format!("this needs the scopes `{}`", scopes.join(" "));
        self.write(403, Some("insufficient_scope"), scopes, &message)
    }

    fn write(
        &self,
        status: u16,
        error: Option<&str>,
        scopes: &[String],
        message: &str,
    ) -> Challenge {
        let Some(bearer) = &self.bearer else {
            return Challenge {
                // 401 has to say which scheme would do (RFC 9110 §15.5.2), and a certificate is none.
                status: if status == 401 { 403 } else { status },
                headers: Vec::new(),
                retry_after: None,
                message: message.to_owned(),
            };
        };
        let mut header = format!("Bearer {bearer}");
        if let Some(error) = error {
            header.push_str(&format!(
                ", error={}, error_description={}",
                quoted(error),
                quoted(message)
            ));
        }
        if !scopes.is_empty() {
            header.push_str(&format!(", scope={}", quoted(&scopes.join(" "))));
        }
        Challenge {
            status,
            headers: vec![header],
            retry_after: None,
            message: message.to_owned(),
        }
    }
}

/// A quoted string. What may not stand in one, or in these parameters (RFC 6750 §3), is left out.
fn quoted(text: &str) -> String {
    let fits = |c: &char| (c.is_ascii_graphic() || *c == ' ') && *c != '"' && *c != '\\';
    format!("\"{}\"", text.chars().filter(fits).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn challenger(scopes: &[&str]) -> Challenger {
        let resource = Resource {
            metadata_url: "https://mcp.example/.well-known/oauth-protected-resource/mcp".to_owned(),
            documents: Vec::new(),
        };
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Challenger::new(true, Some(&resource), &scopes)
    }

    const METADATA: &str =
        r#"resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp""#;

    #[test]
    fn a_challenge_says_where_to_get_a_token_and_with_which_scopes() {
        let challenge = challenger(&["mcp:use"]).nothing_shown();
        assert_eq!(challenge.status, 401);
        assert_eq!(
            challenge.headers,
            [format!(r#"Bearer {METADATA}, scope="mcp:use""#)]
        );
        let challenge = challenger(&[]).refused(&Refusal::Invalid("the token has expired"));
        assert_eq!(challenge.status, 401);
        assert_eq!(
            challenge.headers,
            [format!(
                r#"Bearer {METADATA}, error="invalid_token", error_description="the token has expired""#
            )]
        );
    }

    #[test]
    fn a_step_up_names_exactly_the_scopes_that_are_needed() {
        let scopes = ["files:read".to_owned(), "files:write".to_owned()];
        let challenge = challenger(&["mcp:use"]).insufficient_scope(&scopes);
        assert_eq!(challenge.status, 403);
        assert_eq!(
            challenge.headers,
            [format!(
                r#"Bearer {METADATA}, error="insufficient_scope", error_description="this needs the scopes `files:read files:write`", scope="files:read files:write""#
            )]
        );
    }

    #[test]
    fn what_cannot_be_read_or_known_is_not_called_invalid() {
        let malformed = challenger(&[]).refused(&Refusal::Malformed("two of them"));
        assert_eq!(malformed.status, 400);
        assert!(malformed.headers[0].contains(r#"error="invalid_request""#));
        let unavailable = challenger(&[]).refused(&Refusal::Unavailable {
            message: "not now",
            retry_after: Duration::from_secs(10),
        });
        assert_eq!(unavailable.status, 503);
        assert!(unavailable.headers.is_empty());
    }

    #[test]
    fn a_route_for_certificates_only_has_no_scheme_to_offer() {
        let challenge = Challenger::new(false, None, &[]).nothing_shown();
        assert_eq!((challenge.status, challenge.headers.len()), (403, 0));
        let challenge = Challenger::new(true, None, &[]).nothing_shown();
        assert_eq!(challenge.headers, [r#"Bearer realm="mcp""#]);
    }

    #[test]
    fn a_parameter_cannot_end_early() {
        assert_eq!(quoted("a\"b\\c\r\nd\u{e9}"), "\"abcd\"");
    }
}
