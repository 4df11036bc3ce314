//! The smallest consumer of a queue that is observed in full: each message is a span in the trace of its publisher.

use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt;
use lapin::{Connection, ConnectionProperties};
use telemetry::amqp::{Destination, context_of, process_span, since_publish};
use telemetry::metrics::Durations;
use telemetry::{Observability, Service, Settings, Shutdown, slog};
use tracing::Instrument;

const SERVICE: Service = Service { name: "reader", version: env!("CARGO_PKG_VERSION") };
const QUEUE: &str = "parcels";

#[derive(Parser)]
struct Config {
    #[arg(long, env, default_value = "amqp://guest:guest@localhost:5672/%2f", hide_env_values = true)]
    amqp_url: String,
    #[command(flatten)]
    telemetry: Settings,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::parse();
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let (log, registry) = (observability.log(), observability.registry());
    let wait = Durations::register(registry, ("messaging_queue_wait_seconds", "Time in the queue."), [])?;
    let work = Durations::register(registry, ("messaging_process_duration_seconds", "Time of work."), [])?;
    let observability = observability.launch();

    let connection = Connection::connect(&config.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_declare(QUEUE.into(), Default::default(), Default::default()).await?;
    let options = Default::default();
    let deliveries = channel.basic_consume(QUEUE.into(), "".into(), options, Default::default()).await?;
    let mut deliveries = deliveries.take_until(Box::pin(tokio::signal::ctrl_c()));
    while let Some(Ok(delivery)) = deliveries.next().await {
        let (started, headers) = (Instant::now(), delivery.properties.headers().as_ref());
        let (exchange, routing_key) = (delivery.exchange.as_str(), delivery.routing_key.as_str());
        let span = process_span(&context_of(headers), Destination { exchange, routing_key }, QUEUE, "");
        let handled = async {
            wait.observe([], since_publish(headers).unwrap_or_default());
            slog::info!(log, "message received"; "message.size" => delivery.data.len());
            work.observe([], started.elapsed());
            delivery.acker.ack(Default::default()).await
        };
        handled.instrument(span).await?;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    observability.send(Shutdown { deadline }).await?;
    Ok(())
}
