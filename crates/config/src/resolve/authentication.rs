//! Who may call.

use std::time::{Duration, SystemTime};

use ::http::HeaderName;

use super::Resolver;
use crate::config::{
    ApiKey, ApiKeys, Authentication, AuthenticationMethod, Certificate, CertificateName, Jwks, Jwt,
    JwtAlgorithm, Located, PublicUrl, parse_hex,
};
use crate::document::{self, AlgorithmName};
use crate::moment::parse_moment;
use crate::yaml::{Entries, Spanned, suggest};

/// What routes have in common.
pub(super) struct Callers {
    /// Every key that somebody may call with.
    pub(super) keys: Vec<ApiKey>,
    /// The methods of routes that name none.
    pub(super) common: Vec<AuthenticationMethod>,
}

impl Resolver<'_> {
    fn api_keys(&mut self, written: Option<Entries<document::ApiKey>>) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = Vec::new();
        for (name, written) in written.map(|entries| entries.0).unwrap_or_default() {
            let path = format!("api_keys.{}", name.value);
            self.principal_name(&name, &path);
            if let Some(principal) = &written.principal {
                self.principal_name(principal, &format!("{path}.principal"));
            }
            let scopes = self.scopes(written.scopes.as_deref(), &format!("{path}.scopes"));
            let expires = written
                .expires
                .as_ref()
                .and_then(|expires| self.moment(expires, &format!("{path}.expires")));
            let Some(sha256) = parse_hex(&written.sha256) else {
                // What is no hash may be the key itself, put in the wrong place: it is not repeated.
                self.complaints.add_with_help(
                    written.sha256.mark,
                    format!("{path}.sha256"),
                    "not a hash of 64 hexadecimal digits",
                    "make a key and its hash by `isthmus key new NAME`; the key itself does not belong in the config",
                );
                continue;
            };
            if let Some(other) = keys.iter().find(|other| other.sha256 == sha256) {
                let message = format!("this is the key of `{}` too", other.name);
                self.complaints
                    .add(written.sha256.mark, format!("{path}.sha256"), message);
            }
            let principal = written.principal.unwrap_or_else(|| name.clone()).value;
            keys.push(ApiKey {
                location: Some(self.complaints.location(name.mark)),
                name: name.value,
                principal,
                sha256,
                scopes,
                expires,
            });
        }
        keys
    }

    /// What routes have in common.
    pub(super) fn callers(
        &mut self,
        keys: Option<Entries<document::ApiKey>>,
        common: Option<&[Spanned<document::Method>]>,
    ) -> Callers {
        let keys = self.api_keys(keys);
        let common = self.methods(common.unwrap_or_default(), "authentication", &keys);
        Callers { keys, common }
    }

    /// How the callers of a route show who they are.
    pub(super) fn authentication(
        &mut self,
        methods: Option<&[Spanned<document::Method>]>,
        scopes: Option<&[Spanned<String>]>,
        route: &str,
        callers: &Callers,
    ) -> Authentication {
        let methods = match methods {
            Some(written) => {
                let path = format!("routes.{route}.authentication");
                self.methods(written, &path, &callers.keys)
            }
            None => callers.common.clone(),
        };
        let path = format!("routes.{route}.required_scopes");
        let authentication = Authentication {
            methods,
            required_scopes: self.scopes(scopes, &path),
        };
        if let Some([first, ..]) = scopes
            && authentication.is_open()
            && !self.unclear(route)
        {
            let message = "who shows no credential has no scopes, and could never call";
            let help = "say who may call by `authentication`, and leave `none` out there";
            self.complaints
                .add_with_help(first.mark, path, message, help);
        }
        authentication
    }

    /// Whether it cannot be said who may call a route, because what says so has mistakes.
    pub(super) fn unclear(&self, route: &str) -> bool {
        let own = format!("routes.{route}.authentication");
        self.complaints.mention_below(&own) || self.complaints.mention_below("authentication")
    }

    fn methods(
        &mut self,
        written: &[Spanned<document::Method>],
        path: &str,
        keys: &[ApiKey],
    ) -> Vec<AuthenticationMethod> {
        let mut methods: Vec<AuthenticationMethod> = Vec::new();
        for (index, written) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if methods.contains(&AuthenticationMethod::Nothing) {
                let message = "nothing is asked after `none`";
                let help = "put `none` last, or leave it out";
                self.complaints
                    .add_with_help(written.mark, path.as_str(), message, help);
            }
            methods.extend(self.method(&written.value, &path, &methods, keys));
        }
        methods
    }

    fn method(
        &mut self,
        written: &document::Method,
        path: &str,
        before: &[AuthenticationMethod],
        keys: &[ApiKey],
    ) -> Option<AuthenticationMethod> {
        if let Some(written) = &written.api_keys {
            let keys = self.chosen_keys(written, &format!("{path}.api_keys"), keys);
            return Some(AuthenticationMethod::ApiKeys(keys));
        }
        if let Some(written) = &written.jwt {
            let path = format!("{path}.jwt");
            let known = before.iter().any(|method| {
                matches!(method, AuthenticationMethod::Jwt(jwt) if jwt.issuer == written.issuer.value)
            });
            if known {
                let message = "this issuer is there already; the first one decides";
                self.complaints
                    .add(written.issuer.mark, format!("{path}.issuer"), message);
            }
            let jwt = self.jwt(written, &path)?;
            return Some(AuthenticationMethod::Jwt(Box::new(jwt)));
        }
        if let Some(written) = &written.certificate {
            let path = format!("{path}.certificate.scopes");
            let certificate = Certificate {
                names: written
                    .names
                    .as_ref()
                    .map_or(Certificate::default().names, |names| {
                        names.iter().copied().map(certificate_name).collect()
                    }),
                scopes: self.scopes(written.scopes.as_deref(), &path),
            };
            let location = self.complaints.location(written.mark);
            let certificate = Located::new(certificate, location);
            return Some(AuthenticationMethod::Certificate(certificate));
        }
        written.none.as_ref().map(|_| AuthenticationMethod::Nothing)
    }

    fn chosen_keys(&mut self, written: &document::ApiKeys, path: &str, keys: &[ApiKey]) -> ApiKeys {
        let chosen = match &written.only {
            None => keys.to_vec(),
            Some(only) => {
                let mut chosen = Vec::new();
                for (index, name) in only.iter().enumerate() {
                    let path = format!("{path}.only[{index}]");
                    match keys.iter().find(|key| key.name == name.value) {
                        Some(key) => chosen.push(key.clone()),
                        None if self
                            .complaints
                            .mention_below(&format!("api_keys.{}", name.value)) => {}
                        None => {
                            let message = format!("no key is called `{}`", name.escape_debug());
                            let known = keys.iter().map(|key| key.name.as_str());
                            let help = match suggest(name, known) {
                                Some(guess) => format!("did you mean `{guess}`?"),
                                None => format!("make one by `isthmus key new {}`", name.value),
                            };
                            self.complaints
                                .add_with_help(name.mark, path, message, help);
                        }
                    }
                }
                chosen
            }
        };
        let header = written.header.as_ref().and_then(|name| {
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            if header.as_ref().is_none_or(is_taken) {
                let message = "no key can come in a header of this name";
                let help = "write the name of a header of its own, such as `X-API-Key`";
                self.complaints
                    .add_with_help(name.mark, format!("{path}.header"), message, help);
            }
            header
        });
        ApiKeys {
            keys: chosen,
            header,
        }
    }

    fn jwt(&mut self, written: &Spanned<document::Jwt>, path: &str) -> Option<Jwt> {
        let mut jwt = Jwt::new(written.issuer.as_str());
        jwt.location = Some(self.complaints.location(written.mark));
        if let Some(audiences) = &written.audience {
            jwt.audiences = audiences
                .iter()
                .map(|audience| audience.value.clone())
                .collect();
        }
        if let Some(algorithms) = &written.algorithms {
            jwt.algorithms = algorithms.iter().copied().map(algorithm).collect();
        }
        if let Some(leeway) = &written.leeway {
            jwt.leeway = leeway.0;
            if jwt.leeway > MOST_LEEWAY {
                let message = "clocks cannot differ that much: an ended token would live on";
                self.complaints.add_with_help(
                    leeway.mark,
                    format!("{path}.leeway"),
                    message,
                    "write `5min` or less",
                );
            }
        }
        jwt.tenant_claim.clone_from(&written.tenant);
        if let Some(server) = &written.authorization_server {
            let path = format!("{path}.authorization_server");
            if self.url(server, &path).is_some() {
                jwt.authorization_server = Some(server.value.clone());
            }
        }
        jwt.jwks = match &written.jwks {
            Some(written) => self.jwks(written, &format!("{path}.jwks"))?,
            None => {
                self.issuer_with_metadata(&written.issuer, &format!("{path}.issuer"));
                Jwks::Discovered
            }
        };
        Some(jwt)
    }

    fn jwks(&mut self, written: &Spanned<document::Jwks>, path: &str) -> Option<Jwks> {
        if let Some(url) = &written.url {
            let path = format!("{path}.url");
            let found = self.url(url, &path)?;
            self.fetched_url(url, &path);
            return Some(Jwks::Url(found));
        }
        let file = written.file.as_ref()?;
        let path = format!("{path}.file");
        let text = self.read(file, file.mark, &path)?;
        let is_set = serde_json::from_str::<serde_json::Value>(&text)
            .is_ok_and(|set| set.get("keys").is_some_and(serde_json::Value::is_array));
        if !is_set {
            let message = "this file is not a JWK set: a JSON object with a list of `keys`";
            self.complaints.add(file.mark, path, message);
        }
        let location = self.complaints.location(file.mark);
        Some(Jwks::Text(Located::new(text, location)))
    }

    /// An issuer whose metadata can be fetched.
    fn issuer_with_metadata(&mut self, issuer: &Spanned<String>, path: &str) {
        if PublicUrl::parse(issuer).is_err() {
            self.complaints.add_with_help(
                issuer.mark,
                path,
                "this issuer has no metadata that could be fetched: it is no `https` URL",
                "say where its keys are, by `jwks: {url: …}` or `jwks: {file: …}`",
            );
        }
    }

    /// A URL that keys are fetched from: whoever can change what comes from there is anybody.
    fn fetched_url(&mut self, written: &Spanned<String>, path: &str) {
        let base = written.split('?').next().unwrap_or_default();
        if PublicUrl::parse(base).is_err() {
            let message = "keys are fetched by `https` only, or by `http` from this machine";
            self.complaints.add(written.mark, path, message);
        }
    }

    pub(super) fn public_url(
        &mut self,
        written: Option<&Spanned<String>>,
        path: &str,
    ) -> Option<PublicUrl> {
        let written = written?;
        match PublicUrl::parse(written) {
            Ok(url) => Some(url),
            Err(why) => {
                let help = "write it as `https://mcp.example`";
                self.complaints.add_with_help(
                    written.mark,
                    format!("{path}.public_url"),
                    why,
                    help,
                );
                None
            }
        }
    }

    /// Scope tokens (RFC 6749 §3.3), each once.
    pub(super) fn scopes(
        &mut self,
        written: Option<&[Spanned<String>]>,
        path: &str,
    ) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for (index, scope) in written.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !is_scope(scope) {
                let message = format!("`{}` cannot be a scope", scope.escape_debug());
                let help = "a scope has visible ASCII only, without spaces, `\"` and `\\`";
                self.complaints
                    .add_with_help(scope.mark, path, message, help);
            } else if scopes.contains(&scope.value) {
                let message = format!("`{}` is there twice", scope.value);
                self.complaints.add(scope.mark, path, message);
            } else {
                scopes.push(scope.value.clone());
            }
        }
        scopes
    }

    fn principal_name(&mut self, name: &Spanned<String>, path: &str) {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            let message = "a name has 1 to 128 characters, and no control characters";
            self.complaints.add(name.mark, path, message);
        }
    }

    fn moment(&mut self, written: &Spanned<String>, path: &str) -> Option<SystemTime> {
        let found = parse_moment(written);
        if found.is_none() {
            self.complaints.add_with_help(
                written.mark,
                path,
                "neither a date nor a moment",
                "write it as `2027-01-31` or `2027-01-31T12:00:00Z`",
            );
        }
        found
    }
}

