//! A file with many settled orders.

use std::time::Instant;

use super::*;

const ORDERS: u64 = 200_000;
const MAX_START: Duration = Duration::from_secs(2);

#[actix_rt::test]
async fn many_orders_delay_no_start_and_no_statement_scans_them() {
    let database = TestDatabase::sqlite();
    drop(Store::open(&database.url).await.unwrap());
    database.execute(&testkit::growth::payments(ORDERS)).await;

    let begun = Instant::now();
    let store = Store::open(&database.url).await.unwrap();
    assert!(begun.elapsed() < MAX_START, "{:?}", begun.elapsed());
    assert_eq!(store.backlog().await.unwrap().pending, 0);

    let of_orders =
        [rows::FIND, settle::FIND_BY_KEY, settle::TAKE_KEY, settle::INSERT_PAYMENT, settle::INSERT_EVENT];
    let all = of_orders.map(str::to_owned).into_iter().chain(store.outbox.statements());
    for statement in all.chain([store.keys.statement().clone()]) {
        assert_eq!(database.scans(&statement), [""; 0], "{statement}");
    }
    assert_ne!(database.scans("SELECT * FROM payments WHERE trace_id = $1"), [""; 0], "scans are seen");
}
