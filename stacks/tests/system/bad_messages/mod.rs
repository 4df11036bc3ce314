//! Bad messages on the real exchange: each is parked with its bytes and a reason, and the events between them become
//! e-mails.

mod cases;
mod schema;

use stacks::local::layout::Component::Mailer;

use self::cases::{Message, event, harmless, unreadable};
use testkit::wait::eventually;

use crate::harness::System;

const PARKED: &str = "messaging_received_total{outcome=\"parked\"}";
const ACCEPTED: &str = "messaging_received_total{outcome=\"accepted\"}";
const DUPLICATE: &str = "messaging_received_total{outcome=\"duplicate\"}";
const SENT: &str = "emails_sent_total{outcome=\"sent\"}";

async fn publish(system: &System, message: &Message) {
    let Message { properties, payload, encoding, .. } = message;
    system.vhost.publish_with("payment.succeeded", properties.clone(), (payload, encoding)).await;
}

#[tokio::test]
async fn an_unreadable_message_is_parked_with_bytes_and_reason() {
    let system = System::start().await;
    let (unreadable, harmless) = (unreadable(), harmless());
    assert!(unreadable.len() >= 20, "{} messages", unreadable.len());
    let first = system.place().await;
    for (index, message) in unreadable.iter().enumerate() {
        publish(&system, message).await;
        if let Some(neighbour) = harmless.get(index) {
            publish(&system, neighbour).await;
        }
    }
    let last = system.place().await;
    let sent = (harmless.len() + 2) as f64;
    system.reaches(Mailer, SENT, sent).await;
    system.reaches(Mailer, PARKED, unreadable.len() as f64).await;

    let mut emails: Vec<String> = harmless.iter().map(|message| message.order.clone()).collect();
    emails.extend([first.id, last.id]);
    emails.iter_mut().for_each(|order| order.push_str(".eml"));
    emails.sort();
    assert_eq!(system.emails(), emails);

    let letters = eventually("every message in the list", async || {
        let letters = system.dead_letters().await;
        if letters.len() == unreadable.len() { Ok(letters) } else { Err(format!("{} are", letters.len())) }
    })
    .await;
    for Message { name, properties, reason, .. } in &unreadable {
        let is_it = |letter: &&serde_json::Value| {
            letter["eventId"] == properties["message_id"]
                && letter["reason"].as_str().unwrap().starts_with(reason)
        };
        let letter = letters.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {reason}: {letters:#?}"));
        assert_eq!(letter["state"], "parked", "{name}");
    }
    // Each message was delivered once.
    let samples = system.metrics(Mailer).await;
    let received = [PARKED, ACCEPTED, DUPLICATE].map(|series| samples.get(series));
    assert_eq!(received, [unreadable.len() as f64, sent, 0.0]);

    let mut parked = Vec::new();
    while parked.len() < unreadable.len() {
        let page = system.vhost.take("mailer.parking").await;
        assert!(!page.is_empty(), "{} messages are parked, not {}", parked.len(), unreadable.len());
        parked.extend(page);
    }
    parked.sort();
    let mut published: Vec<_> =
        unreadable.iter().map(|message| (message.payload.clone(), message.encoding.to_owned())).collect();
    published.sort();
    assert!(parked == published, "the bytes have changed");
}

#[tokio::test]
async fn an_expired_message_is_parked_with_that_reason() {
    let mut system = System::start().await;
    system.kill(Mailer);
    let message = event("late", |event| event["time"] = "2026-01-02T03:04:05Z".into());
    let mut properties = message.properties.clone();
    properties["expiration"] = "1".into();
    system.vhost.publish_with("payment.succeeded", properties, (&message.payload, "string")).await;
    system.restart(Mailer).await;
    let letters = eventually("a dead letter", async || {
        let letters = system.dead_letters().await;
        if letters.len() == 1 { Ok(letters) } else { Err(format!("there are {letters:?}")) }
    })
    .await;
    assert_eq!(letters[0]["reason"], "it expired before it was delivered");
    assert_eq!(letters[0]["orderId"], message.order.as_str());
}
