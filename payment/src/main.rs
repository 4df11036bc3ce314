//! `payment` settles each payment once, over HTTP, and announces it on the broker.

use std::process::ExitCode;

use actix::prelude::*;
use payment::config::Config;
use payment::ledger::Ledger;
use payment::metrics::Metrics;
use payment::publisher::{DrainOutbox, Publisher};
use payment::store::Store;
use payment::{SERVICE, http};
use payment_api::topology;
use secrecy::ExposeSecret;
use service::amqp::Broker;
use service::http::{Admission, Check, KEEP_ALIVE, Probes, Server, healthcheck, serve};
use service::lifecycle;
use telemetry::http::Observer;
use telemetry::{Chain, Observability};

#[actix::main]
async fn main() -> ExitCode {
    lifecycle::report(run(lifecycle::settings(Config::check))).await
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.healthcheck {
        return Ok(healthcheck(config.payment_listen));
    }
    // First: all that is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let registry = observability.registry().clone();
    let metrics = Metrics::register(&registry)?;
    let observer = Observer::register(&registry, &log, &http::ROUTES)?;
    let observability = observability.launch();

    // The path of a payment, far end first: each stage gets the address of the next.
    let store = Store::open(&config.payment_database_url).await?;
    store.register(&registry)?;
    metrics.waiting(store.backlog().await?);
    let broker = Broker::new(config.amqp_url.expose_secret(), topology::DEFINITIONS)?;
    let publisher = Publisher::new(store.clone(), broker, metrics.clone(), &log);
    let connection = publisher.connection();
    let publisher = publisher.start();
    let ledger =
        Ledger::new(store.clone(), config.rules(), publisher.clone().recipient(), metrics, &log).start();
    let health = store.clone();
    let probes = Probes::new(observability.clone())
        .actor("ledger", ledger.clone())
        .actor("publisher", publisher.clone())
        .check("store", move || match health.check() {
            Ok(()) => Check::Ok,
            Err(error) => Check::Failed(Chain(&error).to_string()),
        })
        .check(
            "broker",
            connection.check(Check::Degraded("not connected; events wait in the outbox".to_owned())),
        );
    let server = Server {
        listen: config.payment_listen,
        setting: "PAYMENT_LISTEN",
        // The gateway is its client, and the ledger behind it is one thread, too: more would only wake each other up.
        workers: Some(1),
        max_requests: config.payment_max_in_flight.get(),
        keep_alive: KEEP_ALIVE,
        admission: Admission::unlimited(),
        stop: config.stop_times(),
        observer,
        probes,
    };

    // Until a signal. Then the requests in flight are answered, the outbox is drained, and the last spans leave.
    let mut stopping = serve(server, http::routes(&config, ledger)).await?;
    stopping.finish(publisher.send(DrainOutbox), "the outbox was not drained in time").await;
    if store.pending() > 0 {
        stopping.abandon("events are left in the outbox; they are kept for the next start");
    }
    Ok(stopping.shut_down(&observability).await)
}
