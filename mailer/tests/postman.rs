//! The postman with a real inbox and a mail server that misbehaves on purpose.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use actix::prelude::*;
use clap::Parser;
use mailer::config::Config;
use mailer::metrics::Metrics;
use mailer::postman::{Postman, SendDueEmails, StopSending};
use mailer::simulation::Simulation;
use mailer::store::{Arrival, Store};
use mailer::transport::{Smtp, Transport};
use payment_api::event::PaymentEvent;
use service::simulation::ChangeSimulation;
use slog::{Discard, Logger, o};
use store::testing::TestDatabase;
use telemetry::Traced;
use telemetry::metrics::{Format, Registry};
use telemetry::propagation::TraceContext;
use testkit::event::paid;
use testkit::smtp::{Behavior, Received, SmtpServer};
use testkit::wait::eventually;
use uuid::Uuid;

const NO_TROUBLE: Simulation = Simulation { latency: Duration::ZERO, paused: false, failure_rate: 0.0 };

struct Office {
    store: Store,
    database: TestDatabase,
    registry: Registry,
    settings: Vec<&'static str>,
}

impl Office {
    async fn open(settings: &[&'static str]) -> Self {
        let database = TestDatabase::sqlite();
        let store = Store::open(&database.url).await.unwrap();
        Self { store, database, registry: Registry::new(), settings: settings.to_vec() }
    }

    /// The same after a crash of the service.
    async fn restarted(self) -> Self {
        let Self { store, database, registry, settings } = self;
        drop(store);
        let store = Store::open(&database.url).await.unwrap();
        Self { store, database, registry, settings }
    }

    /// Puts an e-mail to this address into the inbox.
    async fn receive(&self, to: &str) -> Uuid {
        let event: PaymentEvent = serde_json::from_value(paid(to)).unwrap();
        let id = event.id;
        let arrival = Arrival { event, context: TraceContext::default() };
        self.store.receive(vec![arrival]).await.unwrap();
        id
    }

    fn postman(&self, server: &SmtpServer) -> Addr<Postman> {
        let base =
            ["mailer", "--amqp-url=amqp://localhost", "--mailer-token=0123456789abcdef", "--mail-latency=0s"];
        let config = Config::parse_from(base.iter().chain(&self.settings));
        let smtp = Smtp::new(&server.url()).unwrap();
        let transport = Transport::Smtp(smtp.with_deadlines(Duration::from_secs(1), Duration::from_secs(1)));
        let metrics = Metrics::register(&self.registry).unwrap();
        let log = Logger::root(Discard, o!());
        Postman::new(&config, self.store.clone(), transport, metrics, &log).start()
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.registry.encode(Format::Text).unwrap();
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    async fn until(&self, name: &str, value: u64) {
        eventually(&format!("{name} = {value}"), async || {
            let now = self.metric(name);
            if now == value { Ok(()) } else { Err(format!("it is {now}")) }
        })
        .await;
    }

    async fn until_sent(&self, number: u64) {
        self.until("emails_sent_total{outcome=\"sent\"}", number).await;
    }

    /// State, attempts and error of the only row.
    fn row(&self) -> (String, u32, String) {
        let row = self.database.row("SELECT state, attempts, error FROM inbox").unwrap();
        (row[0].clone(), row[1].parse().unwrap(), row[2].clone())
    }

    /// The same, once the outcome is recorded: the metric is incremented before.
    async fn settled_row(&self) -> (String, u32, String) {
        eventually("the fate of the only e-mail", async || {
            let row = self.row();
            (row.0 != "queued").then_some(row)
        })
        .await
    }
}

/// A server with this script for e-mails to Ada.
async fn scripted(behaviors: &[Behavior]) -> SmtpServer {
    let server = SmtpServer::start().await.unwrap();
    server.script_for("ada@example.org", behaviors);
    server
}

fn message_ids(emails: &[Received]) -> Vec<&str> {
    let id =
        |email: &'_ Received| email.text.lines().position(|line| line.starts_with("Message-ID: ")).unwrap();
    emails.iter().map(|email| email.text.lines().nth(id(email)).unwrap()).collect()
}

#[actix_rt::test]
async fn a_good_server_gets_one_email() {
    let server = SmtpServer::start().await.unwrap();
    let office = Office::open(&[]).await;
    let id = office.receive("ada@example.org").await;
    let postman = office.postman(&server);
    office.until_sent(1).await;
    postman.send(StopSending).await.unwrap();
    assert!(message_ids(&server.accepted())[0].contains(&id.to_string()));
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(office.row(), ("sent".to_owned(), 1, String::new()));
}

#[actix_rt::test]
async fn a_deferred_email_is_sent_again_and_arrives_once() {
    let later = Behavior::RefuseRecipient("451 later");
    let server = scripted(&[later, Behavior::Accept]).await;
    let office = Office::open(&[]).await;
    office.receive("ada@example.org").await;
    office.postman(&server);
    office.until_sent(1).await;
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(office.metric("emails_sent_total{outcome=\"retried\"}"), 1);
    assert_eq!(office.metric("emails_uncertain_total{action=\"resent\"}"), 0);
}

#[actix_rt::test]
async fn a_refused_email_is_a_dead_letter_with_its_reason() {
    let never = Behavior::RefuseRecipient("550 5.1.1 <ada@example.org>: no such user, says Ada");
    let server = scripted(&[never]).await;
    let office = Office::open(&[]).await;
    office.receive("ada@example.org").await;
    office.postman(&server);
    office.until("emails_sent_total{outcome=\"dead\"}", 1).await;
    let (state, attempts, reason) = office.settled_row().await;
    assert_eq!((state.as_str(), attempts), ("dead", 1));
    assert!(reason.contains("550") && reason.contains("no such user"), "{reason}");
    assert!(!reason.to_lowercase().contains("ada"), "the reason repeats the address: {reason}");

    office.receive("bob@example.org").await;
    office.until_sent(1).await;
    assert_eq!(server.accepted().len(), 1);
}

#[actix_rt::test]
async fn an_email_that_fails_until_its_deadline_is_a_dead_letter() {
    let server = scripted(&[Behavior::RefuseRecipient("451 later")]).await;
    let office = Office::open(&["--mail-deadline=100ms"]).await;
    office.receive("ada@example.org").await;
    office.postman(&server);
    office.until("emails_sent_total{outcome=\"dead\"}", 1).await;
    assert_eq!(office.row().1, 1);
}

#[actix_rt::test]
async fn a_lost_answer_makes_a_second_copy_that_is_declared() {
    for lost in [Behavior::AcceptAndClose, Behavior::AcceptAndHang] {
        let server = scripted(&[lost, Behavior::Accept]).await;
        let office = Office::open(&[]).await;
        office.receive("ada@example.org").await;
        office.postman(&server);
        office.until_sent(1).await;
        let taken = server.accepted();
        let ids = message_ids(&taken);
        assert_eq!((ids.len(), ids[0]), (2, ids[1]), "after {lost:?}");
        assert_eq!(office.metric("emails_uncertain_total{action=\"resent\"}"), 1);
        assert_eq!(office.metric("emails_uncertain_total{action=\"held\"}"), 0);
    }
}

#[actix_rt::test]
async fn a_lost_answer_holds_the_email_where_that_is_the_policy() {
    for lost in [Behavior::AcceptAndClose, Behavior::AcceptAndHang] {
        let server = scripted(&[lost, Behavior::Accept]).await;
        let office = Office::open(&["--mail-uncertain=hold"]).await;
        office.receive("ada@example.org").await;
        let postman = office.postman(&server);
        office.until("emails_uncertain_total{action=\"held\"}", 1).await;
        postman.send(StopSending).await.unwrap();
        let (state, attempts, reason) = office.row();
        assert_eq!(
            (state.as_str(), attempts, server.accepted().len()),
            ("uncertain", 1, 1),
            "after {lost:?}"
        );
        assert!(reason.contains("it is not known whether"), "{reason}");
    }
}

#[actix_rt::test]
async fn a_connection_lost_early_leaves_no_uncertainty() {
    let servers = [scripted(&[Behavior::HangAtRecipient, Behavior::Accept]).await, scripted(&[]).await];
    servers[1].close_next_greeting();
    for (server, lost) in servers.into_iter().zip(["the recipient", "the connection"]) {
        let office = Office::open(&["--mail-uncertain=hold"]).await;
        office.receive("ada@example.org").await;
        office.postman(&server);
        office.until_sent(1).await;
        assert_eq!(server.accepted().len(), 1);
        assert_eq!(office.metric("emails_uncertain_total{action=\"held\"}"), 0, "after {lost:?}");
    }
}

#[actix_rt::test]
async fn an_email_handed_over_before_a_crash_is_declared() {
    for (policy, action, copies) in
        [("--mail-uncertain=resend", "resent", 1), ("--mail-uncertain=hold", "held", 0)]
    {
        let server = SmtpServer::start().await.unwrap();
        let office = Office::open(&[policy]).await;
        office.receive("ada@example.org").await;
        let due = office.store.claim(1, Duration::from_secs(60)).await.unwrap().items;
        assert!(office.store.hand_over(&due[0]).await.unwrap());
        let office = office.restarted().await;
        let postman = office.postman(&server);
        office.until(&format!("emails_uncertain_total{{action=\"{action}\"}}"), 1).await;
        postman.send(StopSending).await.unwrap();
        assert_eq!(server.accepted().len(), copies, "{policy}");
        let (state, attempts, _) = office.row();
        let expected = if copies == 1 { ("sent", 2) } else { ("uncertain", 1) };
        assert_eq!((state.as_str(), attempts), expected);
    }
}

/// So many e-mails in the inbox, each taken by the server after this time.
async fn slow_answers(number: usize, delay: Duration) -> (SmtpServer, Office) {
    let addresses: Vec<String> = (0..number).map(|n| format!("n{n}@example.org")).collect();
    let (server, office) = (SmtpServer::start().await.unwrap(), Office::open(&[]).await);
    for to in &addresses {
        server.script_for(to, &[Behavior::AcceptAfter(delay)]);
    }
    for to in &addresses {
        office.receive(to).await;
    }
    (server, office)
}

#[actix_rt::test]
async fn slow_answers_are_awaited_concurrently() {
    let (server, office) = slow_answers(200, Duration::from_millis(100)).await;
    let begun = Instant::now();
    office.postman(&server);
    office.until_sent(200).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(7), "one after the other takes 20 s, and this took {took:?}");
    let taken = server.accepted();
    let distinct: std::collections::HashSet<&str> = message_ids(&taken).into_iter().collect();
    assert_eq!((taken.len(), distinct.len()), (200, 200));
}

#[actix_rt::test]
async fn a_refused_second_copy_leaves_the_first_uncertain() {
    let refused = Behavior::RefuseRecipient("550 no such user");
    let server = scripted(&[Behavior::AcceptAndClose, refused]).await;
    let office = Office::open(&[]).await;
    office.receive("ada@example.org").await;
    let postman = office.postman(&server);
    office.until("emails_uncertain_total{action=\"held\"}", 1).await;
    postman.send(StopSending).await.unwrap();
    let (state, attempts, reason) = office.row();
    assert_eq!((state.as_str(), attempts), ("uncertain", 2));
    assert!(reason.contains("no such user"), "{reason}");
}

#[actix_rt::test]
async fn an_inbox_locked_after_the_answer_makes_no_second_copy() {
    let slow = Behavior::AcceptAfter(Duration::from_millis(300));
    let server = scripted(&[slow, Behavior::Accept]).await;
    let office = Office::open(&[]).await;
    office.receive("ada@example.org").await;
    let postman = office.postman(&server);
    // Locked as soon as the content is on its way, until long after its answer.
    while office.database.row("SELECT 1 FROM inbox WHERE handed_over = 1").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let locked = office.database.lock();
    office.until_sent(1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(locked);
    postman.send(StopSending).await.unwrap();
    assert_eq!(office.row().0, "sent");
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(office.metric("emails_uncertain_total{action=\"resent\"}"), 0);
}

#[actix_rt::test]
async fn two_claims_at_once_do_not_exceed_the_room_for_emails() {
    let (server, office) = slow_answers(400, Duration::from_millis(500)).await;
    // The first claim of the postman and this one are due at once.
    office.postman(&server).try_send(SendDueEmails).unwrap();
    // What was claimed without room for it would wait for its lease, more than two minutes.
    office.until_sent(400).await;
    assert_eq!(server.accepted().len(), 400);
}

#[actix_rt::test]
async fn a_paused_postman_begins_no_attempt_until_it_goes_on() {
    let server = SmtpServer::start().await.unwrap();
    let office = Office::open(&[]).await;
    let postman = office.postman(&server);
    let simulate = async |simulation| postman.send(Traced::new(ChangeSimulation(simulation))).await.unwrap();
    simulate(Simulation { paused: true, ..NO_TROUBLE }).await;
    office.receive("ada@example.org").await;
    // Answered when the inbox has been looked at.
    postman.send(SendDueEmails).await.unwrap();
    assert_eq!(office.row(), ("queued".to_owned(), 0, String::new()));
    simulate(NO_TROUBLE).await;
    office.until_sent(1).await;
}

#[actix_rt::test]
async fn a_simulated_failure_reaches_no_server_and_is_repeated() {
    let server = SmtpServer::start().await.unwrap();
    let office = Office::open(&[]).await;
    let postman = office.postman(&server);
    let simulate = async |simulation| postman.send(Traced::new(ChangeSimulation(simulation))).await.unwrap();
    simulate(Simulation { failure_rate: 1.0, ..NO_TROUBLE }).await;
    office.receive("ada@example.org").await;
    postman.send(SendDueEmails).await.unwrap();
    office.until("emails_sent_total{outcome=\"retried\"}", 1).await;
    assert_eq!(server.accepted().len(), 0);
    simulate(NO_TROUBLE).await;
    office.until_sent(1).await;
    assert_eq!((server.accepted().len(), office.metric("emails_uncertain_total{action=\"resent\"}")), (1, 0));
}
