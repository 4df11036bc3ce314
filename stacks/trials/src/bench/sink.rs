//! A receiver of OTLP that only counts: as cheap as one can be that still knows what has arrived.

use std::{
    io::Read as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_ENCODING},
    routing::post,
};
use flate2::read::GzDecoder;
use prost::Message;
use tokio::net::TcpListener;

use stacks::local::ports;

/// The receiver; serves until the runtime ends.
pub(super) struct Sink {
    /// Where it listens.
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    spans: AtomicU64,
    lines: AtomicU64,
}

impl Sink {
    /// Serves on a free port.
    pub(super) async fn start() -> Result<Self> {
        let address = ports::free()?;
        let listener = TcpListener::bind(address).await.context("the sink can't listen")?;
        let counts = Arc::new(Counts::default());
        let routes = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .layer(DefaultBodyLimit::disable())
            .with_state(counts.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, counts })
    }

    /// Spans and log records so far.
    pub(super) fn received(&self) -> (u64, u64) {
        (self.counts.spans.load(Ordering::Relaxed), self.counts.lines.load(Ordering::Relaxed))
    }
}

async fn traces(State(counts): State<Arc<Counts>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    count(&counts.spans, &headers, &body)
}

async fn logs(State(counts): State<Arc<Counts>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    count(&counts.lines, &headers, &body)
}

fn count(counter: &AtomicU64, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let mut plain = Vec::new();
    let body = match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding == "gzip" => match GzDecoder::new(body).read_to_end(&mut plain) {
            Ok(_) => &plain,
            Err(_) => return StatusCode::BAD_REQUEST,
        },
        _ => body,
    };
    match Request::decode(body) {
        Ok(request) => {
            counter.fetch_add(request.items(), Ordering::Relaxed);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// An export request of OTLP, of spans or of log records: both nest alike, and nothing in them is looked at.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
}

impl Request {
    fn items(&self) -> u64 {
        let scopes = self.resources.iter().flat_map(|resource| &resource.scopes);
        scopes.map(|scope| scope.items.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn items_are_counted_plain_or_compressed() {
        let scope = Scope { items: vec![Bytes::from_static(b"\x0a\x01a"); 3] };
        let resource = Resource { scopes: vec![scope.clone(), scope] };
        let body = Request { resources: vec![resource.clone(), resource] }.encode_to_vec();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&body).unwrap();
        let mut compressed = HeaderMap::new();
        compressed.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let counter = AtomicU64::new(0);
        assert_eq!(count(&counter, &HeaderMap::new(), &body), StatusCode::OK);
        assert_eq!(count(&counter, &compressed, &gzip.finish().unwrap()), StatusCode::OK);
        assert_eq!(counter.load(Ordering::Relaxed), 24);
        assert_eq!(count(&counter, &compressed, &body), StatusCode::BAD_REQUEST);
    }
}
