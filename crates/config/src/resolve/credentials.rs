//! What is shown to a backend.

use ::http::{HeaderName, HeaderValue};

use super::Resolver;
use super::authentication::algorithm;
use super::http::OURS;
use crate::config::{
    AuthorizationServer, CallersCredential, ClientCredentials, ClientProof, Credentials,
    IgnoredLocation, OAuthClient, OwnCredential, PublicUrl, SecretPlace, TokenExchange,
};
use crate::diagnostics::Mark;
use crate::document::{self, AlgorithmName, Secret, SecretPlaceWord, SessionsWord};
use crate::yaml::Spanned;

/// What the sections of OAuth clients have in common.
struct WrittenClient<'a> {
    mark: Mark,
    path: String,
    id: &'a Spanned<String>,
    secret: Option<&'a Spanned<Secret>>,
    place: Option<SecretPlaceWord>,
    key: Option<&'a Spanned<Secret>>,
    algorithm: Option<AlgorithmName>,
    key_id: Option<&'a String>,
    issuer: Option<&'a Spanned<String>>,
    token_endpoint: Option<&'a Spanned<String>>,
    /// Whether the backend may name the server.
    discovered: bool,
}

impl Resolver<'_> {
    pub(super) fn credentials(
        &mut self,
        written: Option<&Spanned<document::Credentials>>,
        backend: &document::Backend,
        path: &str,
    ) -> Option<Credentials> {
        let written = written?;
        let path = format!("{path}.credentials");
        if backend.stdio.is_some() {
            let message =
                "a program over stdin and stdout takes its credentials from its environment";
            let help = "set them by `stdio.env`, as `{env: NAME}` or `{file: path}`";
            self.complaints
                .add_with_help(written.mark, path, message, help);
            return None;
        }
        let own = [
            written.header.as_ref().map(|it| ("header", it.mark)),
            written
                .client_credentials
                .as_ref()
                .map(|it| ("client_credentials", it.mark)),
            written.login.as_ref().map(|it| ("login", it.mark)),
        ];
        let mut own = own.into_iter().flatten();
        if let (Some((first, _)), Some((second, mark))) = (own.next(), own.next()) {
            let message =
                format!("`{first}` and `{second}` exclude each other: each is the operator's own");
            self.complaints.add(mark, path.as_str(), message);
        }
        let header = written.header.as_ref();
        let header = header.and_then(|header| self.credential_header(header, &path));
        let client = written.client_credentials.as_ref();
        let client = client.and_then(|client| self.client_credentials(client, &path));
        let login = written.login.as_ref();
        let login = login.and_then(|login| self.login(login, &path));
        let exchange = written.exchange.as_ref();
        let exchange = exchange.and_then(|exchange| self.token_exchange(exchange, &path));
        let nothing = written.header.is_none()
            && written.client_credentials.is_none()
            && written.login.is_none()
            && written.exchange.is_none();
        if nothing {
            let message =
                "one of `header`, `client_credentials`, `login` and `exchange` is missing";
            self.complaints.add(written.mark, path.as_str(), message);
        }
        let sessions = backend.sessions.as_ref();
        if let (Some(_), Some(sessions)) = (&written.exchange, sessions)
            && matches!(sessions.value, SessionsWord::Shared)
        {
            let message = "callers with credentials of their own cannot share a session: it would act for whoever opened it";
            let help = "use `per-principal`, `per-client` or `per-call`";
            let path = path.replace(".credentials", ".sessions");
            self.complaints
                .add_with_help(sessions.mark, path, message, help);
        }
        Some(Credentials {
            own: header.or(client).or(login),
            callers: exchange,
            resource: self.resource(written.resource.as_ref(), &path),
            location: Some(self.complaints.location(written.mark)),
        })
    }

    fn credential_header(
        &mut self,
        written: &document::CredentialHeader,
        path: &str,
    ) -> Option<OwnCredential> {
        let path = format!("{path}.header");
        let name = HeaderName::from_bytes(written.name.as_bytes()).ok();
        match &name {
            None => {
                let message = "not the name of a header";
                self.complaints
                    .add(written.name.mark, format!("{path}.name"), message);
            }
            Some(name) if OURS.contains(&name.as_str()) => {
                let message = "the gateway sets this header itself";
                self.complaints
                    .add(written.name.mark, format!("{path}.name"), message);
            }
            Some(_) => {}
        }
        let path = format!("{path}.value");
        self.not_forwarded(&written.value, &path);
        let value = self.secret(&written.value, &path)?;
        if value.expose().is_empty() || HeaderValue::from_str(value.expose()).is_err() {
            let message = "a header cannot hold this value: visible ASCII and spaces only";
            self.complaints.add(written.value.mark, path, message);
        }
        Some(OwnCredential::Header { name: name?, value })
    }

    /// Complains about a value that was meant to become something of the caller's.
    pub(super) fn not_forwarded(&mut self, written: &Spanned<Secret>, path: &str) {
        let Secret::Text(text) = &written.value else {
            return;
        };
        let lower = text.to_ascii_lowercase();
        if !TEMPLATES.iter().any(|template| lower.contains(template)) {
            return;
        }
        self.complaints
            .add_with_help(written.mark, path, FORWARDED, INSTEAD);
    }

    fn client_credentials(
        &mut self,
        written: &Spanned<document::ClientCredentials>,
        path: &str,
    ) -> Option<OwnCredential> {
        let path = format!("{path}.client_credentials");
        let scopes = self.scopes(written.scopes.as_deref(), &format!("{path}.scopes"));
        let client = self.oauth_client(&WrittenClient {
            mark: written.mark,
            path,
            id: &written.client_id,
            secret: written.client_secret.as_ref(),
            place: written.client_secret_in,
            key: written.private_key.as_ref(),
            algorithm: written.algorithm,
            key_id: written.key_id.as_ref(),
            issuer: written.issuer.as_ref(),
            token_endpoint: written.token_endpoint.as_ref(),
            discovered: true,
        })?;
        let credentials = ClientCredentials { client, scopes };
        Some(OwnCredential::ClientCredentials(Box::new(credentials)))
    }

    fn token_exchange(
        &mut self,
        written: &Spanned<document::TokenExchange>,
        path: &str,
    ) -> Option<CallersCredential> {
        let path = format!("{path}.exchange");
        let scopes = self.scopes(written.scopes.as_deref(), &format!("{path}.scopes"));
        let requested = written.requested_token_type.as_ref();
        let requested = requested.map(|requested| {
            self.token_type(requested, &format!("{path}.requested_token_type"));
            requested.value.clone()
        });
        let subject = written.subject_token_type.as_ref();
        let subject = subject.map_or_else(
            || ACCESS_TOKEN.to_owned(),
            |subject| {
                self.token_type(subject, &format!("{path}.subject_token_type"));
                subject.value.clone()
            },
        );
        let client = self.oauth_client(&WrittenClient {
            mark: written.mark,
            path,
            id: &written.client_id,
            secret: written.client_secret.as_ref(),
            place: written.client_secret_in,
            key: written.private_key.as_ref(),
            algorithm: written.algorithm,
            key_id: written.key_id.as_ref(),
            issuer: written.issuer.as_ref(),
            token_endpoint: written.token_endpoint.as_ref(),
            discovered: false,
        })?;
        Some(CallersCredential::Exchange(Box::new(TokenExchange {
            client,
            scopes,
            audience: written.audience.as_ref().map(|text| text.value.clone()),
            requested_token_type: requested,
            subject_token_type: subject,
        })))
    }

    fn token_type(&mut self, written: &Spanned<String>, path: &str) {
        let is_uri = written.contains(':') && written.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_uri {
            let message = "not the URI of a kind of token";
            let help = "such as `urn:ietf:params:oauth:token-type:access_token`";
            self.complaints
                .add_with_help(written.mark, path, message, help);
        }
    }

    fn oauth_client(&mut self, written: &WrittenClient<'_>) -> Option<OAuthClient> {
        if written.id.is_empty() || !written.id.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            let path = format!("{}.client_id", written.path);
            let message = "a client id is visible ASCII";
            self.complaints.add(written.id.mark, path, message);
        }
        let proof = self.client_proof(written);
        let server = self.authorization_server(written, proof.as_ref());
        Some(OAuthClient {
            id: written.id.value.clone(),
            proof: proof?,
            server: server?,
        })
    }

    fn client_proof(&mut self, written: &WrittenClient<'_>) -> Option<ClientProof> {
        let path = written.path.as_str();
        match (written.secret, written.key) {
            (None, None) => {
                let message = "one of `client_secret` and `private_key` is missing";
                self.complaints.add(written.mark, path, message);
                None
            }
            (Some(_), Some(key)) => {
                let message = "`client_secret` and `private_key` exclude each other";
                self.complaints.add(key.mark, path, message);
                None
            }
            (Some(secret), None) => {
                let value = self.secret(secret, &format!("{path}.client_secret"))?;
                let place = written.place.map(|place| match place {
                    SecretPlaceWord::Header => SecretPlace::Header,
                    SecretPlaceWord::Form => SecretPlace::Form,
                });
                Some(ClientProof::Secret { value, place })
            }
            (None, Some(key)) => {
                let Some(named) = written.algorithm else {
                    let message = "`algorithm` is missing: how does the key sign?";
                    let help =
                        "`ES256` for a P-256 key, `RS256` for an RSA key, `EdDSA` for Ed25519";
                    self.complaints.add_with_help(key.mark, path, message, help);
                    return None;
                };
                Some(ClientProof::PrivateKey {
                    key: self.secret(key, &format!("{path}.private_key"))?,
                    algorithm: algorithm(named),
                    id: written.key_id.cloned(),
                    location: IgnoredLocation(Some(self.complaints.location(key.mark))),
                })
            }
        }
    }

    fn authorization_server(
        &mut self,
        written: &WrittenClient<'_>,
        proof: Option<&ClientProof>,
    ) -> Option<AuthorizationServer> {
        let path = written.path.as_str();
        match (written.issuer, written.token_endpoint) {
            (Some(_), Some(second)) => {
                let message = "`issuer` and `token_endpoint` exclude each other";
                self.complaints.add(second.mark, path, message);
                None
            }
            (Some(issuer), None) => {
                if let Err(message) = PublicUrl::parse(issuer) {
                    let path = format!("{path}.issuer");
                    self.complaints.add(issuer.mark, path, message);
                }
                let place = self.complaints.location(issuer.mark);
                let issuer = crate::config::Located::new(issuer.value.clone(), place);
                Some(AuthorizationServer::Issuer(issuer))
            }
            (None, Some(endpoint)) => {
                let path = format!("{path}.token_endpoint");
                let url = self.url(endpoint, &path)?;
                let without_query = endpoint.split('?').next().unwrap_or_default();
                if let Err(message) = PublicUrl::parse(without_query) {
                    self.complaints.add(endpoint.mark, path, message);
                }
                Some(AuthorizationServer::TokenEndpoint(url))
            }
            (None, None) => {
                // An assertion is made for one server; a secret, or a caller's token, is worth something to any.
                let harmless = matches!(proof, Some(ClientProof::PrivateKey { .. }) | None);
                if written.discovered && harmless {
                    return Some(AuthorizationServer::NamedByBackend);
                }
                let message = "one of `issuer` and `token_endpoint` is missing: the backend must not choose who gets the secret";
                self.complaints.add(written.mark, path, message);
                None
            }
        }
    }

    fn resource(&mut self, written: Option<&Spanned<String>>, path: &str) -> Option<String> {
        let written = written?;
        let sound = written.contains(':')
            && !written.contains('#')
            && written.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound {
            let message = "not an absolute URI without a fragment";
            self.complaints
                .add(written.mark, format!("{path}.resource"), message);
        }
        Some(written.value.clone())
    }
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const FORWARDED: &str = "what a caller shows to the gateway is never sent on: not its token, not its cookies, not its identity headers";
pub(crate) const INSTEAD: &str = "a header has one value for everybody; `credentials.exchange` gets a token for the backend in exchange for the caller's";
/// How other programs write "the caller's …" into a value.
const TEMPLATES: [&str; 9] = [
    "{{",
    "%req(",
    "$http_",
    "$request.",
    "${request",
    "${caller",
    "{caller.",
    "{request.",
    "$(request",
];
