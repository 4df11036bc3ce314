//! The postman with a real inbox and a mail server that misbehaves on purpose.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;
mod uncertain;

use std::time::{Duration, Instant};

use mailer::postman::{SendDueEmails, StopSending};
use mailer::simulation::Simulation;
use service::simulation::ChangeSimulation;
use telemetry::Traced;
use testkit::smtp::{Behavior, SmtpServer};

use fixture::{Fixture, message_ids, scripted};

const NO_TROUBLE: Simulation = Simulation { latency: Duration::ZERO, paused: false, failure_rate: 0.0 };

#[actix_rt::test]
async fn a_good_server_gets_one_email() {
    let server = SmtpServer::start().await.unwrap();
    let fixture = Fixture::open(&[]).await;
    let id = fixture.receive("ada@example.org").await;
    let postman = fixture.postman(&server);
    fixture.until_sent(1).await;
    postman.send(StopSending).await.unwrap();
    assert!(message_ids(&server.accepted())[0].contains(&id.to_string()));
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(fixture.row(), ("sent".to_owned(), 1, String::new()));
}

#[actix_rt::test]
async fn a_deferred_email_is_sent_again_and_arrives_once() {
    let later = Behavior::RefuseRecipient("451 later");
    let server = scripted(&[later, Behavior::Accept]).await;
    let fixture = Fixture::open(&[]).await;
    fixture.receive("ada@example.org").await;
    fixture.postman(&server);
    fixture.until_sent(1).await;
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(fixture.metric("emails_sent_total{outcome=\"retried\"}"), 1);
    assert_eq!(fixture.metric("emails_uncertain_total{action=\"resent\"}"), 0);
}

#[actix_rt::test]
async fn a_refused_email_is_a_dead_letter_with_its_reason() {
    let never = Behavior::RefuseRecipient("550 5.1.1 <ada@example.org>: no such user, says Ada");
    let server = scripted(&[never]).await;
    let fixture = Fixture::open(&[]).await;
    fixture.receive("ada@example.org").await;
    fixture.postman(&server);
    fixture.until("emails_sent_total{outcome=\"dead\"}", 1).await;
    let (state, attempts, reason) = fixture.settled_row().await;
    assert_eq!((state.as_str(), attempts), ("dead", 1));
    assert!(reason.contains("550") && reason.contains("no such user"), "{reason}");
    assert!(!reason.to_lowercase().contains("ada"), "the reason repeats the address: {reason}");

    fixture.receive("bob@example.org").await;
    fixture.until_sent(1).await;
    assert_eq!(server.accepted().len(), 1);
}

#[actix_rt::test]
async fn an_email_that_fails_until_its_deadline_is_a_dead_letter() {
    let server = scripted(&[Behavior::RefuseRecipient("451 later")]).await;
    let fixture = Fixture::open(&["--mail-deadline=100ms"]).await;
    fixture.receive("ada@example.org").await;
    fixture.postman(&server);
    fixture.until("emails_sent_total{outcome=\"dead\"}", 1).await;
    assert_eq!(fixture.row().1, 1);
}

/// So many e-mails in the inbox, each taken by the server after this time.
async fn slow_answers(number: usize, delay: Duration) -> (SmtpServer, Fixture) {
    let addresses: Vec<String> = (0..number).map(|n| format!("n{n}@example.org")).collect();
    let (server, fixture) = (SmtpServer::start().await.unwrap(), Fixture::open(&[]).await);
    for to in &addresses {
        server.script_for(to, &[Behavior::AcceptAfter(delay)]);
    }
    for to in &addresses {
        fixture.receive(to).await;
    }
    (server, fixture)
}

#[actix_rt::test]
async fn slow_answers_are_awaited_concurrently() {
    let (server, fixture) = slow_answers(200, Duration::from_millis(100)).await;
    let begun = Instant::now();
    fixture.postman(&server);
    fixture.until_sent(200).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(7), "one after the other takes 20 s, and this took {took:?}");
    let taken = server.accepted();
    let distinct: std::collections::HashSet<&str> = message_ids(&taken).into_iter().collect();
    assert_eq!((taken.len(), distinct.len()), (200, 200));
}

#[actix_rt::test]
async fn two_claims_at_once_do_not_exceed_the_room_for_emails() {
    let (server, fixture) = slow_answers(400, Duration::from_millis(500)).await;
    // The first claim of the postman and this one are due at once.
    fixture.postman(&server).try_send(SendDueEmails).unwrap();
    // What was claimed without room for it would wait for its lease, more than two minutes.
    fixture.until_sent(400).await;
    // On a busy machine an answer may come after its deadline: that e-mail comes twice, and is counted.
    let again = fixture.metric("emails_uncertain_total{action=\"resent\"}");
    assert_eq!(server.accepted().len() as u64, 400 + again);
}

#[actix_rt::test]
async fn a_paused_postman_begins_no_attempt_until_it_goes_on() {
    let server = SmtpServer::start().await.unwrap();
    let fixture = Fixture::open(&[]).await;
    let postman = fixture.postman(&server);
    let simulate = async |simulation| postman.send(Traced::new(ChangeSimulation(simulation))).await.unwrap();
    simulate(Simulation { paused: true, ..NO_TROUBLE }).await;
    fixture.receive("ada@example.org").await;
    // Answered when the inbox has been looked at.
    postman.send(SendDueEmails).await.unwrap();
    assert_eq!(fixture.row(), ("queued".to_owned(), 0, String::new()));
    simulate(NO_TROUBLE).await;
    fixture.until_sent(1).await;
}

#[actix_rt::test]
async fn a_simulated_failure_reaches_no_server_and_is_repeated() {
    let server = SmtpServer::start().await.unwrap();
    let fixture = Fixture::open(&[]).await;
    let postman = fixture.postman(&server);
    let simulate = async |simulation| postman.send(Traced::new(ChangeSimulation(simulation))).await.unwrap();
    simulate(Simulation { failure_rate: 1.0, ..NO_TROUBLE }).await;
    fixture.receive("ada@example.org").await;
    postman.send(SendDueEmails).await.unwrap();
    fixture.until("emails_sent_total{outcome=\"retried\"}", 1).await;
    assert_eq!(server.accepted().len(), 0);
    simulate(NO_TROUBLE).await;
    fixture.until_sent(1).await;
    assert_eq!(
        (server.accepted().len(), fixture.metric("emails_uncertain_total{action=\"resent\"}")),
        (1, 0)
    );
}
