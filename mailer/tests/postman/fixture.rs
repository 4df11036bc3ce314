//! The postman with an inbox and metrics of its own.

use std::time::Duration;

use actix::prelude::*;
use clap::Parser;
use mailer::config::Config;
use mailer::metrics::Metrics;
use mailer::postman::Postman;
use mailer::store::{Arrival, Store};
use mailer::transport::{Smtp, Transport};
use payment_api::event::PaymentEvent;
use slog::{Discard, Logger, o};
use store::testing::TestDatabase;
use telemetry::metrics::{Format, Registry};
use telemetry::propagation::TraceContext;
use testkit::event::paid;
use testkit::smtp::{Behavior, Received, SmtpServer};
use testkit::wait::eventually;
use uuid::Uuid;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: TestDatabase,
    registry: Registry,
    settings: Vec<&'static str>,
}

impl Fixture {
    pub(crate) async fn open(settings: &[&'static str]) -> Self {
        let database = TestDatabase::sqlite();
        let store = Store::open(&database.url).await.unwrap();
        Self { store, database, registry: Registry::new(), settings: settings.to_vec() }
    }

    /// The same after a crash of the service.
    pub(crate) async fn restarted(self) -> Self {
        let Self { store, database, registry, settings } = self;
        drop(store);
        let store = Store::open(&database.url).await.unwrap();
        Self { store, database, registry, settings }
    }

    /// Puts an e-mail to this address into the inbox.
    pub(crate) async fn receive(&self, to: &str) -> Uuid {
        let event: PaymentEvent = serde_json::from_value(paid(to)).unwrap();
        let id = event.id;
        let arrival = Arrival { event, context: TraceContext::default() };
        self.store.receive(vec![arrival]).await.unwrap();
        id
    }

    pub(crate) fn postman(&self, server: &SmtpServer) -> Addr<Postman> {
        let base =
            ["mailer", "--amqp-url=amqp://localhost", "--mailer-token=0123456789abcdef", "--mail-latency=0s"];
        let config = Config::parse_from(base.iter().chain(&self.settings));
        let smtp = Smtp::new(&server.url()).unwrap();
        let transport = Transport::Smtp(smtp.with_deadlines(Duration::from_secs(1), Duration::from_secs(1)));
        let metrics = Metrics::register(&self.registry).unwrap();
        let log = Logger::root(Discard, o!());
        Postman::new(&config, self.store.clone(), transport, metrics, &log).start()
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.registry.encode(Format::Text).unwrap();
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    pub(crate) async fn until(&self, name: &str, value: u64) {
        eventually(&format!("{name} = {value}"), async || {
            let now = self.metric(name);
            if now == value { Ok(()) } else { Err(format!("it is {now}")) }
        })
        .await;
    }

    pub(crate) async fn until_sent(&self, number: u64) {
        self.until("emails_sent_total{outcome=\"sent\"}", number).await;
    }

    /// State, attempts and error of the only row.
    pub(crate) fn row(&self) -> (String, u32, String) {
        let row = self.database.row("SELECT state, attempts, error FROM inbox").unwrap();
        (row[0].clone(), row[1].parse().unwrap(), row[2].clone())
    }

    /// The same, once the outcome is recorded: the metric is incremented before.
    pub(crate) async fn settled_row(&self) -> (String, u32, String) {
        eventually("the fate of the only e-mail", async || {
            let row = self.row();
            (row.0 != "queued").then_some(row)
        })
        .await
    }
}

/// A server with this script for e-mails to Ada.
pub(crate) async fn scripted(behaviors: &[Behavior]) -> SmtpServer {
    let server = SmtpServer::start().await.unwrap();
    server.script_for("ada@example.org", behaviors);
    server
}

pub(crate) fn message_ids(emails: &[Received]) -> Vec<&str> {
    let id =
        |email: &'_ Received| email.text.lines().position(|line| line.starts_with("Message-ID: ")).unwrap();
    emails.iter().map(|email| email.text.lines().nth(id(email)).unwrap()).collect()
}
