//! Spans: `tracing` on the way in, a pipeline on the way out.

mod encoder;
mod spans;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, prelude::*};

use self::encoder::Encoder;
use self::spans::Spans;
use crate::log::BridgeLayer;
use crate::pipeline::{Intake, Options, Pipeline, PipelineMetrics, Signal};
use crate::settings::Exporter;
use crate::{Error, Service, Settings};

/// Installs the subscriber of the process and starts the pipeline behind it.
///
/// With `OTEL_TRACES_EXPORTER=none` there is no pipeline, and spans cost nothing.
pub(crate) fn install(
    service: Service,
    settings: &Settings,
    resource: Resource,
    metrics: &PipelineMetrics,
    bridge: BridgeLayer,
) -> Result<Option<(SdkTracerProvider, Intake)>, Error> {
    // What is below `log_level` would be refused by the logger anyway; this spares formatting it.
    let events = bridge.with_filter(settings.log_level.clone());
    let (processor, pipeline) = match settings.export.otel_traces_exporter {
        Exporter::None => (None, None),
        Exporter::Otlp => {
            let (encoder, encoded) = Encoder::new(&resource, service.name)?;
            let pipeline = pipeline(service, settings, encoded, metrics)?;
            (Some(Spans { encoder, intake: pipeline.intake() }), Some(pipeline))
        }
    };
    let provider = processor.map(|processor| {
        SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(settings.sampler())
            .with_span_processor(processor)
            .build()
    });
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
    let Some((provider, pipeline)) = provider.zip(pipeline) else { return Ok(None) };
    crate::propagation::self_test()?;
    let intake = pipeline.intake();
    pipeline.start("telemetry-spans")?;
    Ok(Some((provider, intake)))
}

fn pipeline(
    service: Service,
    settings: &Settings,
    resource: Vec<u8>,
    metrics: &PipelineMetrics,
) -> Result<Pipeline, Error> {
    let export = &settings.export;
    let options = Options {
        signal: Signal::Traces,
        resource,
        uris: export.traces_destinations(),
        queue: export.otel_bsp_max_queue_size,
        batch: export.otel_bsp_max_export_batch_size,
        schedule_delay: export.otel_bsp_schedule_delay,
    };
    Pipeline::build(service, options, export, metrics)
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
pub(crate) fn resource(service: Service, settings: &Settings) -> Resource {
    Resource::builder()
        .with_attributes([
            KeyValue::new("service.name", service.name),
            KeyValue::new("service.version", service.version),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
            KeyValue::new("deployment.environment.name", settings.deployment_environment.clone()),
        ])
        .build()
}
