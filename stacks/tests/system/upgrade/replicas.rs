//! Replicas of two versions on one PostgreSQL database, while they are replaced one after the other.

use std::process::Command;

use stacks::{local::layout::Component::Mailer, secrets};
use testkit::wait::eventually;

use crate::harness::{Placed, Program, System, database};

/// The next step of the schema, as each step so far: a column without a constraint.
fn migrate(database: &str) {
    for (owner, table) in [("payment", "outbox"), ("mailer", "inbox")] {
        execute(database, &format!("ALTER TABLE {table} ADD COLUMN later TEXT"));
        execute(
            database,
            &format!("INSERT INTO {owner}_schema_history VALUES (99, 'later', '2099-01-01T00:00:00Z', '1')"),
        );
    }
}

fn execute(database: &str, statement: &str) {
    let output = Command::new("psql").args(["--quiet", database, "--command", statement]).output();
    assert!(output.as_ref().unwrap().status.success(), "{statement}: {output:?}");
}

#[tokio::test]
async fn an_older_replica_serves_on_beside_a_newer_schema_until_it_stops() {
    let database = database();
    let settings = [("PAYMENT_DATABASE_URL", &*database), ("MAILER_DATABASE_URL", &*database)];
    let system = System::with(&settings).await;
    system.place().await;
    migrate(&database);
    let sessions = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    execute(&database, sessions);
    let order = eventually("an order over new sessions", async || {
        let answer = system.post(&[], None).await;
        if answer.status == 201 { Ok(Placed::from(&answer)) } else { Err(format!("{answer:?}")) }
    })
    .await;
    system.email(&order.id).await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 2.0).await;

    let amqp = system.vhost.amqp_url();
    let mut all = secrets::read(&system.dir().join(".env")).unwrap();
    all.extend(settings.map(|(key, value)| (key.to_owned(), value.to_owned())));
    all.insert("AMQP_URL".to_owned(), amqp);
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (&**key, &**value)).collect();
    for service in ["payment", "mailer"] {
        let ended = Program::start(service, &[], system.dir(), &all).ended().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("later"), "{ended:?}");
    }
}
