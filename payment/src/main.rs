//! `payment` settles payments over HTTP, each once, and announces them on the broker.

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use actix::prelude::*;
use payment::config::Config;
use payment::ledger::Ledger;
use payment::metrics::Metrics;
use payment::publisher::{Drain, Publisher};
use payment::store::Store;
use payment::{SERVICE, http};
use payment_api::broker::Broker;
use secrecy::ExposeSecret;
use telemetry::http::{Check, Observer, Probes, healthcheck};
use telemetry::{Observability, lifecycle};

#[actix::main]
async fn main() -> ExitCode {
    lifecycle::report(run(lifecycle::settings(Config::check)).await)
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.telemetry.healthcheck {
        return Ok(healthcheck(config.payment_listen));
    }
    // Sight first: whatever is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let metrics = Metrics::register(observability.registry())?;
    let observer = Observer::register(observability.registry(), &log, &http::ROUTES)?;
    let observability = observability.launch();

    // The path of a payment, far end first: each stage is given the address of the next.
    let store = Store::open(&config.payment_database_url).await?;
    metrics.waiting(store.backlog().await?);
    let broker = Broker::new(config.amqp_url.expose_secret())?;
    let publisher = Publisher::new(store.clone(), broker, metrics.clone(), &log);
    let connected = publisher.connected();
    let publisher = publisher.start();
    let ledger =
        Ledger::new(store, config.rules(), publisher.clone().recipient(), metrics.clone(), &log).start();
    let probes = Probes::new(observability.clone())
        .actor("ledger", ledger.clone())
        .actor("publisher", publisher.clone())
        .check("broker", move || match connected.load(Ordering::Relaxed) {
            true => Check::Ok,
            false => Check::Degraded("not connected; events wait in the outbox".to_owned()),
        });
    let server = http::serve(&config, ledger, observer.clone(), probes)?;
    slog::info!(log, "listening"; "server.address" => %config.payment_listen);

    // Until a signal. Then what is in flight is answered, the outbox drained, and the last spans leave.
    let mut stopping = lifecycle::serve(server, &observer, config.shutdown_deadline).await?;
    stopping.finish(publisher.send(Drain), "the outbox was not drained in time").await;
    if metrics.outbox_pending.get() > 0 {
        stopping.abandon("events are left in the outbox; they are kept for the next start");
    }
    Ok(stopping.shut_down(&observability).await)
}
