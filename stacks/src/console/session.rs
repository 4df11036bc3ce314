//! Who may use the console: the token in its link becomes a cookie.
//!
//! The token stands behind the `#` of the link, which no browser sends to a server or to another page. The page sends it
//! once, and gets the cookie.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::address;

/// The setting that holds the token.
pub(crate) const TOKEN: &str = "CONSOLE_TOKEN";
/// Seconds for which a browser keeps the cookie.
const MAX_AGE: u32 = 30 * 24 * 60 * 60;

/// The link to a console.
pub(crate) fn link(address: SocketAddr, token: &str) -> String {
    format!("{}/#token={token}", address::link(address))
}

/// What tells a browser with the link from any other.
pub(super) struct Session {
    token: String,
    name: String,
    cookie: String,
}

impl Session {
    /// The session of this token; a browser sends cookies to every port, hence the port in the name.
    pub(super) fn new(token: &str, port: u16) -> Self {
        Self {
            token: digest("token", token),
            name: format!("omnitrace_console_{port}"),
            cookie: digest("cookie", token),
        }
    }

    /// The header that sets the cookie, if the token is the right one.
    pub(super) fn exchange(&self, token: &str) -> Option<HeaderValue> {
        // Digests are compared: the time of a comparison says nothing about the token.
        if digest("token", token) != self.token {
            return None;
        }
        let Self { name, cookie, .. } = self;
        let header = format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={MAX_AGE}");
        HeaderValue::try_from(header).ok()
    }

    /// True if a request carries the cookie.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let expected = digest("sent", &self.cookie);
        pairs.any(|(name, value)| name == self.name && digest("sent", value) == expected)
    }
}

fn digest(purpose: &str, secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(format!("omnitrace console {purpose}\0{secret}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    #[test]
    fn only_the_token_is_exchanged_for_the_cookie() {
        let session = Session::new("right", 3030);
        assert!(session.exchange("wrong").is_none() && session.exchange("").is_none());
        let set = session.exchange("right").unwrap();
        let set = set.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(set.split("; ").any(|found| found == part), "{part} is not in {set}");
        }
        assert!(!set.contains("right"), "{set}");
        let cookie = set.split(';').next().unwrap();
        assert!(session.admits(&with(cookie)) && session.admits(&with(&format!("a=b; {cookie}"))));
    }

    #[test]
    fn other_cookies_are_refused() {
        let session = Session::new("right", 3030);
        let other = Session::new("right", 3031).exchange("right").unwrap();
        let other = other.to_str().unwrap().split(';').next().unwrap().to_owned();
        for cookie in ["", "omnitrace_console_3030=", "omnitrace_console_3030=right", &other] {
            assert!(!session.admits(&with(cookie)), "{cookie}");
        }
        assert!(!session.admits(&HeaderMap::new()));
    }
}
