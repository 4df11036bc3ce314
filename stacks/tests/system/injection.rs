//! Injected text, over HTTP and AMQP, into e-mails and log files.

use std::{collections::BTreeSet, fs};

use serde_json::{Map, Value, json};
use stacks::local::layout::Component::Mailer;
use testkit::{event::paid, smtp::SmtpServer, wait::eventually};
use uuid::Uuid;

use crate::harness::{System, ask, books, request};

const SENT: &str = "emails_sent_total{outcome=\"sent\"}";
const ACCEPTED: &str = "messaging_received_total{outcome=\"accepted\"}";
const PARKED: &str = "messaging_received_total{outcome=\"parked\"}";

/// Texts that end lines or e-mails, name other recipients, hide characters, or look like code.
const CORPUS: [&str; 24] = [
    "\r\n.\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\n",
    "\n.\nMAIL FROM:<eve@example.org>\n",
    "\r.\rRSET\r",
    "\r\n.\n",
    "\r\nBcc: eve@example.org",
    "\nSubject: You have won\n\nhttps://example.org",
    "\0",
    "\u{8}\u{7f}",
    "\u{85}.\u{85}",
    "\u{2028}.\u{2029}",
    "\u{202e}gro.elpmaxe",
    "\u{feff}",
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "%0d%0aBcc:%20eve@example.org",
    "=0D=0A.=0D=0A",
    "=?utf-8?q?=0D=0ABcc=3A_eve=40example.org?=",
    ">\r\nRCPT TO:<eve@example.org",
    ",eve@example.org",
    " <eve@example.org>",
    "а",
    ".",
    "..",
    "\",\"message\":\"forged\",\"x\":\"",
    "${jndi:ldap://example.org/a} {{7*7}} <script>alert(1)</script> '; DROP TABLE inbox; --",
];

/// Each text of the corpus alone, before, within and after a good value.
fn around(good: &str) -> Vec<String> {
    let (before, after) = good.split_at(good.len() / 2);
    let mut texts: Vec<String> = CORPUS
        .iter()
        .flat_map(|evil| {
            [
                (*evil).to_owned(),
                format!("{evil}{good}"),
                format!("{before}{evil}{after}"),
                format!("{good}{evil}"),
            ]
        })
        .collect();
    texts.push(format!("{good}{}", "a".repeat(10_000)));
    texts
}

/// Copies of `good`, each with one injected text in one field.
fn variations(good: &Value, pointers: &[&str]) -> Vec<Value> {
    let vary = |pointer: &&str| {
        let text = good.pointer(pointer).unwrap().as_str().unwrap();
        let change = |evil: String| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = evil.into();
            changed
        };
        around(text).into_iter().map(change).collect::<Vec<_>>()
    };
    pointers.iter().flat_map(vary).collect()
}

/// Checks that the mail server got this number of e-mails, each with its usual headers and to one of these recipients.
fn assert_clean(server: &SmtpServer, emails: usize, recipients: &BTreeSet<String>) {
    let accepted = server.accepted();
    assert_eq!((accepted.len(), server.offered().len()), (emails, emails));
    for email in &accepted {
        assert_eq!(email.from, "checkout@omnitrace.example");
        let [recipient] = &email.to[..] else { panic!("not one recipient: {email:?}") };
        assert!(recipients.contains(recipient), "no order names {recipient}: {email:?}");
        let (head, _) = email.text.split_once("\r\n\r\n").unwrap();
        let mut names: Vec<&str> = head.lines().map(|line| line.split_once(": ").unwrap().0).collect();
        names.sort_unstable();
        let known = [
            "Content-Transfer-Encoding",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ];
        assert_eq!(names, known, "{head}");
    }
    let commands = server.commands();
    let count = |verb: &str| commands.iter().filter(|command| *command == verb).count();
    assert_eq!(["MAIL", "RCPT", "DATA"].map(count), [emails; 3], "{commands:?}");
    let known: BTreeSet<&str> = ["EHLO", "MAIL", "RCPT", "DATA", "NOOP"].into();
    assert!(commands.iter().all(|verb| known.contains(verb.as_str())), "{commands:?}");
}

#[tokio::test]
async fn an_order_with_injected_text_makes_one_email_or_none() {
    let server = SmtpServer::start().await.unwrap();
    let system = System::with(&[("SMTP_URL", &server.url()), ("GATEWAY_RATE_LIMIT", "0")]).await;
    let fields = ["/customer/email", "/items/0/sku", "/items/0/unitPrice", "/currency"];
    let mut recipients = BTreeSet::new();
    let mut accepted = 0;
    for order in variations(&books("ada@example.org"), &fields) {
        let answer = system.place_with(&order, &[]).await;
        match answer.status {
            201 => {
                accepted += 1;
                recipients.insert(order["customer"]["email"].as_str().unwrap().to_owned());
            }
            _ => answer.assert_problem(422, "/problems/validation", &order.to_string()),
        }
    }
    assert!(accepted > 0, "no order was accepted, though a dot is a valid sku");
    system.reaches(Mailer, SENT, f64::from(accepted)).await;
    assert_clean(&server, usize::try_from(accepted).unwrap(), &recipients);
}

