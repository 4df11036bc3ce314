//! Composing the e-mail about an event. The same event makes the same e-mail, Message-ID included.

use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, SinglePart};
use payment_api::event::{Kind, PaymentEvent};

/// Why an event has no e-mail.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// The customer's address is not one that mail can go to.
    #[error("the customer's address is not one that mail can go to")]
    Address(#[from] lettre::address::AddressError),
    /// lettre refused a part.
    #[error("the e-mail can't be composed")]
    Compose(#[from] lettre::error::Error),
}

/// Composes the e-mail about `event`.
///
/// # Errors
/// When the address of the customer is not valid.
pub fn compose(event: &PaymentEvent, from: &Mailbox) -> Result<Message, EmailError> {
    let to = Mailbox::new(None, event.data.customer.email.reveal().parse()?);
    let body = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        // Always encoded: a bare line feed in a raw body could end it and smuggle commands.
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(body(event));
    let message = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(subject(event))
        .message_id(Some(format!("<{}@{}>", event.id, from.email.domain())))
        .date(event.time.into())
        .singlepart(body)?;
    Ok(message)
}

fn subject(event: &PaymentEvent) -> &'static str {
    match event.kind {
        Kind::Succeeded => "Your order is on its way",
        Kind::Declined => "Your payment was declined",
    }
}

fn body(event: &PaymentEvent) -> String {
    let data = &event.data;
    let opening = match event.kind {
        Kind::Succeeded => format!("Thank you! We have received {} {}.", data.amount, data.currency),
        Kind::Declined => {
            let reason = data.reason.as_deref().unwrap_or("Your bank has not told us why.");
            format!("We could not charge {} {}. {reason}", data.amount, data.currency)
        }
    };
    let item = |item: &payment_api::Item| {
        format!("  {} x {} at {} {}\r\n", item.quantity, item.sku, item.unit_price, data.currency)
    };
    let items: String = data.items.iter().map(item).collect();
    format!("{opening}\r\n\r\nYour order {}:\r\n\r\n{items}", data.order_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use payment_api::event::{PaymentSettled, SOURCE};
    use payment_api::{Currency, Customer, Item};

    fn event(kind: Kind, email: &str) -> PaymentEvent {
        PaymentEvent {
            specversion: "1.0".into(),
            id: "01890000-0000-7000-8000-000000000001".parse().unwrap(),
            source: SOURCE.into(),
            kind,
            time: time::OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
            data: PaymentSettled {
                order_id: "01890000-0000-7000-8000-000000000002".parse().unwrap(),
                customer: Customer { email: serde_json::from_value(email.into()).unwrap() },
                items: vec![Item { sku: "BOOK".into(), quantity: 2, unit_price: "5.00".into() }],
                amount: "10.00".into(),
                currency: Currency::Eur,
                reason: (kind == Kind::Declined).then(|| "No funds.".to_owned()),
            },
        }
    }

    fn text(kind: Kind) -> String {
        let from = "Shop <shop@example.com>".parse().unwrap();
        String::from_utf8(compose(&event(kind, "ada@example.org"), &from).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_receipt_names_the_order_and_its_items() {
        let text = text(Kind::Succeeded);
        for part in [
            "To: ada@example.org",
            "Subject: Your order is on its way",
            "Message-ID: <01890000-0000-7000-8000-000000000001@example.com>",
            "We have received 10.00 EUR.",
            "01890000-0000-7000-8000-000000000002",
            "2 x BOOK at 5.00 EUR",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }

    #[test]
    fn a_decline_has_its_reason() {
        assert!(text(Kind::Declined).contains("We could not charge 10.00 EUR. No funds."));
    }

    #[test]
    fn the_same_event_makes_the_same_email() {
        assert_eq!(text(Kind::Succeeded), text(Kind::Succeeded));
    }

    #[test]
    fn an_address_with_headers_in_it_is_refused() {
        let from = "shop@example.com".parse().unwrap();
        for address in ["a@example.org\r\nBcc: b@example.org", "nobody", ""] {
            assert!(compose(&event(Kind::Succeeded, address), &from).is_err(), "{address}");
        }
    }
}
