//! The circuit breaker: without payment, orders are refused at once, and the first order after its return succeeds.

use std::time::{Duration, Instant};

use stacks::local::layout::Component::{Gateway, Payment};
use testkit::wait::eventually;

use crate::harness::System;

const OPEN: &str = "circuit_breaker_open";

#[tokio::test]
async fn an_open_breaker_refuses_orders_until_payment_returns() {
    let mut system = System::start().await;
    system.place().await;
    assert_eq!(system.metrics(Gateway).await.get(OPEN), 0.0);
    assert_eq!(system.get(Gateway, "/readyz").await.body["checks"]["payment"], "ok");

    system.kill(Payment);
    eventually("the breaker to open", async || {
        system.post(&[], None).await.assert_problem(503, "/problems/unavailable", "no payment service");
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
    // Without the breaker, each would retry for 300 ms.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let ready = system.get(Gateway, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body["checks"]["payment"].as_str().unwrap().starts_with("degraded: "), "{ready:?}");

    system.restart(Payment).await;
    let returned = Instant::now();
    eventually("an order to be placed", async || match system.post(&[], None).await.status {
        201 => Ok(()),
        status => Err(format!("{status}")),
    })
    .await;
    assert!(returned.elapsed() < Duration::from_secs(2), "the breaker closed after {:?}", returned.elapsed());
    assert_eq!(system.metrics(Gateway).await.get(OPEN), 0.0);
}
