//! Whether a token is good, and whose it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isthmus_config::{Jwt, JwtAlgorithm};
use isthmus_exchange::Principal;
use isthmus_protocol::RawJson;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::jwt::issuer_keys::{IssuerKeys, NoKey, State};
use crate::jwt::seen::{Seen, TokenHash};
use crate::verdict::{Refusal, Verdict};

/// Checks the tokens of one issuer that are made for one route.
#[derive(Debug)]
pub(crate) struct JwtCheck {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    tenant_claim: Option<String>,
    keys: Arc<IssuerKeys>,
    seen: Seen,
    /// Principals have their token with them.
    keeps_tokens: bool,
}

/// What is looked at before the signature, to find out who has to check it.
#[derive(Deserialize)]
struct Unverified {
    iss: Option<String>,
}

/// What a good token says of its bearer.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: serde_json::Number,
    scope: Option<String>,
    scp: Option<OneOrMany>,
    cnf: Option<Confirmation>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// To what a token is bound (RFC 7800): whoever shows it has to show that too.
#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl JwtCheck {
    /// `own` is what the route is called, for tokens whose audience nobody has configured.
    pub(crate) fn new(settings: &Jwt, own: &[String], keys: Arc<IssuerKeys>) -> Self {
        let audiences = if settings.audiences.is_empty() {
            own
        } else {
            &settings.audiences
        };
        Self {
            issuer: settings.issuer.clone(),
            audiences: audiences.to_vec(),
            algorithms: settings.algorithms.iter().copied().map(algorithm).collect(),
            leeway: settings.leeway,
            tenant_claim: settings.tenant_claim.clone(),
            keys,
            seen: Seen::default(),
            keeps_tokens: false,
        }
    }

    /// The same check, whose principals have their token with them: some backend takes another one in exchange for it.
    pub(crate) const fn keeping_tokens(mut self) -> Self {
        self.keeps_tokens = true;
        self
    }

    /// Whose token this is. One that names another issuer, or is none at all, is not for this check.
    pub(crate) async fn check(&self, token: &str, certificate: Option<&[u8]>) -> Verdict {
        let hash = TokenHash::of(token);
        if let Some(principal) = self.seen.find(&hash, self.keys.now().generation) {
            return self.known(principal, token);
        }
        match insecure_decode_claims::<Unverified>(token) {
            Ok(Unverified { iss: Some(issuer) }) if issuer == self.issuer => {}
            _ => return Verdict::NotMine,
        }
        let Ok(header) = decode_header(token) else {
            return Verdict::invalid("the token has a header that is not understood here");
        };
        if let Err(why) = self.acceptable(&header) {
            return Verdict::invalid(why);
        }
        let state = match self.keys.with(header.kid.as_deref(), header.alg).await {
            Ok(state) => state,
            Err(NoKey::Unknown) => {
                return Verdict::invalid(
                    "the issuer has no key like the one that signed the token",
                );
            }
            Err(NoKey::Unreachable) => {
                return Verdict::Refused(Refusal::Unavailable {
                    message: "the keys of the token's issuer cannot be fetched now",
                    retry_after: Duration::from_secs(10),
                });
            }
        };
        match self.verify(token, &header, &state, certificate) {
            Ok(good) => {
                if let Some(until) = good.keep_until {
                    let principal = good.principal.clone();
                    self.seen.insert(hash, state.generation, principal, until);
                }
                self.known(good.principal, token)
            }
            Err(why) => Verdict::invalid(why),
        }
    }

    /// What is remembered of a token does not hold the token itself.
    fn known(&self, principal: Principal, token: &str) -> Verdict {
        Verdict::Known(if self.keeps_tokens {
            principal.with_token(token)
        } else {
            principal
        })
    }

    /// What a header says that has to hold whatever the signature is.
    fn acceptable(&self, header: &Header) -> Result<(), &'static str> {
        if !self.algorithms.contains(&header.alg) {
            return Err("the token is signed by an algorithm that is not allowed here");
        }
        // RFC 7515 §4.1.11: what is critical and not understood makes the whole invalid. Nothing of it is, here.
        if header.crit.is_some() {
            return Err("the token has critical header parameters that are not understood here");
        }
        // RFC 8725 §3.11: tokens of another type, such as logout tokens, are no access tokens.
        let known = header.typ.as_deref().is_none_or(|typ| {
            ["JWT", "at+jwt", "application/at+jwt", "application/jwt"]
                .iter()
                .any(|known| typ.eq_ignore_ascii_case(known))
        });
        if !known {
            return Err("the token is of a type that is no access token");
        }
        Ok(())
    }

    fn verify(
        &self,
        token: &str,
        header: &Header,
        state: &State,
        certificate: Option<&[u8]>,
    ) -> Result<Good, &'static str> {
        let mut failure = "the issuer has no key like the one that signed the token";
        let keys = state.keys.iter();
        for key in keys.flat_map(|keys| keys.candidates(header.kid.as_deref(), header.alg)) {
            let mut validation = Validation::new(header.alg);
            // What the config allows and the key is for; the header alone decides nothing.
            validation.algorithms = key
                .algorithms
                .iter()
                .copied()
                .filter(|one| self.algorithms.contains(one))
                .collect();
            validation.leeway = self.leeway.as_secs();
            validation.validate_nbf = true;
            validation.set_issuer(&[&self.issuer]);
            validation.set_audience(&self.audiences);
            validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
            match decode::<Box<RawValue>>(token, &key.key, &validation) {
                Ok(data) => return self.good(&data.claims, certificate),
                // Another key with the same name, or without any, may be the one.
                Err(error) => failure = words(error.kind()),
            }
        }
        Err(failure)
    }

    /// The bearer of a token whose signature, times, issuer and audience are right.
    fn good(&self, text: &RawValue, certificate: Option<&[u8]>) -> Result<Good, &'static str> {
        const SHAPE: &str = "a claim of the token has the wrong shape";
        let claims: Claims = serde_json::from_str(text.get()).map_err(|_| SHAPE)?;
        // The library takes a list of issuers for one; a token has one (RFC 7519 §4.1.1).
        if claims.iss != self.issuer || claims.sub.is_empty() {
            return Err(SHAPE);
        }
        let bound = claims.cnf.is_some();
        if let Some(confirmation) = &claims.cnf {
            confirmation.check(certificate)?;
        }
        let raw = RawJson::parse(text.get().to_owned()).map_err(|_| SHAPE)?;
        let tenant = match &self.tenant_claim {
            None => String::new(),
            Some(name) => isthmus_protocol::object::string_member(&raw, name)
                .ok_or("the token does not say which tenant it is of")?,
        };
        let expires = moment(&claims.exp).ok_or(SHAPE)?;
        let principal = Principal::authenticated("jwt", &self.issuer, &claims.sub, &tenant)
            .with_claims(raw)
            .with_scopes(scopes(claims.scope.as_deref(), claims.scp))
            .with_expiry(expires);
        Ok(Good {
            principal,
            // A bound token is nothing without what it is bound to, which is looked at each time.
            keep_until: expires.checked_add(self.leeway).filter(|_| !bound),
        })
    }
}

