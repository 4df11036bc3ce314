//! Payment is away: orders are refused at once, operators are told, and the first moment it is back is noticed.

use std::time::{Duration, Instant};

use stacks::local::layout::Component::{Gateway, Payment};
use testkit::wait::eventually;

use crate::harness::System;

const OPEN: &str = "circuit_breaker_open";

#[tokio::test]
async fn while_payment_is_away_orders_are_refused_at_once_and_placed_as_soon_as_it_is_back() {
    let mut system = System::start().await;
    system.place().await;
    assert_eq!(system.metrics(Gateway).await.get(OPEN), 0.0);
    assert_eq!(system.get(Gateway, "/readyz").await.body["checks"]["payment"], "ok");

    system.kill(Payment);
    eventually("the breaker to open", async || {
        system.post(&[], None).await.assert_problem(503, "/problems/unavailable", "payment is away");
        let open = system.metrics(Gateway).await.get(OPEN);
        if open == 1.0 { Ok(()) } else { Err(format!("{OPEN} is {open}")) }
    })
    .await;
    let begun = Instant::now();
    for _ in 0..20 {
        let refused = system.post(&[], None).await;
        refused.assert_problem(503, "/problems/unavailable", "the breaker is open");
        assert_eq!(refused.header("retry-after"), "1");
    }
    // Each by itself would have tried for 300 ms.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let ready = system.get(Gateway, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body["checks"]["payment"].as_str().unwrap().starts_with("degraded: "), "{ready:?}");

    system.restart(Payment).await;
    let back = Instant::now();
    eventually("an order to be placed", async || match system.post(&[], None).await.status {
        201 => Ok(()),
        status => Err(format!("{status}")),
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(2), "noticed after {:?}", back.elapsed());
    assert_eq!(system.metrics(Gateway).await.get(OPEN), 0.0);
}