#[tokio::test]
async fn an_event_with_injected_text_makes_one_email_or_none() {
    let server = SmtpServer::start().await.unwrap();
    let system = System::with(&[("SMTP_URL", &server.url())]).await;
    let mut event = paid("ada@example.org");
    event["type"] = json!("payment.declined");
    event["data"]["reason"] = json!("No funds.");
    let fields = [
        "/data/customer/email",
        "/data/items/0/sku",
        "/data/items/0/unitPrice",
        "/data/amount",
        "/data/reason",
    ];
    let events = variations(&event, &fields);
    let mut recipients = BTreeSet::new();
    for mut event in events.iter().cloned() {
        let id = Uuid::new_v4().to_string();
        event["id"] = json!(id);
        event["data"]["orderId"] = json!(Uuid::new_v4());
        recipients.insert(event["data"]["customer"]["email"].as_str().unwrap().to_owned());
        system.vhost.publish("payment.declined", &id, (&event.to_string(), "string")).await;
    }
    // The queue keeps its order: when this order has arrived, the events before it have, too.
    let order = system.place().await;
    recipients.insert("customer@example.com".to_owned());
    let all = (events.len() + 1) as f64;
    let (accepted, parked) = eventually("an outcome of every event", async || {
        let samples = system.metrics(Mailer).await;
        let (accepted, parked) = (samples.get(ACCEPTED), samples.get(PARKED));
        if accepted + parked == all {
            Ok((accepted, parked))
        } else {
            Err(format!("{accepted} and {parked}"))
        }
    })
    .await;
    assert!(accepted > 1.0 && parked > 0.0, "{accepted} and {parked}");
    let ended = async |outcome: &str| {
        system.metrics(Mailer).await.get(&format!("emails_sent_total{{outcome=\"{outcome}\"}}"))
    };
    // The mailer gives up addresses that look valid and cannot be sent to.
    eventually("the end of every e-mail", async || {
        let (sent, dead) = (ended("sent").await, ended("dead").await);
        if sent + dead == accepted { Ok(()) } else { Err(format!("{sent} and {dead}")) }
    })
    .await;
    assert_clean(&server, ended("sent").await as usize, &recipients);
    assert!(server.accepted().iter().any(|email| email.text.contains(&order.id)));
}

#[tokio::test]
async fn a_log_line_about_injected_text_is_one_object() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "0")]).await;
    let gateway = system.stack.layout().gateway;
    for evil in CORPUS {
        // A header cannot hold control characters.
        let header: String = evil.chars().filter(|c| !c.is_control()).collect();
        for name in [
            "user-agent",
            "idempotency-key",
            "traceparent",
            "tracestate",
            "x-forwarded-host",
            "x-request-id",
            "origin",
        ] {
            let headers = format!("{name}: a{header}\r\n");
            ask(gateway, &request("GET /orders/7", &headers, b"")).await;
            ask(gateway, &request("POST /create-order", &headers, b"{")).await;
        }
        let encoded: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
        ask(gateway, &request(&format!("GET /orders/{encoded}?{encoded}"), "", b"")).await;
        let body = json!({evil: evil, "currency": evil}).to_string();
        ask(gateway, &request("POST /create-order", "content-type: application/json\r\n", body.as_bytes()))
            .await;
        let headers = json!({"traceparent": evil, evil.trim(): evil});
        let properties = json!({"message_id": evil, "type": evil, "app_id": evil, "headers": headers});
        system.vhost.publish_with("payment.succeeded", properties, (&body, "string")).await;
    }
    system.reaches(Mailer, PARKED, CORPUS.len() as f64).await;
    let order = system.place().await;
    system.email(&order.id).await;

    let mut phrases = BTreeSet::new();
    for service in ["order-gateway", "payment-service", "email-service"] {
        let text = fs::read_to_string(system.stack.log_dir().join(format!("{service}.log"))).unwrap();
        assert!(text.ends_with('\n'), "{service}");
        for line in text.split_terminator('\n') {
            assert!(!line.chars().any(char::is_control), "{service}: {line:?}");
            let line: Map<String, Value> =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{service}: {error}: {line}"));
            assert_eq!(line["service.name"], service, "{line:?}");
            phrases.insert(line["message"].as_str().unwrap().to_owned());
        }
    }
    // Messages are constants: their number does not grow with the input.
    assert!(phrases.len() < CORPUS.len() && !phrases.contains("forged"), "{phrases:?}");
}
