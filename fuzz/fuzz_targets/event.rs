//! A message from the broker: an event that becomes one e-mail to one recipient, or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailer::email;
use payment_api::event::PaymentEvent;

fuzz_target!(|message: &[u8]| {
    // With the id of the message itself, so that more messages pass.
    let id = serde_json::from_slice::<serde_json::Value>(message)
        .ok()
        .and_then(|event| Some(event.get("id")?.as_str()?.to_owned()));
    let Ok(event) = PaymentEvent::read(message, id.as_deref()) else { return };
    let written = serde_json::to_vec(&event).expect("an event is JSON");
    assert_eq!(PaymentEvent::read(&written, id.as_deref()), Ok(event.clone()), "the inbox changes it");

    let from = "Shop <shop@example.com>".parse().expect("a sender");
    let Ok(email) = email::compose(&event, &from) else { return };
    assert_eq!(email.envelope().to().len(), 1);
    let text = email.formatted();
    let head = text.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the headers");
    let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').count();
    assert_eq!(lines(&text[..head]), 8, "a header too many: {}", String::from_utf8_lossy(&text));
    assert!(text.is_ascii() || !event.data.customer.email.reveal().is_ascii());
    let is_bare = |pair: &[u8]| (pair[1] == b'\n') != (pair[0] == b'\r');
    assert!(!text.windows(2).any(is_bare), "a bare end of line: {}", String::from_utf8_lossy(&text));
});
