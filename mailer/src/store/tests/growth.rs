//! A file with many e-mails that were sent.

use std::time::Instant;

use super::*;

const ORDERS: u64 = 200_000;
const MAX_START: Duration = Duration::from_secs(2);

#[actix_rt::test]
async fn many_emails_delay_no_start_and_no_statement_scans_them() {
    let database = TestDatabase::sqlite();
    drop(reopen(&database).await);
    database.execute(&testkit::growth::emails(ORDERS)).await;

    let begun = Instant::now();
    let inbox = reopen(&database).await;
    assert!(begun.elapsed() < MAX_START, "{:?}", begun.elapsed());
    assert_eq!(inbox.backlog().await.unwrap().pending, 0);

    let attempts = [attempts::HAND_OVER, attempts::SENT, attempts::RETRY, attempts::DEAD, attempts::HELD];
    let of_dead_letters = [
        dead_letters::LIST,
        dead_letters::FIND,
        dead_letters::FORGET,
        dead_letters::REPLAY,
        dead_letters::DISCARD,
    ];
    let of_emails = [receive::INSERT].into_iter().chain(of_dead_letters).chain(attempts);
    // An e-mail is finished by its event, never all of a lease at once.
    let of_queue = inbox.inbox.statements().into_iter().filter(|sql| !sql.ends_with("WHERE lease = $2"));
    for statement in of_emails.map(str::to_owned).chain(of_queue) {
        assert_eq!(database.scans(&statement), [""; 0], "{statement}");
    }
    assert_ne!(database.scans("SELECT * FROM inbox WHERE order_id = $1"), [""; 0], "scans are seen");
}
