//! The inbox against a real SQLite file.

use payment_api::testing::paid;
use tempfile::TempDir;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn inbox() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open(&directory).await, directory)
}

async fn open(directory: &TempDir) -> Store {
    Store::open(&format!("sqlite://{}", directory.path().join("new/mailer.db").display())).await.unwrap()
}

fn event() -> PaymentEvent {
    paid("ada@example.com")
}

fn context() -> TraceContext {
    TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()))
}

#[actix_rt::test]
async fn an_event_is_received_once() {
    let (inbox, _directory) = inbox().await;
    let event = event();
    assert!(inbox.receive(&event, &context()).await.unwrap());
    assert!(!inbox.receive(&event, &TraceContext::default()).await.unwrap());
    assert_eq!(inbox.queued().await.unwrap(), 1);
}

#[actix_rt::test]
async fn a_claim_has_the_event_as_it_came_with_the_context_of_its_first_delivery() {
    let (inbox, _directory) = inbox().await;
    let event = event();
    inbox.receive(&event, &context()).await.unwrap();
    inbox.receive(&event, &TraceContext::default()).await.unwrap();
    let due = inbox.claim(10, LEASE).await.unwrap();
    assert_eq!((due.len(), &due[0].event, &due[0].trace_context, due[0].attempt), (1, &event, &context(), 1));
}

#[actix_rt::test]
async fn what_is_claimed_is_nobody_elses_until_its_lease_ends() {
    let (inbox, _directory) = inbox().await;
    inbox.receive(&event(), &context()).await.unwrap();
    assert_eq!(inbox.claim(10, LEASE).await.unwrap().len(), 1);
    assert_eq!(inbox.claim(10, Duration::ZERO).await.unwrap().len(), 0);

    inbox.receive(&event(), &context()).await.unwrap();
    assert_eq!(inbox.claim(10, Duration::ZERO).await.unwrap().len(), 1);
    let again = inbox.claim(10, LEASE).await.unwrap();
    assert_eq!((again.len(), again[0].attempt), (1, 2));
}

#[actix_rt::test]
async fn what_is_sent_or_given_up_is_never_due_again() {
    let (inbox, _directory) = inbox().await;
    for _ in 0..2 {
        inbox.receive(&event(), &context()).await.unwrap();
    }
    let due = inbox.claim(10, Duration::ZERO).await.unwrap();
    inbox.sent(due[0].event.id).await.unwrap();
    inbox.give_up(due[1].event.id, "550 no such user").await.unwrap();
    assert_eq!(inbox.claim(10, LEASE).await.unwrap().len(), 0);
    assert_eq!(inbox.queued().await.unwrap(), 0);
}

#[actix_rt::test]
async fn a_retry_is_due_after_its_delay_also_when_the_service_was_restarted() {
    let (inbox, directory) = inbox().await;
    for _ in 0..2 {
        inbox.receive(&event(), &context()).await.unwrap();
    }
    let due = inbox.claim(10, LEASE).await.unwrap();
    inbox.retry(due[0].event.id, Duration::ZERO, "451 later").await.unwrap();
    inbox.retry(due[1].event.id, LEASE, "451 later").await.unwrap();
    drop(inbox);
    let again = open(&directory).await.claim(10, LEASE).await.unwrap();
    assert_eq!((again.len(), again[0].event.id, again[0].attempt), (1, due[0].event.id, 2));
}

#[actix_rt::test]
async fn a_restart_ends_the_lease_of_the_dead_but_no_delay() {
    let (inbox, directory) = inbox().await;
    for _ in 0..2 {
        inbox.receive(&event(), &context()).await.unwrap();
    }
    let due = inbox.claim(10, LEASE).await.unwrap();
    inbox.retry(due[1].event.id, LEASE, "451 later").await.unwrap();
    drop(inbox);
    let again = open(&directory).await.claim(10, LEASE).await.unwrap();
    assert_eq!((again.len(), again[0].event.id, again[0].attempt), (1, due[0].event.id, 2));
}

#[actix_rt::test]
async fn a_restart_remembers_what_was_handed_over() {
    let (inbox, directory) = inbox().await;
    for _ in 0..3 {
        inbox.receive(&event(), &context()).await.unwrap();
    }
    let due = inbox.claim(10, LEASE).await.unwrap();
    assert!(due.iter().all(|due| !due.handed_over));
    inbox.hand_over(due[0].event.id).await.unwrap();
    inbox.hand_over(due[1].event.id).await.unwrap();
    // An answer that was heard settles it, also a refusal.
    inbox.retry(due[1].event.id, Duration::ZERO, "451 later").await.unwrap();
    drop(inbox);
    let again = open(&directory).await.claim(10, LEASE).await.unwrap();
    assert_eq!(again.len(), 3);
    for again in again {
        assert_eq!(again.handed_over, again.event.id == due[0].event.id);
    }
}

#[actix_rt::test]
async fn what_is_held_is_never_due_again() {
    let (inbox, directory) = inbox().await;
    inbox.receive(&event(), &context()).await.unwrap();
    let due = inbox.claim(10, LEASE).await.unwrap();
    inbox.hand_over(due[0].event.id).await.unwrap();
    inbox.hold(due[0].event.id, 1, "no answer").await.unwrap();
    drop(inbox);
    let inbox = open(&directory).await;
    assert_eq!((inbox.claim(10, LEASE).await.unwrap().len(), inbox.queued().await.unwrap()), (0, 0));
}
