//! The threads of a receiver: one listens, and each connection has its own.

use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, status::StatusCode};
use prost::Message as _;
use socket2::Socket;

use super::http::{self, Request};
use super::items;
use super::state::{Answer, Attempt, Keeping, State};

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic cannot leave the state half-written.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts connections until the listener is shut down.
pub(super) fn accept(listener: &Socket, state: &Arc<Mutex<State>>) {
    while let Ok((connection, _)) = listener.accept() {
        let connection = TcpStream::from(connection);
        // Without it the second piece of an answer waits 40 ms for the acknowledgement of the first.
        let copy = connection.set_nodelay(true).and_then(|()| connection.try_clone());
        let Ok(copy) = copy else { continue };
        {
            let mut state = lock(state);
            if state.listener.is_none() {
                return;
            }
            state.connections.push(copy);
        }
        let state = state.clone();
        thread::spawn(move || serve(&connection, &state));
    }
}

fn serve(connection: &TcpStream, state: &Mutex<State>) {
    let mut requests = BufReader::new(connection);
    // A read fails when the client disconnects, and when the receiver closes.
    while let Ok(request) = http::read(&mut requests) {
        let answered = match receive(request, state) {
            Some(Answer::Accept) => http::respond(connection, "200 OK", b""),
            Some(Answer::Partial(rejected_spans)) => {
                let partial = ExportTracePartialSuccess { rejected_spans, ..Default::default() };
                let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
                http::respond(connection, "200 OK", &body)
            }
            Some(Answer::AcceptAndBreak) => {
                // The client may have disconnected already.
                let _ = http::announce(connection, "200 OK", 10);
                connection.shutdown(Shutdown::Both)
            }
            Some(Answer::Refuse(status) | Answer::RefuseAny(status, _)) => {
                http::respond(connection, &format!("{status} Refused"), b"")
            }
            Some(Answer::Later(status, seconds)) => {
                http::respond(connection, &format!("{status} Later\r\nretry-after: {seconds}"), b"")
            }
            Some(Answer::Hang) => requests.fill_buf().map(drop),
            None => return,
        };
        if answered.is_err() {
            return;
        }
    }
}

/// Keeps or discards a request; `None` once the receiver is closed.
fn receive(request: Request, state: &Mutex<State>) -> Option<Answer> {
    let mut state = lock(state);
    state.listener.as_ref()?;
    let answer = state.script.pop_front().or(state.otherwise).unwrap_or(Answer::Accept);
    let Ok(items) = items::count(&request.body) else { return Some(Answer::Refuse(400)) };
    match request.target.as_str() {
        "POST /v1/traces" => Some(receive_spans(request, items, &mut state, answer)),
        "POST /v1/logs" => Some(receive_logs(request, items, &mut state, answer)),
        "POST /v1/metrics" => Some(receive_metrics(&request, &mut state, answer)),
        _ => Some(Answer::Refuse(404)),
    }
}

fn receive_spans(request: Request, spans: usize, state: &mut State, answer: Answer) -> Answer {
    if state.keeping != Keeping::All {
        state.counts.0 += spans as u64;
        if state.keeping == Keeping::Outcomes && answer.keeps() {
            let Ok(decoded) = ExportTraceServiceRequest::decode(&*request.body) else {
                return Answer::Refuse(400);
            };
            state.outcomes.extend(outcomes(&decoded.resource_spans));
        }
        return answer;
    }
    state.attempts.push(Attempt { at: Instant::now(), spans, headers: request.headers });
    let Ok(decoded) = ExportTraceServiceRequest::decode(&*request.body) else { return Answer::Refuse(400) };
    let answer = match answer {
        Answer::RefuseAny(status, name) if has_span(&decoded.resource_spans, name) => Answer::Refuse(status),
        Answer::RefuseAny(..) => Answer::Accept,
        other => other,
    };
    if answer.keeps() {
        state.bytes.extend(request.body);
        state.spans.extend(decoded.resource_spans);
    }
    answer
}

fn has_span(groups: &[ResourceSpans], name: &str) -> bool {
    let mut spans = groups.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans);
    spans.any(|span| span.name == name)
}

/// The traces of root spans, and whether those have failed.
fn outcomes(groups: &[ResourceSpans]) -> impl Iterator<Item = (Vec<u8>, bool)> {
    let spans = groups.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans);
    spans.filter(|span| span.parent_span_id.is_empty()).map(|span| {
        let code = span.status.as_ref().map(|status| status.code());
        (span.trace_id.clone(), code == Some(StatusCode::Error))
    })
}

fn receive_logs(request: Request, records: usize, state: &mut State, answer: Answer) -> Answer {
    if state.keeping != Keeping::All {
        state.counts.1 += records as u64;
        return answer;
    }
    state.attempts.push(Attempt { at: Instant::now(), spans: 0, headers: request.headers });
    let Ok(decoded) = ExportLogsServiceRequest::decode(&*request.body) else { return Answer::Refuse(400) };
    // The name of a span says nothing about log records.
    let answer = if let Answer::RefuseAny(..) = answer { Answer::Accept } else { answer };
    if answer.keeps() {
        state.bytes.extend(request.body);
        state.logs.extend(decoded.resource_logs);
    }
    answer
}

fn receive_metrics(request: &Request, state: &mut State, answer: Answer) -> Answer {
    let Ok(decoded) = ExportMetricsServiceRequest::decode(&*request.body) else { return Answer::Refuse(400) };
    let answer = if let Answer::RefuseAny(..) = answer { Answer::Accept } else { answer };
    if answer.keeps() && state.keeping == Keeping::All {
        state.metrics.extend(decoded.resource_metrics);
    }
    answer
}
