//! E-mails that the mail server may have or not.

use std::time::Duration;

use mailer::postman::StopSending;
use testkit::smtp::{Behavior, SmtpServer};

use crate::fixture::{Fixture, message_ids, scripted};

#[actix_rt::test]
async fn a_lost_answer_makes_a_second_copy_that_is_declared() {
    for lost in [Behavior::AcceptAndClose, Behavior::AcceptAndHang] {
        let server = scripted(&[lost, Behavior::Accept]).await;
        let fixture = Fixture::open(&[]).await;
        fixture.receive("ada@example.org").await;
        fixture.postman(&server);
        fixture.until_sent(1).await;
        let taken = server.accepted();
        let ids = message_ids(&taken);
        assert_eq!((ids.len(), ids[0]), (2, ids[1]), "after {lost:?}");
        assert_eq!(fixture.metric("emails_uncertain_total{action=\"resent\"}"), 1);
        assert_eq!(fixture.metric("emails_uncertain_total{action=\"held\"}"), 0);
    }
}

#[actix_rt::test]
async fn a_lost_answer_holds_the_email_where_that_is_the_policy() {
    for lost in [Behavior::AcceptAndClose, Behavior::AcceptAndHang] {
        let server = scripted(&[lost, Behavior::Accept]).await;
        let fixture = Fixture::open(&["--mail-uncertain=hold"]).await;
        fixture.receive("ada@example.org").await;
        let postman = fixture.postman(&server);
        fixture.until("emails_uncertain_total{action=\"held\"}", 1).await;
        postman.send(StopSending).await.unwrap();
        let (state, attempts, reason) = fixture.row();
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
        let fixture = Fixture::open(&["--mail-uncertain=hold"]).await;
        fixture.receive("ada@example.org").await;
        fixture.postman(&server);
        fixture.until_sent(1).await;
        assert_eq!(server.accepted().len(), 1);
        assert_eq!(fixture.metric("emails_uncertain_total{action=\"held\"}"), 0, "after {lost:?}");
    }
}

#[actix_rt::test]
async fn an_email_handed_over_before_a_crash_is_declared() {
    for (policy, action, copies) in
        [("--mail-uncertain=resend", "resent", 1), ("--mail-uncertain=hold", "held", 0)]
    {
        let server = SmtpServer::start().await.unwrap();
        let fixture = Fixture::open(&[policy]).await;
        fixture.receive("ada@example.org").await;
        let due = fixture.store.claim(1, Duration::from_secs(60)).await.unwrap().items;
        assert!(fixture.store.hand_over(&due[0]).await.unwrap());
        let fixture = fixture.restarted().await;
        let postman = fixture.postman(&server);
        fixture.until(&format!("emails_uncertain_total{{action=\"{action}\"}}"), 1).await;
        postman.send(StopSending).await.unwrap();
        assert_eq!(server.accepted().len(), copies, "{policy}");
        let (state, attempts, _) = fixture.row();
        let expected = if copies == 1 { ("sent", 2) } else { ("uncertain", 1) };
        assert_eq!((state.as_str(), attempts), expected);
    }
}

#[actix_rt::test]
async fn a_refused_second_copy_leaves_the_first_uncertain() {
    let refused = Behavior::RefuseRecipient("550 no such user");
    let server = scripted(&[Behavior::AcceptAndClose, refused]).await;
    let fixture = Fixture::open(&[]).await;
    fixture.receive("ada@example.org").await;
    let postman = fixture.postman(&server);
    fixture.until("emails_uncertain_total{action=\"held\"}", 1).await;
    postman.send(StopSending).await.unwrap();
    let (state, attempts, reason) = fixture.row();
    assert_eq!((state.as_str(), attempts), ("uncertain", 2));
    assert!(reason.contains("no such user"), "{reason}");
}

#[actix_rt::test]
async fn an_inbox_locked_after_the_answer_makes_no_second_copy() {
    let slow = Behavior::AcceptAfter(Duration::from_millis(300));
    let server = scripted(&[slow, Behavior::Accept]).await;
    let fixture = Fixture::open(&[]).await;
    fixture.receive("ada@example.org").await;
    let postman = fixture.postman(&server);
    // Locked as soon as the content is on its way, until long after its answer.
    while fixture.database.row("SELECT 1 FROM inbox WHERE handed_over = 1").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let locked = fixture.database.lock();
    fixture.until_sent(1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(locked);
    postman.send(StopSending).await.unwrap();
    assert_eq!(fixture.row().0, "sent");
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(fixture.metric("emails_uncertain_total{action=\"resent\"}"), 0);
}
