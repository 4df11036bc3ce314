//! An OTLP receiver that is dead, silent or busy when the test says so, and remembers what it has accepted.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest,
        trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
};
use prost::Message;
use stacks::local::ports;
use tokio::{net::TcpSocket, runtime::Runtime};

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 200.
    Well,
    /// 200, and the answer says that one item was refused.
    Partial,
    /// Nothing.
    Silent,
    /// This status, and to come back after a second.
    Refusing(u16),
}

#[derive(Default)]
struct Memory {
    mood: Option<Mood>,
    requests: usize,
    /// Trace → service → names of its spans.
    spans: HashMap<String, Vec<(String, String)>>,
    /// Trace → service → messages.
    lines: HashMap<String, Vec<(String, String)>>,
}

/// The receiver. Dropping it closes its port.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    /// None while it is dead.
    runtime: Option<Runtime>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let mut receiver = Self { address: ports::free().unwrap(), memory: Arc::default(), runtime: None };
        receiver.revive();
        receiver
    }

    /// Its connections break, and nobody listens at its port.
    pub(crate) fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// It listens again, if it was dead.
    pub(crate) fn revive(&mut self) {
        if self.runtime.is_some() {
            return;
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let routes = Router::new()
            .route("/v1/traces", post(spans))
            .route("/v1/logs", post(lines))
            .with_state(self.memory.clone());
        let address = self.address;
        runtime.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            axum::serve(socket.listen(64).unwrap(), routes).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.memory().mood = Some(mood);
    }

    pub(crate) fn requests(&self) -> usize {
        self.memory().requests
    }

    /// Service and name of every span of a trace.
    pub(crate) fn spans(&self, trace: &str) -> Vec<(String, String)> {
        self.memory().spans.get(trace).cloned().unwrap_or_default()
    }

    /// Service and message of every line of a trace.
    pub(crate) fn lines(&self, trace: &str) -> Vec<(String, String)> {
        self.memory().lines.get(trace).cloned().unwrap_or_default()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.die();
    }
}

async fn spans(State(memory): State<Arc<Mutex<Memory>>>, body: Bytes) -> Response {
    let request = ExportTraceServiceRequest::decode(body).expect("no OTLP request");
    answer(&memory, |memory| {
        for group in request.resource_spans {
            let service = service(group.resource);
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                memory.spans.entry(hex(&span.trace_id)).or_default().push((service.clone(), span.name));
            }
        }
    })
    .await
}

async fn lines(State(memory): State<Arc<Mutex<Memory>>>, body: Bytes) -> Response {
    let request = ExportLogsServiceRequest::decode(body).expect("no OTLP request");
    answer(&memory, |memory| {
        for group in request.resource_logs {
            let service = service(group.resource);
            for record in group.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let Some(Value::StringValue(message)) = record.body.and_then(|body| body.value) else {
                    continue;
                };
                memory.lines.entry(hex(&record.trace_id)).or_default().push((service.clone(), message));
            }
        }
    })
    .await
}

async fn answer(memory: &Mutex<Memory>, keep: impl FnOnce(&mut Memory)) -> Response {
    let mood = {
        let mut memory = memory.lock().unwrap();
        memory.requests += 1;
        let mood = memory.mood.unwrap_or(Mood::Well);
        if matches!(mood, Mood::Well | Mood::Partial) {
            keep(&mut memory);
        }
        mood
    };
    match mood {
        Mood::Well => StatusCode::OK.into_response(),
        Mood::Partial => {
            let partial = ExportTracePartialSuccess { rejected_spans: 1, ..Default::default() };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into_response()
        }
        Mood::Silent => std::future::pending().await,
        Mood::Refusing(status) => {
            (StatusCode::from_u16(status).unwrap(), [(RETRY_AFTER, "1")]).into_response()
        }
    }
}

fn service(resource: Option<Resource>) -> String {
    let attributes = resource.unwrap_or_default().attributes;
    let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
    match name.and_then(|name| name.value?.value) {
        Some(Value::StringValue(name)) => name,
        other => panic!("a resource without a name: {other:?}"),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
