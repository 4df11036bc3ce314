//! What the contract asks of values beyond their types. Payment refuses what has a flaw, so that whoever reads an
//! event can rely on an address that one e-mail can go to, and on texts that stay in their line.

use crate::{Currency, Customer, Item, Money, MoneyError};

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where: a JSON Pointer (RFC 6901) into what is paid for.
    pub pointer: String,
    /// What; never a word of the value itself, which may be personal.
    pub reason: String,
}

const MOST_ITEMS: usize = 1000;
const LONGEST_EMAIL: usize = 254;
/// Characters of a text that is printed in one line.
const LONGEST_LINE: usize = 256;

/// The flaws of what is paid for; none if it can be paid, announced and written about.
pub(crate) fn flaws(customer: &Customer, items: &[Item], amount: &str, currency: Currency) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut note = |pointer: String, reason: String| flaws.push(Flaw { pointer, reason });
    if let Err(error) = Money::parse(amount, currency) {
        note("/amount".to_owned(), error.to_string());
    }
    if !is_address(customer.email.reveal()) {
        note("/customer/email".to_owned(), "must be an e-mail address such as ada@example.com".to_owned());
    }
    if !(1..=MOST_ITEMS).contains(&items.len()) {
        note("/items".to_owned(), format!("must have 1 to {MOST_ITEMS} elements"));
    }
    for (index, item) in items.iter().enumerate() {
        if !is_line(&item.sku) {
            note(format!("/items/{index}/sku"), format!("must be 1 to {LONGEST_LINE} visible characters"));
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

/// Whether `text` has something in it, stays in its line, and looks like what it is.
pub(crate) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST_LINE && !text.chars().any(is_hidden)
}

/// One recipient, by nothing but the characters of an atom (RFC 5322); letters of any script (RFC 6531).
fn is_address(text: &str) -> bool {
    let is_atom = |part: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        !part.is_empty() && part.chars().all(is_plain)
    };
    text.len() <= LONGEST_EMAIL
        && text.split_once('@').is_some_and(|(local, domain)| is_atom(local) && is_atom(domain))
}

/// Control characters, ends of lines and paragraphs, and what changes the order or the look of its neighbours.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_recipient() {
        for good in ["ada@example.com", "a.b+c@example.co.uk", "o'neil@example.com", "ädä@exämple.org"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("ada@{}.org", "a".repeat(250));
        for bad in [
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
            assert!(!is_address(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_line_is_what_it_looks_like() {
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