/// Who would call with a token that has these claims, whoever has signed it: for looking at what rules mean. Says nothing
/// of whether such a token would be taken.
#[must_use]
pub fn principal_of_claims(claims: RawJson, tenant_claim: Option<&str>) -> Principal {
    use isthmus_protocol::object::{member, string_member};
    let text = |name: &str| string_member(&claims, name).unwrap_or_default();
    let tenant = tenant_claim.map(text).unwrap_or_default();
    let listed = member(&claims, "scp");
    let listed = listed.and_then(|listed| serde_json::from_str(listed.as_str()).ok());
    let scopes = scopes(string_member(&claims, "scope").as_deref(), listed);
    Principal::authenticated("jwt", &text("iss"), &text("sub"), &tenant)
        .with_scopes(scopes)
        .with_claims(claims)
}

struct Good {
    principal: Principal,
    keep_until: Option<SystemTime>,
}

impl Confirmation {
    /// A token bound to the caller's certificate is taken with it (RFC 8705 §3.1). Other bindings, such as to a DPoP key,
    /// cannot be checked here, and a bound token must not pass for a bearer token.
    fn check(&self, certificate: Option<&[u8]>) -> Result<(), &'static str> {
        const UNPROVEN: &str = "the token is bound to something that the request does not show";
        let (Some(wanted), true) = (&self.certificate, self.others.is_empty()) else {
            return Err(UNPROVEN);
        };
        let wanted = URL_SAFE_NO_PAD.decode(wanted).map_err(|_| UNPROVEN)?;
        let shown = digest(&SHA256, certificate.ok_or(UNPROVEN)?);
        verify_slices_are_equal(&wanted, shown.as_ref()).map_err(|_| UNPROVEN)
    }
}

/// Scopes as RFC 8693 §4.2 writes them, and as some issuers do: one text or a list.
fn scopes(scope: Option<&str>, scp: Option<OneOrMany>) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
    };
    scope.into_iter().for_each(&mut add);
    match scp {
        None => {}
        Some(OneOrMany::One(text)) => add(&text),
        Some(OneOrMany::Many(list)) => list.iter().for_each(|text| add(text)),
    }
    scopes
}

/// A `NumericDate` (RFC 7519 §2).
fn moment(seconds: &serde_json::Number) -> Option<SystemTime> {
    let whole = seconds.as_u64().map(Duration::from_secs);
    let span = whole.or_else(|| Duration::try_from_secs_f64(seconds.as_f64()?).ok())?;
    SystemTime::UNIX_EPOCH.checked_add(span)
}

const fn words(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidAudience => "the token was made for another audience",
        ErrorKind::InvalidIssuer => "the token was made by another issuer",
        ErrorKind::InvalidSignature => "the signature of the token is wrong",
        ErrorKind::MissingRequiredClaim(_) => {
            "the token lacks one of the claims `iss`, `sub`, `aud`, `exp`"
        }
        _ => "the token cannot be read",
    }
}

const fn algorithm(written: JwtAlgorithm) -> Algorithm {
    match written {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
