//! Builds the Observability of a process, with layers of other crates beside its own.

use std::sync::atomic::AtomicU64;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts};
use tracing::Subscriber;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry as SpanRegistry};

use crate::log::{self, Bridge, Logs};
use crate::metrics::{Registry, otlp, register};
use crate::observability::{Observability, Parts};
use crate::pipeline::{self, Encode, Intake, Pipeline, PipelineMetrics, SpoolClient, SpoolSettings};
use crate::resource::{Service, resource};
use crate::settings::Export;
use crate::trace::{self, OpenSpans, QueueProcessor, Tracing};
use crate::{Error, Settings, propagation};

/// A description of an [`Observability`] that is not set up yet; `S` is the registry of spans with the layers so far.
pub struct Builder<S = SpanRegistry> {
    service: Service,
    subscriber: S,
}

impl Observability {
    /// Begins to describe the Observability of `service`.
    pub fn builder(service: Service) -> Builder {
        Builder { service, subscriber: SpanRegistry::default() }
    }

    /// Sets up the three signals of `service` and installs them for this process, without layers of other crates.
    ///
    /// # Errors
    /// See [`Builder::build`].
    pub fn new(service: Service, settings: &Settings) -> Result<Self, Error> {
        Self::builder(service).build(settings)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync + 'static> Builder<S> {
    /// Adds a layer of another crate. It sees every span and event of the process; give it a filter of its own.
    #[must_use]
    pub fn layer<L: Layer<S> + Send + Sync + 'static>(self, layer: L) -> Builder<Layered<L, S>> {
        Builder { service: self.service, subscriber: self.subscriber.with(layer) }
    }

    /// Sets up the three signals and installs them for this process.
    ///
    /// # Errors
    /// When a destination can't be opened, or the self-test of the trace context fails.
    pub fn build(self, settings: &Settings) -> Result<Observability, Error> {
        let Self { service, subscriber } = self;
        let otel = settings.otel();
        let registry = registry(service)?;
        let pipelines = PipelineMetrics::register(&registry)?;
        let resource = resource(service, settings, &otel);
        let spool = spool(service, settings);

        let records =
            start(otel.logs.as_ref(), &spool, &pipelines, |client| pipeline::records(client, &resource))?;
        let Logs { logger: log, levels, lines } =
            log::root(service, settings, &otel, &resource, &registry, records.clone())?;

        let spans =
            start(otel.traces.as_ref(), &spool, &pipelines, |client| pipeline::spans(client, &resource))?;
        let tracing = match &spans {
            Some(intake) => {
                let processor = QueueProcessor(intake.clone());
                Tracing::Recorded(trace::provider(otel.sampler.clone(), resource.clone(), processor))
            }
            None if otel.is_disabled => Tracing::PassedOn,
            None => Tracing::Off,
        };
        let bridge = Bridge::new(log.clone(), levels.clone());
        let open = OpenSpans::default();
        let subscriber = trace::subscriber(service.name, &tracing, open.clone(), bridge, subscriber);
        trace::install(subscriber, &tracing)?;
        otel.propagators.install(settings.baggage_allowed.clone());
        propagation::self_test()?;

        let metrics =
            start(otel.metrics.as_ref(), &spool, &pipelines, |client| Ok(pipeline::requests(client)))?;
        let metrics = metrics.zip(otel.metrics.as_ref()).map(|(intake, export)| {
            otlp::Exporter::new(registry.clone(), &resource, service, otel.is_delta, export.interval, intake)
        });

        for warning in &otel.warnings {
            slog::warn!(log, "setting not supported"; "reason" => warning);
        }
        let outbound = [
            spans.as_ref().map(|intake| intake.outbound().clone()),
            records.as_ref().map(|intake| intake.outbound().clone()),
            metrics.as_ref().map(|exporter| exporter.outbound().clone()),
        ];
        let outbound = outbound.into_iter().flatten().collect();
        let has_spool = !settings.telemetry_spool_dir.as_os_str().is_empty();
        Observability::start(Parts {
            registry,
            log,
            levels,
            lines,
            outbound,
            metrics,
            open,
            has_spool,
            reported: AtomicU64::new(0),
        })
    }
}

/// Starts the pipeline of a signal, if that leaves over OTLP.
fn start<T: Send + 'static>(
    export: Option<&Export>,
    spool: &SpoolSettings,
    metrics: &PipelineMetrics,
    encoder: impl FnOnce(SpoolClient) -> Result<Encode<T>, Error>,
) -> Result<Option<Intake<T>>, Error> {
    export.map(|export| Pipeline::build(export, spool, metrics, encoder)?.start()).transpose()
}

fn registry(service: Service) -> Result<Registry, Error> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let build = Opts::new("build_info", "The service that runs here, and its version; always 1.");
    register(&registry, IntGaugeVec::new(build, &["service", "version"])?)?
        .with_label_values(&[service.name, service.version])
        .set(1);
    Ok(registry)
}

fn spool(service: Service, settings: &Settings) -> SpoolSettings {
    let root = &settings.telemetry_spool_dir;
    SpoolSettings {
        directory: if root.as_os_str().is_empty() { root.clone() } else { root.join(service.name) },
        bytes: settings.telemetry_spool_bytes,
        age: settings.telemetry_spool_age,
    }
}
