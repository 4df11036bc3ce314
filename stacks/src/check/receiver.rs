//! An OTLP receiver that compares all that arrives with the registry, with the types that a backend would not keep.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
};
use prost::{DecodeError, Message};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::registry::{Point, Registry, Source, model::Instrument};

/// Bytes of a request: as many as a pipeline sends at once, and more.
const MAX_REQUEST: usize = 64 << 20;

/// What has arrived.
#[derive(Default)]
pub(super) struct Received {
    registry: Registry,
    /// Service, kind and name of each span.
    pub(super) spans: BTreeSet<(String, String, String)>,
    /// Services with metrics.
    pub(super) measured: BTreeSet<String>,
    /// Texts of log records.
    pub(super) messages: BTreeSet<String>,
    /// Where it differs from the registry.
    pub(super) deviations: BTreeSet<String>,
}

/// A receiver that runs until it is dropped.
pub(super) struct Receiver {
    /// The URL for services.
    pub(super) url: String,
    received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a free port.
    pub(super) async fn start(registry: Registry) -> Result<Self> {
        let received = Arc::new(Mutex::new(Received { registry, ..Received::default() }));
        let pages = Router::new()
            .route("/v1/traces", post(take::<ExportTraceServiceRequest>))
            .route("/v1/logs", post(take::<ExportLogsServiceRequest>))
            .route("/v1/metrics", post(take::<ExportMetricsServiceRequest>))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for OTLP")?;
        let url = format!("http://{}", listener.local_addr().context("cannot listen for OTLP")?);
        let task = tokio::spawn(async move {
            // It serves until the task is aborted.
            let _ = axum::serve(listener, pages).await;
        });
        Ok(Self { url, received, task })
    }

    /// What has arrived so far.
    pub(super) fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take<T: Signal>(
    State(received): State<Arc<Mutex<Received>>>,
    body: Bytes,
) -> Result<(), StatusCode> {
    let request = T::decode(body).map_err(|_: DecodeError| StatusCode::BAD_REQUEST)?;
    request.compare(&mut received.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

/// A request of one signal.
trait Signal: Message + Default {
    fn compare(self, received: &mut Received);
}

impl Signal for ExportTraceServiceRequest {
    fn compare(self, received: &mut Received) {
        for of_resource in self.resource_spans {
            let service = received.service(of_resource.resource);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_ascii_lowercase();
                let attributes = object(&span.attributes);
                let found = received.registry.span((&service, &kind, &span.name), &attributes, Source::Exact);
                received.deviations.extend(found);
                received.spans.insert((service.clone(), kind, span.name));
            }
        }
    }
}

impl Signal for ExportLogsServiceRequest {
    fn compare(self, received: &mut Received) {
        for of_resource in self.resource_logs {
            let service = received.service(of_resource.resource);
            for record in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let message = record.body.as_ref().map(json).unwrap_or_default();
                let message = message.as_str().unwrap_or_default();
                let mut fields = object(&record.attributes);
                fields.insert("log.level".into(), record.severity_text.clone().into());
                let found = received.registry.line(&service, message, &fields, Source::Exact);
                received.deviations.extend(found);
                received.messages.insert(message.to_owned());
            }
        }
    }
}

impl Signal for ExportMetricsServiceRequest {
    fn compare(self, received: &mut Received) {
        for of_resource in self.resource_metrics {
            let service = received.service(of_resource.resource);
            for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let found: Vec<String> =
                    points(&metric).flat_map(|point| received.registry.point(&service, &point)).collect();
                received.deviations.extend(found);
            }
            received.measured.insert(service);
        }
    }
}

impl Received {
    /// The service of a resource, which is compared, too.
    fn service(&mut self, resource: Option<Resource>) -> String {
        let attributes = object(&resource.unwrap_or_default().attributes);
        let service = attributes.get("service.name").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        self.deviations.extend(self.registry.resource(&service, &attributes));
        service
    }
}

fn points(metric: &Metric) -> impl Iterator<Item = Point> + use<'_> {
    let (instrument, attributes): (_, Vec<&[KeyValue]>) = match &metric.data {
        Some(Data::Sum(sum)) => {
            let instrument = if sum.is_monotonic { Instrument::Counter } else { Instrument::UpDownCounter };
            (Some(instrument), sum.data_points.iter().map(|point| &point.attributes[..]).collect())
        }
        Some(Data::Gauge(gauge)) => {
            (Some(Instrument::Gauge), gauge.data_points.iter().map(|point| &point.attributes[..]).collect())
        }
        Some(Data::Histogram(histogram)) => {
            let attributes = histogram.data_points.iter().map(|point| &point.attributes[..]);
            (Some(Instrument::Histogram), attributes.collect())
        }
        _ => (None, vec![&[]]),
    };
    attributes.into_iter().map(move |attributes| Point {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        instrument,
        attributes: object(attributes),
    })
}

fn object(attributes: &[KeyValue]) -> Map<String, Value> {
    let pair = |attribute: &KeyValue| {
        (attribute.key.clone(), attribute.value.as_ref().map(json).unwrap_or_default())
    };
    attributes.iter().map(pair).collect()
}

/// A value as JSON; null for those that no attribute of ours has.
fn json(value: &AnyValue) -> Value {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(is_true)) => json!(is_true),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        _ => Value::Null,
    }
}
