//! Batches of a signal become requests: by the exporters of `opentelemetry-otlp`, whose HTTP client puts what it is
//! given into the spools and answers 200. When and where a request is sent is the delivery's business.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt;
use http::{Request, Response};
use opentelemetry::InstrumentationScope;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{LogExporter, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::delivery::Outlet;
use crate::Error;

/// An exporter must have an endpoint; nothing is sent to this one.
const UNUSED_ENDPOINT: &str = "http://localhost";

/// The HTTP client of the exporters: appends the body of a request to the spool of each destination.
#[derive(Clone)]
pub(crate) struct SpoolClient {
    spools: Arc<[Outlet]>,
    /// Items in the request that is being exported.
    items: Arc<AtomicU64>,
}

impl fmt::Debug for SpoolClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolClient").finish_non_exhaustive()
    }
}

impl SpoolClient {
    pub(super) fn new(spools: Arc<[Outlet]>) -> Self {
        Self { spools, items: Arc::default() }
    }

    fn append(&self, body: &Bytes, items: u64) {
        self.spools.iter().for_each(|spool| spool.append(body, items));
    }
}

#[async_trait]
impl HttpClient for SpoolClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.append(request.body(), self.items.load(Ordering::Relaxed));
        Ok(Response::new(Bytes::new()))
    }
}

/// Makes requests of batches, and hands them to its [`SpoolClient`].
pub(crate) trait Encoder: Send + 'static {
    /// A part of a batch.
    type Item: Send + fmt::Debug + 'static;

    /// Items that count as several: a snapshot of metrics has many data points.
    fn weight(_: &Self::Item) -> u64 {
        1
    }

    /// Encodes a batch into the spools; false if it could not be encoded.
    fn encode(&self, batch: Vec<Self::Item>) -> bool;
}

/// Spans, by the SDK's exporter.
pub(crate) struct SpanEncoder {
    exporter: SpanExporter,
    client: SpoolClient,
}

impl SpanEncoder {
    pub(crate) fn new(client: SpoolClient, resource: &Resource) -> Result<Self, Error> {
        let exporter = SpanExporter::builder().with_http().with_http_client(client.clone());
        let exporter = exporter.with_endpoint(UNUSED_ENDPOINT).with_retry_policy(RetryPolicy::disabled());
        let mut exporter = exporter.build().map_err(Error::Exporter)?;
        exporter.set_resource(resource);
        Ok(Self { exporter, client })
    }
}

impl Encoder for SpanEncoder {
    type Item = SpanData;

    fn encode(&self, batch: Vec<SpanData>) -> bool {
        self.client.items.store(batch.len() as u64, Ordering::Relaxed);
        succeeded(self.exporter.export(batch))
    }
}

/// The outcome of an export that waits for nothing: the client answers at once.
fn succeeded(export: impl Future<Output = OTelSdkResult>) -> bool {
    matches!(export.now_or_never(), Some(Ok(())))
}

/// Log records, by the SDK's exporter.
pub(crate) struct LogEncoder {
    exporter: LogExporter,
    client: SpoolClient,
}

impl LogEncoder {
    pub(crate) fn new(client: SpoolClient, resource: &Resource) -> Result<Self, Error> {
        let exporter = LogExporter::builder().with_http().with_http_client(client.clone());
        let exporter = exporter.with_endpoint(UNUSED_ENDPOINT).with_retry_policy(RetryPolicy::disabled());
        let mut exporter = exporter.build().map_err(Error::Exporter)?;
        exporter.set_resource(resource);
        Ok(Self { exporter, client })
    }
}

impl Encoder for LogEncoder {
    type Item = (SdkLogRecord, InstrumentationScope);

    fn encode(&self, batch: Vec<Self::Item>) -> bool {
        self.client.items.store(batch.len() as u64, Ordering::Relaxed);
        let records: Vec<_> = batch.iter().map(|(record, scope)| (record, scope)).collect();
        succeeded(self.exporter.export(LogBatch::new(&records)))
    }
}

/// Requests that are encoded already.
pub(crate) struct Requests(pub(crate) SpoolClient);

/// A request that is encoded already, and the number of items in it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) body: Bytes,
    pub(crate) items: u64,
}

impl Encoder for Requests {
    type Item = Encoded;

    fn weight(request: &Encoded) -> u64 {
        request.items
    }

    fn encode(&self, batch: Vec<Encoded>) -> bool {
        batch.iter().for_each(|request| self.0.append(&request.body, request.items));
        true
    }
}
