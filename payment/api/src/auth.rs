//! The bearer token: who may call, compared in constant time.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use telemetry::problem::Problem;

/// Shorter tokens can be guessed.
const SHORTEST: usize = 16;

/// The expected token, in app data. Digests are compared: they have one length, whatever was sent.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token that callers must bear.
    pub fn new(token: &SecretString) -> Self {
        Self(Sha256::digest(token.expose_secret()).into())
    }

    /// Refuses a token that can be guessed; `variable` is where it was set.
    ///
    /// # Errors
    /// Names the variable and says what to do.
    pub fn check(variable: &str, token: &SecretString) -> Result<(), String> {
        if token.expose_secret().len() < SHORTEST {
            let hint = "`openssl rand -hex 32` makes good ones";
            return Err(format!("{variable} must have at least {SHORTEST} characters; {hint}"));
        }
        Ok(())
    }

    fn matches(&self, sent: &[u8]) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        sent.ct_eq(&self.0).into()
    }
}

/// An extractor: the request bears the token.
pub struct Authorized;

impl FromRequest for Authorized {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut headers = request.headers().get_all(AUTHORIZATION);
        let sent = headers.next().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        // Of two headers nobody knows which one is meant.
        let sent = sent.filter(|_| headers.next().is_none());
        let expected = request.app_data::<web::Data<Token>>();
        ready(match (expected, sent) {
            (Some(expected), Some(sent)) if expected.matches(sent) => Ok(Self),
            _ => Err(Problem::unauthorized()),
        })
    }
}
