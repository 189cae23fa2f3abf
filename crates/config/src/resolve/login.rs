//! Logins to backends.

use super::Resolver;
use crate::config::{
    AuthorizationServer, Located, Login, LoginClient, OwnCredential, PublicUrl, SecretPlace,
};
use crate::document::{self, SecretPlaceWord};
use crate::yaml::Spanned;

impl Resolver<'_> {
    pub(super) fn login(
        &mut self,
        written: &Spanned<document::Login>,
        path: &str,
    ) -> Option<OwnCredential> {
        let path = format!("{path}.login");
        let scopes = self.scopes(written.scopes.as_deref(), &format!("{path}.scopes"));
        let server = match &written.issuer {
            Some(issuer) => {
                if let Err(message) = PublicUrl::parse(issuer) {
                    let path = format!("{path}.issuer");
                    self.complaints.add(issuer.mark, path, message);
                }
                let place = self.complaints.location(issuer.mark);
                AuthorizationServer::Issuer(Located::new(issuer.value.clone(), place))
            }
            None => AuthorizationServer::NamedByBackend,
        };
        let client = self.login_client(written, &path);
        Some(OwnCredential::Login(Box::new(Login {
            client,
            server,
            scopes,
        })))
    }

    fn login_client(
        &mut self,
        written: &Spanned<document::Login>,
        path: &str,
    ) -> Option<LoginClient> {
        let Some(id) = &written.client_id else {
            if let Some(secret) = &written.client_secret {
                let message = "a secret without a `client_id`: whose is it?";
                self.complaints.add(secret.mark, path, message);
            }
            return None;
        };
        if id.is_empty() || !id.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            let message = "a client id is visible ASCII";
            self.complaints
                .add(id.mark, format!("{path}.client_id"), message);
        }
        if written.issuer.is_none() {
            let message = "`issuer` is missing: a client is registered with one authorization server, and the backend must not choose another";
            self.complaints.add(id.mark, path, message);
        }
        let secret = written.client_secret.as_ref();
        let secret =
            secret.and_then(|secret| self.secret(secret, &format!("{path}.client_secret")));
        Some(LoginClient {
            id: id.value.clone(),
            secret,
            place: written.client_secret_in.map(|place| match place {
                SecretPlaceWord::Header => SecretPlace::Header,
                SecretPlaceWord::Form => SecretPlace::Form,
            }),
        })
    }
}