/// RFC 6749 §3.3: `%x21 / %x23-5B / %x5D-7E`.
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// Headers that mean something else already.
fn is_taken(header: &HeaderName) -> bool {
    let name = header.as_str();
    name.starts_with("mcp-")
        || matches!(
            name,
            "accept"
                | "authorization"
                | "connection"
                | "content-length"
                | "content-type"
                | "cookie"
                | "host"
                | "last-event-id"
                | "origin"
                | "proxy-authorization"
                | "te"
                | "transfer-encoding"
                | "upgrade"
        )
}

pub(super) const fn algorithm(written: AlgorithmName) -> JwtAlgorithm {
    match written {
        AlgorithmName::Rs256 => JwtAlgorithm::Rs256,
        AlgorithmName::Rs384 => JwtAlgorithm::Rs384,
        AlgorithmName::Rs512 => JwtAlgorithm::Rs512,
        AlgorithmName::Ps256 => JwtAlgorithm::Ps256,
        AlgorithmName::Ps384 => JwtAlgorithm::Ps384,
        AlgorithmName::Ps512 => JwtAlgorithm::Ps512,
        AlgorithmName::Es256 => JwtAlgorithm::Es256,
        AlgorithmName::Es384 => JwtAlgorithm::Es384,
        AlgorithmName::EdDsa => JwtAlgorithm::EdDsa,
    }
}

const fn certificate_name(written: document::CertificateName) -> CertificateName {
    match written {
        document::CertificateName::Uri => CertificateName::Uri,
        document::CertificateName::Dns => CertificateName::Dns,
        document::CertificateName::Email => CertificateName::Email,
        document::CertificateName::Subject => CertificateName::Subject,
    }
}

const MOST_LEEWAY: Duration = Duration::from_secs(300);
