//! Numbers that nobody can guess, and the proof of having chosen one (RFC 7636).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::LoginError;

/// A text with 256 bits that nobody can guess.
pub(super) fn secret_text() -> Result<String, LoginError> {
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| LoginError::Defect("no randomness".into()))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// What is shown first of `verifier` (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_what_the_specification_has_as_an_example() {
        // RFC 7636, appendix B.
        let challenge = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_has_the_letters_and_the_length_that_are_allowed() {
        let (one, other) = (secret_text().unwrap(), secret_text().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
        assert!(
            one.bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
        );
    }
}
