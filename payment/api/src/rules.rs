//! The rules of the contract for values, beyond their types. Payment refuses a request with a flaw, so that a reader of its
//! event can rely on an address that one e-mail can go to, and on texts that stay in their line.

use crate::{Currency, Customer, Email, Item, Money, MoneyError, NotAnAddress};

/// A value that breaks a rule of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// A JSON Pointer (RFC 6901) into the payment.
    pub pointer: String,
    /// The rule; never a word of the value itself, which may be personal.
    pub reason: String,
}

/// Items of one order.
pub const MAX_ITEMS: usize = 100;
/// Characters of an SKU.
pub const MAX_SKU: usize = 64;
/// Characters of a text that is printed in one line.
pub(crate) const MAX_LINE: usize = 256;

/// An amount that is positive, for JSON Schema; a currency without minor units allows no point.
#[cfg(feature = "schema")]
pub(crate) const AMOUNT: &str = r"^(?=.*[1-9])[0-9]{1,17}(\.[0-9]{1,2})?$";
/// A text of visible characters, for JSON Schema.
#[cfg(feature = "schema")]
pub(crate) const LINE: &str =
    r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$";
/// A time of RFC 3339 from 1970 on, for JSON Schema: validators do not check `format` by default.
#[cfg(feature = "schema")]
pub(crate) const TIME: &str = r"^(19[7-9]|[2-9][0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
/// One recipient, for JSON Schema.
#[cfg(feature = "schema")]
pub(crate) const ADDRESS: &str = r#"^[^@\s"(),:;<>\[\\\]\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e]+@[^@\s"(),:;<>\[\\\]\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e]+$"#;

/// The rules for the texts of a payment.
pub(crate) struct Rules {
    is_address: fn(&Email) -> bool,
    check_sku: fn(&str) -> Result<(), String>,
}

/// For requests.
pub(crate) const REQUEST: Rules = Rules {
    is_address: |email| Email::parse(email.reveal()).is_ok(),
    check_sku: |sku| check_sku(sku).map_err(|error| error.to_string()),
};

/// For events, whose reader accepts every address that an e-mail can be sent to: a later release of payment may accept more.
pub(crate) const EVENT: Rules = Rules {
    is_address: Email::is_one_recipient,
    check_sku: |sku| match is_line(sku) {
        true => Ok(()),
        false => Err(format!("must be 1 to {MAX_LINE} visible characters")),
    },
};

impl Rules {
    /// The flaws of a payment.
    pub(crate) fn flaws(
        &self,
        customer: &Customer,
        items: &[Item],
        amount: &str,
        currency: Currency,
    ) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut note = |pointer: String, reason: String| flaws.push(Flaw { pointer, reason });
        if let Err(error) = Money::parse(amount, currency) {
            note("/amount".to_owned(), error.to_string());
        }
        if !(self.is_address)(&customer.email) {
            note("/customer/email".to_owned(), NotAnAddress.to_string());
        }
        if !(1..=MAX_ITEMS).contains(&items.len()) {
            note("/items".to_owned(), format!("must have 1 to {MAX_ITEMS} elements"));
        }
        for (index, item) in items.iter().enumerate() {
            if let Err(reason) = (self.check_sku)(&item.sku) {
                note(format!("/items/{index}/sku"), reason);
            }
            if item.quantity == 0 {
                note(format!("/items/{index}/quantity"), MoneyError::NotPositive.to_string());
            }
            if let Err(error) = Money::parse(&item.unit_price, currency) {
                note(format!("/items/{index}/unitPrice"), error.to_string());
            }
        }
        flaws
    }
}

/// A text is not an SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} of the characters A-Z a-z 0-9 - _ .", MAX_SKU)]
pub struct NotAnSku;

/// Whether `text` is an SKU.
///
/// # Errors
/// When it is not.
pub fn check_sku(text: &str) -> Result<(), NotAnSku> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_sku = (1..=MAX_SKU).contains(&text.len()) && text.bytes().all(is_plain);
    if is_sku { Ok(()) } else { Err(NotAnSku) }
}

/// Whether `text` is not blank, stays in its line, and has no character that can't be seen.
pub(crate) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_LINE && !text.chars().any(is_hidden)
}

/// Control characters, ends of lines and paragraphs, and characters that change the order or the look of others.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_visible_characters_alone() {
        for good in ["BOOK-1", "Grüße, 50 %", "本"] {
            assert!(is_line(good), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\u{85}b",
            "a\u{1b}[31m",
            "a\u{2028}b",
            "a\u{202e}b",
            "\u{feff}a",
        ] {
            assert!(!is_line(bad), "{bad:?}");
        }
        assert!(is_line(&"ü".repeat(256)) && !is_line(&"ü".repeat(257)));
    }
}
