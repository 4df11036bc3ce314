//! Metrics over OTLP: the families of the registry with their exemplars, as one request of the specification's messages.
//! No SDK for Rust sends exemplars, so that the request is built here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use prost::Message;

use super::points::Points;
use super::registry::Registry;
use crate::clock;
use crate::pipeline::{Encoded, Intake, Outbound};
use crate::resource::Service;

/// Hands the current values of all metrics to a pipeline.
pub(crate) struct Exporter {
    registry: Registry,
    resource: v1::Resource,
    scope: InstrumentationScope,
    interval: Duration,
    points: Mutex<Points>,
    intake: Intake<Encoded>,
}

impl Exporter {
    pub(crate) fn new(
        registry: Registry,
        resource: &Resource,
        service: Service,
        is_delta: bool,
        interval: Duration,
        intake: Intake<Encoded>,
    ) -> Self {
        let attributes: Vec<KeyValue> = ResourceAttributesWithSchema::from(resource).attributes.0;
        Self {
            registry,
            resource: v1::Resource { attributes, ..v1::Resource::default() },
            scope: InstrumentationScope {
                name: service.name.to_owned(),
                version: service.version.to_owned(),
                ..InstrumentationScope::default()
            },
            interval,
            points: Mutex::new(Points::new(is_delta, clock::now())),
            intake,
        }
    }

    /// The time between two exports.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        self.intake.outbound()
    }

    /// Encodes all metrics, and queues the request.
    pub(crate) fn export(&self) {
        let (families, remembering) = (self.registry.gather(), self.registry.remembering());
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = points.take(&families, &remembering, clock::now());
        let items = metrics.len() as u64;
        let scope_metrics =
            vec![ScopeMetrics { scope: Some(self.scope.clone()), metrics, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        let group = ResourceMetrics { resource, scope_metrics, schema_url: String::new() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![group] };
        self.intake.push_many(Encoded { body: request.encode_to_vec().into(), items }, items);
    }
}
