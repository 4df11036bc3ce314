//! A supervised connection to a real broker: its link is replaced when it is lost, and its state is shown.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use service::amqp::{Broker, BrokerError, Connection, Link};
use service::http::Check;
use slog::{Discard, Logger, o};
use testkit::rabbitmq::VirtualHost;
use testkit::wait::eventually;

const NO_TOPOLOGY: &str = r#"{"exchanges": [], "queues": [], "bindings": []}"#;

fn open<T: Clone + 'static>(
    vhost: &VirtualHost,
    prepare: impl AsyncFn(&Link) -> Result<T, BrokerError> + 'static,
) -> Connection<T> {
    let broker = Broker::new(&vhost.amqp_url(), NO_TOPOLOGY).unwrap();
    Connection::open(Arc::new(broker), "test", prepare, &Logger::root(Discard, o!()))
}

async fn until(gauge: &IntGauge, value: i64) {
    eventually(&format!("the gauge to be {value}"), async || {
        let now = gauge.get();
        if now == value { Ok(()) } else { Err(format!("it is {now}")) }
    })
    .await;
}

#[actix_rt::test]
async fn a_lost_link_is_replaced_once_the_broker_is_back() {
    let vhost = VirtualHost::create().await;
    let connection = open(&vhost, async |_| Ok(()));
    let gauge = IntGauge::new("connected", "test").unwrap();
    connection.show_in(gauge.clone());
    let check = connection.check(Check::Failed("down".to_owned()));
    until(&gauge, 1).await;
    assert_eq!(check(), Check::Ok);
    assert!(connection.link().await.is_some());

    vhost.remove().await;
    until(&gauge, 0).await;
    assert_eq!(check(), Check::Failed("down".to_owned()));

    vhost.restore().await;
    until(&gauge, 1).await;
    assert_eq!(check(), Check::Ok);

    connection.close().await;
    assert!(connection.link().await.is_none() && connection.next().await.is_none());
    until(&gauge, 0).await;
}

#[actix_rt::test]
async fn a_link_that_is_given_up_is_replaced_by_another() {
    let vhost = VirtualHost::create().await;
    let connection = open(&vhost, async |_| Ok(()));
    let (first, ()) = connection.next().await.unwrap();
    first.give_up();
    let next = tokio::time::timeout(Duration::from_secs(20), connection.next());
    let (second, ()) = next.await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    connection.close().await;
}

#[actix_rt::test]
async fn a_link_that_is_not_prepared_is_not_handed_out() {
    let vhost = VirtualHost::create().await;
    let attempts = Cell::new(0);
    let connection = open(&vhost, async move |_| {
        attempts.set(attempts.get() + 1);
        if attempts.get() == 1 { Err(BrokerError::Interrupted) } else { Ok(attempts.get()) }
    });
    assert!(connection.link().await.is_none());
    assert_eq!(connection.next().await.unwrap().1, 2);
    connection.close().await;
}
