//! E-mail addresses: which are accepted, and how they stay out of logs.

use std::fmt;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

/// Bytes of an address (RFC 5321, 4.5.3.1.3, without the angle brackets).
const MAX_LENGTH: usize = 254;

/// An e-mail address. `Debug` and `Display` redact it; only [`Email::reveal`] and serialisation do not.
///
/// Deserialisation accepts any text, so that a reader can name the field that is wrong;
/// [`NewPayment::flaws`](crate::http::NewPayment::flaws) applies the rule of [`Email::parse`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = crate::rules::ADDRESS, "maxLength" = MAX_LENGTH)))]
pub struct Email(String);

/// A text is not an address that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address such as ada@example.com")]
pub struct NotAnAddress;

impl Email {
    /// Reads the address of one recipient: ASCII, a local part without quotes, a domain of at least two labels.
    ///
    /// # Errors
    /// When `text` is not one.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let is_plain = text.len() <= MAX_LENGTH && text.is_ascii() && !text.contains('"');
        let address = Self(text.to_owned());
        // The mailer parks an event whose address is not one recipient.
        if is_plain && EmailAddress::parse_with_options(text, options).is_ok() && address.is_one_recipient() {
            Ok(address)
        } else {
            Err(NotAnAddress)
        }
    }

    /// The address itself, to write to it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether one e-mail can go there: one recipient, by nothing but the characters of an atom (RFC 5322), letters of
    /// any script included (RFC 6531).
    pub(crate) fn is_one_recipient(&self) -> bool {
        let is_atom = |part: &str| {
            let is_plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
            !part.is_empty() && part.chars().all(is_plain)
        };
        self.0.len() <= MAX_LENGTH
            && self.0.split_once('@').is_some_and(|(local, domain)| is_atom(local) && is_atom(domain))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_redacted() {
        let email = Email::parse("ada@example.com").unwrap();
        assert_eq!(format!("{email} {email:?}"), "[redacted] Email([redacted])");
        assert_eq!(email.reveal(), "ada@example.com");
    }

    #[test]
    fn an_accepted_address_is_one_recipient() {
        for byte in 0..=127_u8 {
            let character = char::from(byte);
            for text in [format!("a{character}b@example.com"), format!("ab@exa{character}mple.com")] {
                assert!(Email::parse(&text).is_err() || Email(text.clone()).is_one_recipient(), "{text:?}");
            }
        }
    }

    #[test]
    fn an_address_is_one_recipient() {
        for accepted in ["ada@example.com", "a.b+c@example.co.uk", "o'neil@example.com"] {
            assert!(Email::parse(accepted).is_ok(), "{accepted}");
            assert!(Email(accepted.to_owned()).is_one_recipient(), "{accepted}");
        }
        let long = format!("ada@{}.org", "a".repeat(250));
        for refused in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c.de",
            "a b@c.de",
            "a@c.de ",
            "a@c.de,b@c.de",
            "<a@c.de>",
            "\"a\"@c.de",
            "a@[127.0.0.1]",
            "a@c.de\r\nBcc: b@c.de",
            "a\n@c.de",
            "a\0@c.de",
            "a\u{202e}@c.de",
            &long,
        ] {
            assert!(Email::parse(refused).is_err(), "{refused:?}");
            assert!(!Email(refused.to_owned()).is_one_recipient(), "{refused:?}");
        }
    }

    #[test]
    fn an_address_that_is_not_accepted_may_be_written_to() {
        for address in ["ädä@exämple.org", "ada@localhost", ".ada@example.com", "a..b@example.com"] {
            assert!(Email::parse(address).is_err(), "{address}");
            assert!(Email(address.to_owned()).is_one_recipient(), "{address}");
        }
    }
}
