//! What looks like a secret.
//!
//! A guess in favour of caution: what is taken for one by mistake costs an `export`, what is missed stands in a file
//! that gets shared.

/// Whether a variable, header, flag or parameter of this name, with this value, holds a secret.
pub(super) fn looks_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || matches!(value, "true" | "false" | "0" | "1") {
        return false;
    }
    has_secret_name(name) || has_secret_value(value)
}

/// Whether what goes by this name is usually secret.
pub(super) fn has_secret_name(name: &str) -> bool {
    let words = words(name);
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let joined = words.join("_");
    any(&[
        "token",
        "tokens",
        "secret",
        "secrets",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "pat",
        "credential",
        "credentials",
        "apikey",
        "apitoken",
        "authorization",
        "auth",
        "cookie",
        "bearer",
        "jwt",
        "dsn",
    ]) || [
        "api_key",
        "access_key",
        "private_key",
        "secret_key",
        "account_key",
        "signing_key",
        "encryption_key",
        "connection_string",
    ]
    .iter()
    .any(|phrase| joined.contains(phrase))
        || words.last().is_some_and(|word| word == "key")
}

/// Whether a text has the form of a well-known kind of secret, or is a URL with a password.
pub(super) fn has_secret_value(value: &str) -> bool {
    let value = value.rsplit([' ', '=']).next().unwrap_or(value);
    let long = value.len() >= 16;
    let known = long && PREFIXES.iter().any(|prefix| value.starts_with(prefix));
    known || has_password(value)
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    value
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'))
}

/// `API_KEY`, `api-key` and `apiKey` are the words `api` and `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for character in name.chars() {
        let new_word = !character.is_alphanumeric() || (character.is_uppercase() && lower_before);
        if new_word && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        lower_before = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// With what the keys of widely used services begin.
const PREFIXES: [&str; 22] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "eyJ",
    "hf_",
    "ntn_",
    "lin_api_",
    "npm_",
    "tvly-",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_forms_give_secrets_away() {
        for (name, value) in [
            ("GITHUB_PERSONAL_ACCESS_TOKEN", "x"),
            ("api-key", "x"),
            ("apiKey", "x"),
            ("OPENAI_API_KEY", "x"),
            ("Authorization", "Basic x"),
            ("X-Auth", "x"),
            ("PGPASSWORD_OF", "postgres://u:p@localhost/db"),
            ("THING", "ghp_0123456789abcdef0123"),
            ("THING", "Bearer sk-0123456789abcdef0123"),
        ] {
            assert!(looks_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("LOG_LEVEL", "debug"),
            ("TOKEN", ""),
            ("USE_AUTH", "true"),
            ("URL", "https://a.example/x@y:z"),
            ("MONKEY", "x"),
            ("AUTHOR", "x"),
            ("KEYBOARD", "x"),
            ("PATH", "/usr/bin"),
        ] {
            assert!(!looks_secret(name, value), "{name}");
        }
    }
}
