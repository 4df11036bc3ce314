//! `gateway` takes orders over HTTP and has them paid.

use std::process::ExitCode;

use actix::prelude::*;
use gateway::alert_log::AlertLog;
use gateway::config::Config;
use gateway::limits::Limits;
use gateway::metrics::Metrics;
use gateway::payments::Payments;
use gateway::rate::Rate;
use gateway::{SERVICE, http};
use service::http::{Check, Probes, Server, healthcheck, serve};
use service::lifecycle;
use telemetry::Observability;
use telemetry::http::Observer;

#[actix::main]
async fn main() -> ExitCode {
    lifecycle::report(run(lifecycle::settings(Config::check))).await
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.healthcheck {
        return Ok(healthcheck(config.gateway_listen));
    }
    // First: all that is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let metrics = Metrics::register(observability.registry())?;
    let observer = Observer::register(observability.registry(), &log, &http::ROUTES)?
        .with_incoming(config.gateway_trace_context)
        .with_proxies(config.proxies());
    let observability = observability.launch();

    let payments = Payments::new(&config, &metrics, &log)?;
    let circuit = payments.circuit();
    let payments = payments.start();
    let alert_log = AlertLog::new(&log).start();
    let probes =
        Probes::new(observability.clone()).actor("payments", payments.clone()).check("payment", move || {
            match circuit.is_open() {
                true => Check::Degraded("it does not answer; orders are refused until it does".to_owned()),
                false => Check::Ok,
            }
        });
    let rate = Rate::new(&config, &metrics, &log)?;
    let alone = rate.as_ref().and_then(Rate::circuit);
    let probes = probes.check("rate-limit", move || match &alone {
        Some(circuit) if circuit.is_open() => {
            Check::Degraded("its store does not answer; this gateway limits by itself".to_owned())
        }
        _ => Check::Ok,
    });
    let limits = Limits::new(&config, rate);
    let server = Server {
        listen: config.gateway_listen,
        setting: "GATEWAY_LISTEN",
        workers: None,
        // Bodies that arrive, and orders.
        max_requests: config.gateway_max_in_flight.get().saturating_mul(2),
        keep_alive: config.gateway_keep_alive,
        admission: limits.admission(),
        stop: config.stop_times(),
        observer,
        probes,
    };
    // Until a signal. Then the requests in flight are answered, and the last spans leave.
    let stopping =
        serve(server, http::routes(&config, limits, (payments, alert_log), (metrics, log))).await?;
    Ok(stopping.shut_down(&observability).await)
}
