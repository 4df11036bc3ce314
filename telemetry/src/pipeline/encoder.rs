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

/// A log record and the logger that made it.
pub(crate) type LogItem = (SdkLogRecord, InstrumentationScope);

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

    /// Runs an export of `items` items, which waits for nothing: this client answers at once. True if it succeeds.
    fn take(&self, items: usize, export: impl Future<Output = OTelSdkResult>) -> bool {
        self.items.store(items as u64, Ordering::Relaxed);
        matches!(export.now_or_never(), Some(Ok(())))
    }
}

#[async_trait]
impl HttpClient for SpoolClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.append(request.body(), self.items.load(Ordering::Relaxed));
        Ok(Response::new(Bytes::new()))
    }
}

/// Encodes a batch into the spools; false if it could not be encoded.
pub(crate) type Encode<T> = Box<dyn Fn(Vec<T>) -> bool + Send>;

/// A request that is encoded already, and the number of items in it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) body: Bytes,
    pub(crate) items: u64,
}

/// Spans, by the SDK's exporter.
pub(crate) fn spans(client: SpoolClient, resource: &Resource) -> Result<Encode<SpanData>, Error> {
    let exporter = SpanExporter::builder().with_http().with_http_client(client.clone());
    let exporter = exporter.with_endpoint(UNUSED_ENDPOINT).with_retry_policy(RetryPolicy::disabled());
    let mut exporter = exporter.build().map_err(Error::Exporter)?;
    exporter.set_resource(resource);
    Ok(Box::new(move |batch| client.take(batch.len(), exporter.export(batch))))
}

/// Log records, by the SDK's exporter.
pub(crate) fn records(client: SpoolClient, resource: &Resource) -> Result<Encode<LogItem>, Error> {
    let exporter = LogExporter::builder().with_http().with_http_client(client.clone());
    let exporter = exporter.with_endpoint(UNUSED_ENDPOINT).with_retry_policy(RetryPolicy::disabled());
    let mut exporter = exporter.build().map_err(Error::Exporter)?;
    exporter.set_resource(resource);
    Ok(Box::new(move |batch| {
        let records: Vec<_> = batch.iter().map(|(record, scope)| (record, scope)).collect();
        client.take(records.len(), exporter.export(LogBatch::new(&records)))
    }))
}

/// Requests that are encoded already.
pub(crate) fn requests(client: SpoolClient) -> Encode<Encoded> {
    Box::new(move |batch| {
        batch.iter().for_each(|request| client.append(&request.body, request.items));
        true
    })
}
