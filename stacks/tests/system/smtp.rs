//! E-mails over SMTP: a temporary refusal is retried, and a permanent one makes a dead letter.

use stacks::{local::layout::Component::Mailer, trace::ORDER};
use testkit::smtp::{Behavior, SmtpServer};

use crate::harness::{Placed, Program, System, books};

/// A system and its mail server, which has these behaviors towards the first e-mails.
async fn system(behaviors: &[Behavior]) -> (System, SmtpServer) {
    let server = SmtpServer::start().await.unwrap();
    server.script(behaviors);
    (System::with(&[("SMTP_URL", &server.url())]).await, server)
}

async fn attempts(system: &System) -> [f64; 3] {
    let samples = system.metrics(Mailer).await;
    ["sent", "retried", "dead"]
        .map(|outcome| samples.get(&format!("emails_sent_total{{outcome=\"{outcome}\"}}")))
}

#[tokio::test]
async fn an_email_arrives_over_smtp_in_its_envelope() {
    let (system, server) = system(&[]).await;
    let order = Placed::from(&system.place_with(&books("ada@example.org"), &[]).await);
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    let [email] = &server.accepted()[..] else { panic!("not one e-mail: {:?}", server.offered()) };
    assert_eq!(email.from, "checkout@omnitrace.example");
    assert_eq!(email.to, ["ada@example.org"]);
    for part in ["To: ada@example.org\r\n", "Subject: Your order is on its way\r\n", "100.00 USD", &order.id]
    {
        assert!(email.text.contains(part), "{part} is not in {}", email.text);
    }
    let trace = system.trace(&order.trace).await;
    let sending = trace.spans.iter().find(|span| span.name == "send email").unwrap();
    assert_eq!(sending.attributes["email.transport"], "smtp");
    assert_eq!(attempts(&system).await, [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_temporary_refusal_is_retried_until_one_email_arrives() {
    let (system, server) = system(&[Behavior::Refuse("451 later"), Behavior::Refuse("421 busy")]).await;
    let order = system.place().await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!(server.accepted().len(), 1);
    let ids: Vec<_> = server.offered().iter().map(|(email, _)| message_id(&email.text)).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "an attempt has another Message-ID: {ids:?}");
    assert_eq!(attempts(&system).await, [1.0, 2.0, 0.0]);

    let trace = system.trace_with(&order.trace, &[ORDER[5]; 3]).await;
    let sendings: Vec<_> = trace.spans.iter().filter(|span| span.name == "send email").collect();
    assert_eq!(sendings.len(), 3, "{sendings:#?}");
    assert!(sendings.iter().all(|span| span.parent == sendings[0].parent));
    let failed: Vec<bool> = sendings.iter().map(|span| span.error.is_some()).collect();
    assert_eq!(failed, [true, true, false]);
}

#[tokio::test]
async fn a_permanent_refusal_makes_a_dead_letter_and_delays_no_other() {
    let (system, server) = system(&[Behavior::Refuse("550 no such customer")]).await;
    system.place().await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"dead\"}", 1.0).await;
    system.reaches(Mailer, "inbox_queued", 0.0).await;
    assert_eq!(server.accepted().len(), 0);

    system.place().await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!((server.offered().len(), server.accepted().len()), (2, 1), "the dead letter was tried again");
    assert_eq!(attempts(&system).await, [1.0, 0.0, 1.0]);
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_attempts_and_its_trace() {
    let (system, _server) =
        system(&[Behavior::Refuse("451 later"), Behavior::Refuse("550 no such customer")]).await;
    let order = Placed::from(&system.place_with(&books("ada@example.org"), &[]).await);
    system.reaches(Mailer, "emails_sent_total{outcome=\"dead\"}", 1.0).await;
    system.trace_with(&order.trace, &[ORDER[5]; 2]).await;
    let event = system.dead_letters().await[0]["eventId"].as_str().unwrap().to_owned();
    let shown =
        Program::start("stacks", &["dead-letter", "--event", &event], system.dir(), &[]).ended().await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let (trace, order) = (format!("trace     {}", order.trace), format!("order     {}", order.id));
    for part in
        [&*trace, &*order, "attempts  2", "(451): later", "(550): no such customer", "BOOK-1", "send email"]
    {
        assert!(shown.stdout.contains(part), "{part} is missing in\n{}", shown.stdout);
    }
    assert!(!shown.stdout.contains("ada@"), "{}", shown.stdout);
}

fn message_id(email: &str) -> String {
    let line = email.lines().find(|line| line.starts_with("Message-ID: "));
    line.unwrap_or_else(|| panic!("no Message-ID in {email}")).to_owned()
}
