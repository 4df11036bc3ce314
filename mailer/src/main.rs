//! `mailer` turns payment events into e-mails, one for each.

use std::process::ExitCode;
use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::join;
use mailer::config::Config;
use mailer::consumer::{Consumer, StopConsuming};
use mailer::dead_letters::DeadLetters;
use mailer::metrics::Metrics;
use mailer::postman::{MAX_IN_FLIGHT, Postman, StopSending};
use mailer::store::Store;
use mailer::transport::Transport;
use mailer::{SERVICE, http};
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
        return Ok(healthcheck(config.mailer_listen));
    }
    // First: all that is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let registry = observability.registry().clone();
    let metrics = Metrics::register(&registry)?;
    let observer = Observer::register(&registry, &log, &http::ROUTES)?;
    let observability = observability.launch();

    // The path of an event, far end first: each stage gets the address of the next.
    let store = Store::open(&config.mailer_database_url).await?;
    store.register(&registry)?;
    metrics.inbox_queued.set(store.backlog().await?.pending);
    let transport = Transport::new(config.smtp_url.as_ref(), config.mail_dir.clone())?;
    let postman = Postman::new(&config, store.clone(), transport, metrics.clone(), &log).start();
    let broker = Arc::new(Broker::new(config.amqp_url.expose_secret(), topology::DEFINITIONS)?);
    let dead_letters =
        DeadLetters::new(&config, store.clone(), broker.clone(), postman.clone().recipient(), &log).start();
    let consumer = Consumer::new(broker, store.clone(), postman.clone().recipient(), metrics, &log);
    let connection = consumer.connection();
    let consumer = consumer.start();
    let probes = Probes::new(observability.clone())
        .actor("consumer", consumer.clone())
        .actor("postman", postman.clone())
        .check("store", move || match store.check() {
            Ok(()) => Check::Ok,
            Err(error) => Check::Failed(Chain(&error).to_string()),
        })
        .check(
            "broker",
            connection.check(Check::Failed("not connected; events wait with the broker".to_owned())),
        );
    let server = Server {
        listen: config.mailer_listen,
        setting: "MAILER_LISTEN",
        workers: Some(1),
        // Each of them has a connection to the mail server.
        max_requests: MAX_IN_FLIGHT,
        keep_alive: KEEP_ALIVE,
        admission: Admission::unlimited(),
        stop: config.stop_times(),
        observer,
        probes,
    };

    // Until a signal. Then no more is taken, the attempts in flight are finished, and the last spans leave.
    let mut stopping = serve(server, http::routes(&config, dead_letters, postman.clone())).await?;
    // Both at once: a broker that does not answer must not delay the postman.
    let stopped = join(consumer.send(StopConsuming), postman.send(StopSending));
    stopping
        .finish(stopped, "deliveries or e-mails were not finished in time; they are kept for the next start")
        .await;
    Ok(stopping.shut_down(&observability).await)
}
