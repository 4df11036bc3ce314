//! Spans: `tracing` on the way in, a bounded queue, batches over OTLP/HTTP on the way out.

mod delivery;
mod pipeline;

pub(crate) use pipeline::{Pipeline, PipelineHandle};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, prelude::*};

use crate::log::BridgeLayer;
use crate::metrics::PipelineMetrics;
use crate::settings::TracesExporter;
use crate::{Error, Service, Settings};

/// Installs the subscriber of the process and builds the pipeline behind it.
///
/// With `OTEL_TRACES_EXPORTER=none` there is no pipeline, and spans cost nothing.
pub(crate) fn install(
    service: Service,
    settings: &Settings,
    metrics: &PipelineMetrics,
    bridge: BridgeLayer,
) -> Result<(Option<SdkTracerProvider>, Option<Pipeline>), Error> {
    // What is below `log_level` would be refused by the logger anyway; this spares formatting it.
    let events = bridge.with_filter(settings.log_level.clone());
    let (provider, pipeline) = match settings.otel_traces_exporter {
        TracesExporter::None => (None, None),
        TracesExporter::Otlp => {
            let resource = resource(service, settings);
            let (pipeline, processor) = Pipeline::build(settings, &resource, metrics)?;
            let provider = SdkTracerProvider::builder()
                .with_resource(resource)
                .with_sampler(settings.sampler())
                .with_span_processor(processor)
                .build();
            (Some(provider), Some(pipeline))
        }
    };
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service.name))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(recorded())
    });
    let subscriber = tracing_subscriber::registry().with(spans).with(events);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyInstalled)?;
    tracing_log::LogTracer::init().map_err(|_| Error::AlreadyInstalled)?;
    if provider.is_some() {
        crate::propagation::self_test()?;
    }
    Ok((provider, pipeline))
}

/// lapin keeps a span open for as long as it is connected, and opentelemetry must not trace itself.
fn recorded() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("lapin", LevelFilter::OFF)
        .with_target("opentelemetry", LevelFilter::OFF)
}

/// Who speaks. The SDK adds what `OTEL_RESOURCE_ATTRIBUTES` names; the four here go before it, because a name
/// that differs from the one in logs and metrics would cut the signals apart.
fn resource(service: Service, settings: &Settings) -> Resource {
    Resource::builder()
        .with_attributes([
            KeyValue::new("service.name", service.name),
            KeyValue::new("service.version", service.version),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
            KeyValue::new("deployment.environment.name", settings.deployment_environment.clone()),
        ])
        .build()
}
