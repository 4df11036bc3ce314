//! Spans: `tracing` on the way in, a pipeline on the way out.

mod recording;
mod spans;
mod subscriber;
mod template;
#[cfg(test)]
mod tests;
mod tracer;
mod wanted;

pub(crate) use recording::{Carried, Recording, tracestate};
pub(crate) use subscriber::TelemetrySubscriber;
pub(crate) use tracer::Tracer;
pub(crate) use wanted::Wanted;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::Resource;
use tracing::level_filters::LevelFilter;
use tracing::span::Id;
use tracing::{Dispatch, Span};
use tracing_subscriber::filter::Targets;

use crate::log::Bridge;
use crate::pipeline::{Intake, Options, Pipeline, PipelineMetrics, Signal};
use crate::settings::Exporter;
use crate::{Error, Service, Settings, clock};

/// Installs the subscriber of the process and starts the pipeline behind it.
///
/// With `OTEL_TRACES_EXPORTER=none` there is no pipeline, and spans cost nothing.
pub(crate) fn install(
    service: Service,
    settings: &Settings,
    resource: &Resource,
    metrics: &PipelineMetrics,
    bridge: Bridge,
) -> Result<Option<Intake>, Error> {
    let pipeline = match settings.export.otel_traces_exporter {
        Exporter::None => None,
        Exporter::Otlp => Some(pipeline(service, settings, resource, metrics)?),
    };
    let tracer = pipeline.as_ref().map(Pipeline::intake).map(|intake| {
        // Written on the thread on which the span ends: what is written survives the process.
        Tracer::new(settings.sampler(), move |span| {
            intake.push(0, |item| span.write(item, clock::now()));
        })
    });
    let recorded = if tracer.is_some() { recorded() } else { Targets::new() };
    let wanted = Wanted::new(recorded, settings.log_level.clone());
    let subscriber = TelemetrySubscriber { tracer, bridge: Some(bridge), wanted };
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

/// What is recorded of a span; `None` where nobody records. Whoever asks must not trace or log: the span is locked.
pub(crate) fn of<T>(span: &Span, ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    let ask = |(id, dispatch): (&Id, &Dispatch)| {
        if dispatch.is::<TelemetrySubscriber>() { spans::with(id, ask) } else { None }
    };
    span.with_subscriber(ask).flatten()
}

/// What is recorded of the span that is current on this thread, on the same terms.
pub(crate) fn here<T>(ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    spans::with(&spans::current()?, ask)
}

/// Trace and span id of the span that is current on this thread.
pub(crate) fn current() -> Option<SpanContext> {
    here(|recording| recording.carried.ids.clone())
}

/// Makes `parent` that of `span`; an empty one makes it the root of a trace.
pub(crate) fn adopt(span: &Span, parent: Carried) {
    span.with_subscriber(|(id, dispatch)| {
        let tracer = dispatch.downcast_ref::<TelemetrySubscriber>()?.tracer.as_ref()?;
        spans::with(id, |recording| tracer.adopt(recording, parent))
    });
}
