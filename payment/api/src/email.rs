//! An e-mail address that does not show up where it should not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An e-mail address. `Debug` and `Display` redact it; only [`Email::reveal`] and serialisation do not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Takes an address that has been validated.
    pub fn new(address: impl Into<String>) -> Self {
        Self(address.into())
    }

    /// The address itself, to write to it.
    pub fn reveal(&self) -> &str {
        &self.0
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
    fn it_prints_redacted() {
        let email = Email::new("ada@example.com");
        assert_eq!(format!("{email} {email:?}"), "[redacted] Email([redacted])");
        assert_eq!(email.reveal(), "ada@example.com");
    }
}
