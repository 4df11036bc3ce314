//! The inbox on both databases.

use std::time::Duration;

use payment_api::event::PaymentEvent;
use store::testing::TestDatabase;
use telemetry::propagation::TraceContext;

use super::*;

mod growth;
mod retention;

const LEASE: Duration = Duration::from_secs(60);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What holds for one database must hold for the other.
async fn each() -> [(Store, TestDatabase); 2] {
    let [sqlite, postgres] = TestDatabase::each().await;
    [(Store::open(&sqlite.url).await.unwrap(), sqlite), (Store::open(&postgres.url).await.unwrap(), postgres)]
}

async fn reopen(database: &TestDatabase) -> Store {
    Store::open(&database.url).await.unwrap()
}

async fn receive(inbox: &Store, event: &PaymentEvent, context: TraceContext) -> bool {
    inbox.receive(vec![Arrival { event: event.clone(), context }]).await.unwrap()[0]
}

async fn receive_new(inbox: &Store, number: usize) {
    let arrivals = (0..number).map(|_| Arrival { event: event(), context: context() });
    assert_eq!(inbox.receive(arrivals.collect::<Vec<_>>()).await.unwrap(), vec![true; number]);
}

fn later(error: &str, delay: Duration) -> Outcome {
    Outcome::Retry { delay, error: error.to_owned(), uncertain: false }
}

fn event() -> PaymentEvent {
    serde_json::from_value(testkit::event::paid("ada@example.com")).unwrap()
}

fn context() -> TraceContext {
    TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()))
}

#[actix_rt::test]
async fn an_event_is_received_once() {
    for (inbox, _database) in each().await {
        let (event, other) = (super::tests::event(), super::tests::event());
        assert!(receive(&inbox, &event, context()).await);
        let arrivals = [&event, &other, &other]
            .map(|event| Arrival { event: event.clone(), context: TraceContext::default() });
        assert_eq!(inbox.receive(arrivals.to_vec()).await.unwrap(), [false, true, false]);
        assert_eq!(inbox.backlog().await.unwrap().pending, 2);
    }
}

#[actix_rt::test]
async fn a_claim_has_the_context_of_the_first_delivery() {
    for (inbox, _database) in each().await {
        let event = super::tests::event();
        receive(&inbox, &event, context()).await;
        receive(&inbox, &event, TraceContext::default()).await;
        let due = inbox.claim(10, LEASE).await.unwrap().items;
        assert_eq!(
            (due.len(), &due[0].event, &due[0].trace_context, due[0].attempt),
            (1, &event, &context(), 1)
        );
        assert!(due[0].replay_context.is_none());
    }
}

#[actix_rt::test]
async fn a_claimed_event_is_claimed_again_after_its_lease() {
    for (inbox, _database) in each().await {
        receive_new(&inbox, 1).await;
        assert_eq!(inbox.claim(10, LEASE).await.unwrap().items.len(), 1);
        assert_eq!(inbox.claim(10, Duration::ZERO).await.unwrap().items.len(), 0);

        receive_new(&inbox, 1).await;
        assert_eq!(inbox.claim(10, Duration::ZERO).await.unwrap().items.len(), 1);
        let again = inbox.claim(10, LEASE).await.unwrap().items;
        assert_eq!((again.len(), again[0].attempt), (1, 2));
    }
}

#[actix_rt::test]
async fn replicas_claim_each_event_once() {
    let database = TestDatabase::postgres().await;
    let replicas = [reopen(&database).await, reopen(&database).await];
    receive_new(&replicas[0], 60).await;
    let claims = (0..20).map(|number| replicas[number % 2].claim(5, LEASE));
    let claims = futures_util::future::try_join_all(claims).await.unwrap();
    let claimed: Vec<Due> = claims.into_iter().flat_map(|claim| claim.items).collect();
    let distinct: std::collections::HashSet<_> = claimed.iter().map(|due| due.event.id).collect();
    assert_eq!((claimed.len(), distinct.len()), (60, 60));
}

#[actix_rt::test]
async fn an_expired_lease_records_only_that_it_was_sent() {
    for (inbox, _database) in each().await {
        receive_new(&inbox, 1).await;
        let slept = inbox.claim(1, Duration::ZERO).await.unwrap().items.remove(0);
        let awake = inbox.claim(1, LEASE).await.unwrap().items.remove(0);
        assert!(!inbox.hand_over(&slept).await.unwrap());
        inbox.record_outcome(&slept, Outcome::Dead { error: "550".into() }).await.unwrap();
        assert_eq!(inbox.backlog().await.unwrap().pending, 1, "a lost claim gives nothing up");
        assert!(inbox.hand_over(&awake).await.unwrap());
        // It had sent the e-mail before its lease expired: the other claim must not send it again.
        inbox.record_outcome(&slept, Outcome::Sent).await.unwrap();
        assert_eq!(inbox.backlog().await.unwrap().pending, 0);
        assert!(!inbox.hand_over(&awake).await.unwrap());
    }
}

