//! Bearer tokens, compared in constant time.

use std::collections::HashSet;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// Characters of a token; a shorter one can be guessed.
const MIN_LENGTH: usize = 16;
/// Different characters of a token, not counting those of common words.
const MIN_VARIETY: usize = 8;
const COMMON_WORDS: [&str; 12] = [
    "0123456789",
    "1234567890",
    "123456789",
    "abcdefgh",
    "admin",
    "changeme",
    "change",
    "default",
    "password",
    "qwerty",
    "secret",
    "token",
];

/// The digest of the expected token, for the app data. Digests are compared, because they all have one length.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token that callers must send.
    pub fn new(token: &SecretString) -> Self {
        Self(Sha256::digest(token.expose_secret()).into())
    }

    /// Refuses a token that can be guessed; `variable` is its setting.
    ///
    /// # Errors
    /// When it can be guessed; the text names the setting and the remedy.
    pub fn check(variable: &str, token: &SecretString) -> Result<(), String> {
        let hint = "`openssl rand -hex 32` makes good ones";
        if token.expose_secret().len() < MIN_LENGTH {
            return Err(format!("{variable} must have at least {MIN_LENGTH} characters; {hint}"));
        }
        if is_guessable(token.expose_secret()) {
            return Err(format!("{variable} can be guessed; {hint}"));
        }
        Ok(())
    }

    fn matches(&self, sent: &[u8]) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        sent.ct_eq(&self.0).into()
    }
}

/// Whether a token has too few characters left without its common words.
fn is_guessable(token: &str) -> bool {
    let token = token.to_ascii_lowercase();
    let rest = COMMON_WORDS.iter().fold(token, |rest, word| rest.replace(word, ""));
    rest.chars().collect::<HashSet<_>>().len() < MIN_VARIETY
}

/// An extractor: the request has the token in its `Authorization` header.
pub struct Authorized;

impl FromRequest for Authorized {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut headers = request.headers().get_all(AUTHORIZATION);
        let sent = headers.next().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        // Two headers are ambiguous.
        let sent = sent.filter(|_| headers.next().is_none());
        let expected = request.app_data::<web::Data<Token>>();
        ready(match (expected, sent) {
            (Some(expected), Some(sent)) if expected.matches(sent) => Ok(Self),
            _ => Err(Problem::unauthorized()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &str) -> Result<(), String> {
        Token::check("PAYMENT_TOKEN", &SecretString::from(token))
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_not_repeated() {
        for weak in [
            "",
            "short",
            "changemechangeme",
            "ChangeMe-ChangeMe-1",
            "password12345678901234567890",
            "secret-secret-secret",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababab",
            "00000000-0000-0000-0000-000000000000",
        ] {
            let refused = check(weak).unwrap_err();
            assert!(
                refused.starts_with("PAYMENT_TOKEN ") && (weak.is_empty() || !refused.contains(weak)),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_random_token_is_accepted() {
        for good in
            ["9f86d081884c7d659a2feaa0c55ad015", "c2VjcmV0IHRoYXQgaXMgbG9uZw", "correct horse battery staple"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
