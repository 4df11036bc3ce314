//! What a receiver was told to answer, and what it has received.

use std::collections::{HashMap, VecDeque};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use socket2::Socket;

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200; the content is kept.
    Accept,
    /// 200 with a partial success that rejects this number of items; all of them are kept.
    Partial(i64),
    /// 200; the content is kept, and the connection breaks within the body of the answer.
    AcceptAndBreak,
    /// This status; the content is discarded.
    Refuse(u16),
    /// This status for a request with a span of this name; any other request is accepted.
    RefuseAny(u16, &'static str),
    /// This status and `Retry-After` in seconds; the content is discarded.
    Later(u16, u64),
    /// None until the client gives up; the content is discarded.
    Hang,
}

impl Answer {
    pub(super) fn keeps(self) -> bool {
        matches!(self, Self::Accept | Self::AcceptAndBreak | Self::Partial(_))
    }
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The time of its last byte.
    pub at: Instant,
    /// The number of its spans.
    pub spans: usize,
    /// The names of its headers, in lower case, and their values.
    pub headers: Vec<(String, String)>,
}

/// What is kept of the spans and log records.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Keeping {
    #[default]
    All,
    /// Their numbers.
    Numbers,
    /// Their numbers, and how each trace ended.
    Outcomes,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keeping: Keeping,
    pub(super) script: VecDeque<Answer>,
    pub(super) otherwise: Option<Answer>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) spans: Vec<ResourceSpans>,
    pub(super) logs: Vec<ResourceLogs>,
    pub(super) metrics: Vec<ResourceMetrics>,
    /// Every accepted body, one after the other.
    pub(super) bytes: Vec<u8>,
    /// Numbers of spans and log records, if nothing is kept.
    pub(super) counts: (u64, u64),
    /// By trace, whether its root span has failed.
    pub(super) outcomes: HashMap<Vec<u8>, bool>,
    /// `None` while the receiver is closed.
    pub(super) listener: Option<Arc<Socket>>,
    pub(super) connections: Vec<TcpStream>,
}