#[actix_rt::test]
async fn an_event_sent_given_up_or_held_is_never_due_again() {
    for (inbox, database) in each().await {
        receive_new(&inbox, 3).await;
        let due = inbox.claim(10, Duration::ZERO).await.unwrap().items;
        for (due, outcome) in due.iter().zip([
            Outcome::Sent,
            Outcome::Dead { error: "550 no such user".into() },
            Outcome::Held { attempts: 1, error: "no answer".into() },
        ]) {
            inbox.record_outcome(due, outcome).await.unwrap();
        }
        assert_eq!(inbox.claim(10, LEASE).await.unwrap().items.len(), 0);
        drop(inbox);
        let inbox = reopen(&database).await;
        assert_eq!(
            (inbox.claim(10, LEASE).await.unwrap().items.len(), inbox.backlog().await.unwrap().pending),
            (0, 0)
        );
        assert_eq!(inbox.dead_letters(10).await.unwrap().len(), 2);
    }
}

#[actix_rt::test]
async fn a_retry_is_due_after_its_delay_across_a_restart() {
    for (inbox, database) in each().await {
        receive_new(&inbox, 2).await;
        let due = inbox.claim(10, LEASE).await.unwrap().items;
        inbox.record_outcome(&due[0], later("451 later", Duration::ZERO)).await.unwrap();
        inbox.record_outcome(&due[1], later("451 later", LEASE)).await.unwrap();
        drop(inbox);
        let again = reopen(&database).await.claim(10, LEASE).await.unwrap().items;
        assert_eq!((again.len(), again[0].event.id, again[0].attempt), (1, due[0].event.id, 2));
    }
}

#[actix_rt::test]
async fn a_restart_on_a_file_ends_leases_and_no_delay() {
    let database = TestDatabase::sqlite();
    let inbox = reopen(&database).await;
    receive_new(&inbox, 2).await;
    let due = inbox.claim(10, LEASE).await.unwrap().items;
    inbox.record_outcome(&due[1], later("451 later", LEASE)).await.unwrap();
    drop(inbox);
    let again = reopen(&database).await.claim(10, LEASE).await.unwrap().items;
    assert_eq!((again.len(), again[0].event.id, again[0].attempt), (1, due[0].event.id, 2));
}

#[actix_rt::test]
async fn an_attempt_without_a_result_stays_marked() {
    for (inbox, _database) in each().await {
        receive_new(&inbox, 3).await;
        let due = inbox.claim(10, Duration::ZERO).await.unwrap().items;
        assert!(due.iter().all(|due| !due.handed_over && !due.uncertain));
        assert!(inbox.hand_over(&due[0]).await.unwrap());
        assert!(inbox.hand_over(&due[1]).await.unwrap());
        // An answer that was heard settles it, also a refusal.
        inbox.record_outcome(&due[1], later("451 later", Duration::ZERO)).await.unwrap();
        let again = inbox.claim(10, LEASE).await.unwrap().items;
        assert_eq!(again.len(), 3);
        for again in &again {
            let is_lost = again.event.id == due[0].event.id;
            assert_eq!((again.handed_over, again.uncertain), (is_lost, is_lost));
            inbox.record_outcome(again, later("451 later", Duration::ZERO)).await.unwrap();
        }
        for again in inbox.claim(10, LEASE).await.unwrap().items {
            let is_lost = again.event.id == due[0].event.id;
            assert_eq!((again.handed_over, again.uncertain), (false, is_lost), "the doubt stays");
        }
    }
}

#[actix_rt::test]
async fn a_replayed_event_starts_over_with_the_replays_context() {
    for (inbox, _database) in each().await {
        receive_new(&inbox, 2).await;
        for due in inbox.claim(10, LEASE).await.unwrap().items {
            inbox.record_outcome(&due, Outcome::Dead { error: "550".into() }).await.unwrap();
        }
        let event = inbox.dead_letters(1).await.unwrap()[0].event_id.clone().unwrap();
        assert_eq!(inbox.replay(event.parse().ok(), &context()).await.unwrap(), 1);
        let due = inbox.claim(10, LEASE).await.unwrap().items;
        assert_eq!((due.len(), due[0].attempt, due[0].replay_context.as_ref()), (1, 1, Some(&context())));
        assert_eq!(inbox.replay(None, &context()).await.unwrap(), 1);
    }
}

