//! The smallest axum service that is observed: no actix, no clap, server spans by another crate.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use telemetry::metrics::Format;
use telemetry::{Observability, Service, Settings, slog};
use tokio::net::TcpListener;
use tokio::time::Instant;

const SERVICE: Service = Service { name: "greeter", version: env!("CARGO_PKG_VERSION") };

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let observability = Observability::new(SERVICE, &Settings::from_env()?)?;
    let (log, gathered) = (observability.log(), observability.clone());
    let hello = async move |Path(name): Path<String>| {
        slog::info!(log, "greeting"; "name.length" => name.len());
        format!("Hello, {name}!\n")
    };
    let metrics = async move || gathered.gather(Format::Text).map_err(|error| error.to_string());
    let app = Router::new()
        .route("/hello/{name}", get(hello))
        .layer(OtelInResponseLayer)
        .layer(OtelAxumLayer::default())
        .route("/metrics", get(metrics));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(TcpListener::bind(address).await?, app).with_graceful_shutdown(interrupted).await?;

    // Last: the spans and lines of the final requests leave, too.
    observability.shut_down(Instant::now() + Duration::from_secs(5)).await;
    Ok(())
}
