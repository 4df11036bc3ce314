//! `mailer` turns payment events into e-mails, one for each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::prelude::*;
use futures_util::future::join;
use mailer::config::Config;
use mailer::consumer::{self, Consumer};
use mailer::dead_letters::DeadLetters;
use mailer::metrics::Metrics;
use mailer::postman::{self, Postman};
use mailer::store::Store;
use mailer::transport::Transport;
use mailer::{SERVICE, http};
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
        return Ok(healthcheck(config.mailer_listen));
    }
    // Sight first: whatever is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let metrics = Metrics::register(observability.registry())?;
    let observer = Observer::register(observability.registry(), &log, &http::ROUTES)?;
    let observability = observability.launch();

    // The path of an event, far end first: each stage is given the address of the next.
    let store = Store::open(&config.mailer_database_url).await?;
    metrics.inbox_queued.set(store.queued().await?);
    let transport = Transport::new(config.smtp_url.as_ref(), config.mail_dir.clone())?;
    let postman = Postman::new(&config, store.clone(), transport, metrics.clone(), &log).start();
    let broker = Arc::new(Broker::new(config.amqp_url.expose_secret())?);
    let dead_letters =
        DeadLetters::new(store.clone(), broker.clone(), postman.clone().recipient(), &log).start();
    let consumer = Consumer::new(broker, store, postman.clone().recipient(), metrics, &log);
    let connected = consumer.connected();
    let consumer = consumer.start();
    let probes = Probes::new(observability.clone())
        .actor("consumer", consumer.clone())
        .actor("postman", postman.clone())
        .check("broker", move || match connected.load(Ordering::Relaxed) {
            true => Check::Ok,
            false => Check::Failed("not connected; events wait with the broker".to_owned()),
        });
    let server = http::serve(&config, (dead_letters, postman.clone()), observer.clone(), probes)?;
    slog::info!(log, "listening"; "server.address" => %config.mailer_listen);

    // Until a signal. Then nothing new is taken, what is under way is finished, and the last spans leave.
    let mut stopping = lifecycle::serve(server, &observer, config.shutdown_deadline).await?;
    // Both at once: a broker that does not answer must not keep the postman sending.
    let stopped = join(consumer.send(consumer::Stop), postman.send(postman::Stop));
    stopping.finish(stopped, "not everything was finished in time; it is kept for the next start").await;
    Ok(stopping.shut_down(&observability).await)
}