#[actix_rt::test]
async fn only_sent_emails_are_forgotten_after_30_days() {
    for (inbox, database) in each().await {
        receive_new(&inbox, 3).await;
        let due = inbox.claim(2, LEASE).await.unwrap().items;
        inbox.record_outcome(&due[0], Outcome::Sent).await.unwrap();
        inbox.record_outcome(&due[1], Outcome::Dead { error: "550".into() }).await.unwrap();
        inbox.forget_old().await.unwrap();
        assert!(!receive(&inbox, &due[0].event, context()).await, "it is not old yet");

        let month = 30_i64 * 24 * 60 * 60 * 1000;
        database
            .execute(&format!(
                "UPDATE inbox SET sent_at = sent_at - {month}, received_at = received_at - {month}"
            ))
            .await;
        inbox.forget_old().await.unwrap();
        assert_eq!(
            (inbox.backlog().await.unwrap().pending, inbox.dead_letters(10).await.unwrap().len()),
            (1, 1)
        );
        assert!(receive(&inbox, &due[0].event, context()).await, "it is gone");
    }
}

#[actix_rt::test]
async fn an_undecodable_event_is_a_dead_letter_and_the_others_flow() {
    for (inbox, database) in each().await {
        receive_new(&inbox, 2).await;
        // A byte string that is no JSON, in the syntax of both databases.
        let bytes = if database.is_file() { "x'7b'" } else { "'\\x7b'::BYTEA" };
        let broken =
            format!("UPDATE inbox SET payload = {bytes} WHERE event_id = (SELECT min(event_id) FROM inbox)");
        database.execute(&broken).await;
        let claim = inbox.claim(10, LEASE).await.unwrap();
        assert_eq!((claim.items.len(), claim.set_aside.len()), (1, 1));
        let letters = inbox.dead_letters(10).await.unwrap();
        assert_eq!(letters[0].event_id.as_ref(), Some(&claim.set_aside[0].key));
        assert!(letters[0].reason.contains("EOF"), "{}", letters[0].reason);
        assert_eq!(inbox.backlog().await.unwrap().pending, 1);
    }
}

#[actix_rt::test]
async fn a_clock_step_back_delays_nothing_for_longer_than_a_retry() {
    let database = TestDatabase::sqlite();
    let inbox = reopen(&database).await;
    receive_new(&inbox, 2).await;
    let due = inbox.claim(1, LEASE).await.unwrap().items;
    inbox.record_outcome(&due[0], later("451 later", LEASE)).await.unwrap();
    inbox.claim(1, LEASE).await.unwrap();
    let hours = 3 * 60 * 60 * 1000;
    database
        .execute(&format!(
            "UPDATE inbox SET due_at = due_at + {hours}; \
             UPDATE inbox SET leased_until = leased_until + {hours} WHERE leased_until > 0"
        ))
        .await;
    assert_eq!(inbox.claim(10, LEASE).await.unwrap().items.len(), 2);
}

#[actix_rt::test]
async fn a_database_of_version_0_1_opens_with_its_rows() {
    let event = event();
    let payload = serde_json::to_string(&event).unwrap();
    for (database, is_sqlite) in [(TestDatabase::sqlite(), true), (TestDatabase::postgres().await, false)] {
        let (history, time, bytes, steps) = if is_sqlite {
            ("_sqlx_migrations", "TIMESTAMP", "BLOB", MIGRATIONS.sqlite)
        } else {
            ("mailer_migrations", "TIMESTAMPTZ", "BYTEA", MIGRATIONS.postgres)
        };
        let (cast, schema) = (
            if is_sqlite { "CAST" } else { "convert_to" },
            steps.iter().map(|(_, sql)| *sql).collect::<String>(),
        );
        let payload = match is_sqlite {
            true => format!("{cast}('{payload}' AS BLOB)"),
            false => format!("{cast}('{payload}', 'UTF8')"),
        };
        let done: String = (1..=steps.len())
            .map(|version| {
                format!("INSERT INTO {history} VALUES ({version}, '', CURRENT_TIMESTAMP, true, '', 1);")
            })
            .collect();
        let done = if is_sqlite { done.replace("'', 1)", "x'', 1)") } else { done };
        database
            .execute(&format!(
                "CREATE TABLE {history} (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
                 installed_on {time} NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
                 checksum {bytes} NOT NULL, execution_time BIGINT NOT NULL); {schema} {done} \
                 INSERT INTO inbox (event_id, order_id, payload, trace_context, received_at, queued_at, due_at) \
                 VALUES ('{}', '{}', {payload}, '{{}}', 1790000000000, 1790000000000, 1790000000000);",
                event.id, event.data.order_id
            ))
            .await;
        let inbox = reopen(&database).await;
        let due = inbox.claim(10, LEASE).await.unwrap().items;
        assert_eq!((due.len(), &due[0].event), (1, &event));
        drop(inbox);
        assert_eq!(reopen(&database).await.backlog().await.unwrap().pending, 1, "and again");
    }
}
