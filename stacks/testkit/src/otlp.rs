//! A receiver of OTLP/HTTP that answers as a test says, closes, and opens again on the same port.
//!
//! Plain sockets and threads: the system under test cannot trace, log or delay anything in it.

mod http;
mod items;
mod server;
mod state;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

pub use self::state::{Answer, Attempt};
use self::{
    server::lock,
    state::{Keeping, State},
};
use crate::port::Port;

/// The receiver. It serves until it is dropped.
pub struct OtlpSink {
    port: Port,
    state: Arc<Mutex<State>>,
}

impl OtlpSink {
    /// Starts a receiver that keeps what it accepts.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn start() -> Self {
        match Self::listening(State::default()) {
            Ok(sink) => sink,
            Err(error) => panic!("cannot start the OTLP receiver: {error}"),
        }
    }

    /// Starts a receiver that only counts, for measurements.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn counting() -> io::Result<Self> {
        Self::listening(State { keeping: Keeping::Numbers, ..State::default() })
    }

    /// Starts a receiver that counts, and keeps how each trace ended, for a long run.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn judging() -> io::Result<Self> {
        Self::listening(State { keeping: Keeping::Outcomes, ..State::default() })
    }

    fn listening(state: State) -> io::Result<Self> {
        let sink = Self { port: Port::reserve()?, state: Arc::new(Mutex::new(state)) };
        sink.listen()?;
        Ok(sink)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `http://ADDRESS`, a value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Listens again, if it was closed.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn open(&self) {
        if let Err(error) = self.listen() {
            panic!("cannot open the OTLP receiver again: {error}");
        }
    }

    fn listen(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.listener.is_none() {
            let listener = Arc::new(self.port.listen()?);
            state.listener = Some(listener.clone());
            let shared = self.state.clone();
            thread::spawn(move || server::accept(&listener, &shared));
        }
        Ok(())
    }

    /// Refuses connections and breaks those that are open.
    pub fn close(&self) {
        let mut state = self.state();
        if let Some(listener) = state.listener.take() {
            // It listens, so that this cannot fail.
            let _ = listener.shutdown(Shutdown::Both);
        }
        for connection in state.connections.drain(..) {
            // The client may have closed it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Sets the answers to the next requests.
    pub fn script(&self, answers: &[Answer]) {
        self.state().script = answers.iter().copied().collect();
    }

    /// Sets the answer to every request without a script.
    pub fn always(&self, answer: Answer) {
        self.state().otherwise = Some(answer);
    }

    /// Every request, accepted or not.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    /// The numbers of spans and log records that a counting receiver got.
    pub fn counts(&self) -> (u64, u64) {
        self.state().counts
    }

    /// By hexadecimal trace, whether its root span has failed, for the accepted roots since the last call; of a judging
    /// receiver.
    pub fn take_outcomes(&self) -> HashMap<String, bool> {
        let outcomes = std::mem::take(&mut self.state().outcomes);
        outcomes.into_iter().map(|(trace, failed)| (hex(&trace), failed)).collect()
    }

    /// Every accepted body as text. Protobuf leaves strings as they are, so that each string shows in it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.state().bytes).into_owned()
    }

    /// The accepted spans, in the order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.select(|_| true)
    }

    /// The accepted spans of this name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.select(|span| span.name == name)
    }

    /// The accepted spans of the trace with this hexadecimal id.
    pub fn of_trace(&self, trace: &str) -> Vec<Span> {
        self.select(|span| hex(&span.trace_id) == trace)
    }

    fn select(&self, is_wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let state = self.state();
        let scopes = state.spans.iter().flat_map(|group| &group.scope_spans);
        scopes.flat_map(|scope| &scope.spans).filter(|span| is_wanted(span)).cloned().collect()
    }

    /// The accepted groups of log records.
    pub fn logs(&self) -> Vec<ResourceLogs> {
        self.state().logs.clone()
    }

    /// The accepted groups of metrics.
    pub fn metrics(&self) -> Vec<ResourceMetrics> {
        self.state().metrics.clone()
    }

    /// An attribute of the resource that sent the newest spans.
    pub fn resource(&self, key: &str) -> Option<String> {
        attribute(&self.state().spans.last()?.resource.as_ref()?.attributes, key)
    }

    /// Trace, service and name of every accepted span.
    pub fn span_names(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for group in &self.state().spans {
            let service = service(group.resource.as_ref());
            for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
                found.push((hex(&span.trace_id), service.clone(), span.name.clone()));
            }
        }
        found
    }

    /// Trace, service and message of every accepted log record with a text for its body.
    pub fn messages(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for group in &self.state().logs {
            let service = service(group.resource.as_ref());
            for record in group.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                if let Some(Value::StringValue(text)) =
                    record.body.as_ref().and_then(|body| body.value.as_ref())
                {
                    found.push((hex(&record.trace_id), service.clone(), text.clone()));
                }
            }
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for OtlpSink {
    fn drop(&mut self) {
        self.close();
    }
}

fn service(resource: Option<&Resource>) -> String {
    resource.and_then(|resource| attribute(&resource.attributes, "service.name")).unwrap_or_default()
}

/// A trace or span id in lower-case hexadecimal.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
