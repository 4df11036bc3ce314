//! Layers of other crates beside those of telemetry: spans and events as text, with a filter that can be reloaded.

use std::error::Error;
use std::time::Duration;

use telemetry::{Observability, Service, Settings};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, fmt, reload};

const SERVICE: Service = Service { name: "layers", version: env!("CARGO_PKG_VERSION") };

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (filter, reload) = reload::Layer::new(LevelFilter::WARN);
    let text = fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let observability = Observability::builder(SERVICE).layer(text).build(&Settings::from_env()?)?;

    tracing::info_span!("work").in_scope(|| tracing::info!("not on stderr yet"));
    reload.reload(LevelFilter::INFO)?;
    tracing::info_span!("work").in_scope(|| tracing::info!("on stderr now"));

    observability.shut_down(Instant::now() + Duration::from_secs(5)).await;
    Ok(())
}
