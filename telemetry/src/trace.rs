//! Spans: `tracing` and OpenTelemetry's own API on the way in, a pipeline on the way out.
//!
//! ```text
//!  tracing span ─► Registry ─► tracing-opentelemetry ─┐
//!  span of OpenTelemetry's API ───────────────────────┴─► SdkTracer ─► QueueProcessor ─► Pipeline
//! ```

pub(crate) mod open;
mod processor;

pub use open::OpenSpan;
pub(crate) use open::OpenSpans;
pub(crate) use processor::QueueProcessor;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::noop::NoopTracer;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanProcessor};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::Error;
use crate::log::Bridge;

/// Where spans go.
pub(crate) enum Tracing {
    /// To the processor of this provider.
    Recorded(SdkTracerProvider),
    /// Nowhere; a context that comes in is passed on.
    PassedOn,
    /// Nowhere, and spans cost nothing.
    Off,
}

/// The provider that hands ended spans to `processor`.
pub(crate) fn provider(
    sampler: Sampler,
    resource: Resource,
    processor: impl SpanProcessor + 'static,
) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_resource(resource)
        .with_span_processor(processor)
        .build()
}

/// A subscriber that the layers of this crate can be added to.
pub(crate) trait Base: Subscriber + for<'span> LookupSpan<'span> + Send + Sync + 'static {}

impl<S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync + 'static> Base for S {}

/// The subscriber of the process, or of a test: the layers of this crate on `base`.
///
/// An `Option` of a layer would switch events off while it is `None`, so that each case has a type of its own.
pub(crate) fn subscriber(
    scope: &'static str,
    tracing: &Tracing,
    open: OpenSpans,
    bridge: Bridge,
    base: impl Base,
) -> Dispatch {
    match tracing {
        Tracing::Recorded(provider) => {
            // Behind one filter: a second one would cost each span as much as the list.
            let spans = layer(provider.tracer(scope)).and_then(open).with_filter(span_filter());
            Dispatch::new(base.with(spans).with(bridge.into_layer()))
        }
        Tracing::PassedOn => {
            let spans = layer(NoopTracer::new()).with_filter(span_filter());
            Dispatch::new(base.with(spans).with(bridge.into_layer()))
        }
        Tracing::Off => Dispatch::new(base.with(bridge.into_layer())),
    }
}

/// Makes `subscriber` that of the process, and `provider` that of OpenTelemetry's API.
pub(crate) fn install(subscriber: Dispatch, tracing: &Tracing) -> Result<(), Error> {
    tracing::dispatcher::set_global_default(subscriber).map_err(|_| Error::AlreadyInstalled)?;
    tracing_log::LogTracer::init().map_err(|_| Error::AlreadyInstalled)?;
    if let Tracing::Recorded(provider) = tracing {
        opentelemetry::global::set_tracer_provider(provider.clone());
    }
    Ok(())
}

/// Attributes about the code and the thread would be on every span, and cost more than the rest of it. Events become
/// log lines, and no events of their span.
fn layer<S, T>(tracer: T) -> impl Layer<S>
where
    S: Base,
    T: opentelemetry::trace::Tracer + Send + Sync + 'static,
    T::Span: Send + Sync,
{
    OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// Spans from `INFO` up, and no event.
fn span_filter() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    // lapin keeps a span open for as long as it is connected, and opentelemetry must not trace itself.
    let targets = Targets::new().with_default(LevelFilter::INFO);
    let targets =
        targets.with_target("lapin", LevelFilter::OFF).with_target("opentelemetry", LevelFilter::OFF);
    filter_fn(move |metadata| metadata.is_span() && targets.would_enable(metadata.target(), metadata.level()))
        .with_max_level_hint(LevelFilter::INFO)
}
