//! Spans: `tracing` on the way in, a pipeline on the way out.

mod layer;
mod recording;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use layer::{SpanLayer, adopt, current, here, of};
pub(crate) use recording::{Recording, tracestate};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterFn, Targets, filter_fn};
use tracing_subscriber::prelude::*;

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
    resource: &Resource,
    metrics: &PipelineMetrics,
    bridge: BridgeLayer,
) -> Result<Option<Intake>, Error> {
    let pipeline = match settings.export.otel_traces_exporter {
        Exporter::None => None,
        Exporter::Otlp => Some(pipeline(service, settings, resource, metrics)?),
    };
    let spans = pipeline.as_ref().map(Pipeline::intake).map(|intake| {
        // Written on the thread on which the span ends: what is written survives the process.
        SpanLayer::new(settings.sampler(), move |span| intake.push(0, |item| span.write(item)))
    });
    let recorded = if spans.is_some() { recorded() } else { Targets::new() };
    let wanted = wanted(recorded, settings.log_level.clone());
    let subscriber = tracing_subscriber::registry().with(spans).with(bridge).with(wanted);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyInstalled)?;
    tracing_log::LogTracer::init().map_err(|_| Error::AlreadyInstalled)?;
    let Some(pipeline) = pipeline else { return Ok(None) };
    crate::propagation::self_test()?;
    let intake = pipeline.intake();
    pipeline.start("telemetry-spans")?;
    Ok(Some(intake))
}

fn pipeline(
    service: Service,
    settings: &Settings,
    resource: &Resource,
    metrics: &PipelineMetrics,
) -> Result<Pipeline, Error> {
    let export = &settings.export;
    let options = Options {
        signal: Signal::Traces,
        template: template::template(resource, service.name)?,
        uris: export.traces_destinations(),
        queue: export.otel_bsp_max_queue_size,
        batch: export.otel_bsp_max_export_batch_size,
        schedule_delay: export.otel_bsp_schedule_delay,
    };
    Pipeline::build(service, options, export, metrics)
}

/// Spans and events that somebody wants. One filter for all layers, because one for each is asked whenever a span is
/// entered.
fn wanted(spans: Targets, events: Targets) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    let levels = [&spans, &events].map(|targets| {
        targets
            .iter()
            .map(|(_, level)| level)
            .chain(targets.default_level())
            .max()
            .unwrap_or(LevelFilter::OFF)
    });
    // Whatever is below is refused before anybody looks for the callsite that it comes from.
    let most = levels.into_iter().max().unwrap_or(LevelFilter::OFF);
    filter_fn(move |metadata| {
        let targets = if metadata.is_span() { &spans } else { &events };
        targets.would_enable(metadata.target(), metadata.level())
    })
    .with_max_level_hint(most)
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
