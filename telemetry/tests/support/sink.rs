//! An OTLP/HTTP receiver of spans and logs that answers as the test says, goes away and comes back on the same port.
//!
//! Plain sockets and threads: nothing in it can be traced, logged or held up by what is under test.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use socket2::{Domain, Socket, Type};

/// What a request is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// 200, and the spans are kept.
    Accept,
    /// 200 with a partial success: so many were refused. The spans are kept all the same.
    Partially(i64),
    /// 200, and the spans are kept; the connection breaks within the body of the answer.
    AcceptAndBreak,
    /// This status; the spans are thrown away.
    Refuse(u16),
    /// This status for a request that has a span of this name; all others are accepted.
    RefuseAny(u16, &'static str),
    /// This status with `Retry-After` in seconds; the spans are thrown away.
    Later(u16, u64),
    /// Nothing, until the client gives up.
    Hang,
}

impl Answer {
    /// Whether what came is kept.
    fn takes(self) -> bool {
        matches!(self, Self::Accept | Self::AcceptAndBreak | Self::Partially(_))
    }
}

/// One request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) spans: usize,
    /// The names of its headers, in lower case, and their values.
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
    attempts: Vec<Attempt>,
    accepted: Vec<Span>,
    logs: Vec<ResourceLogs>,
    resource: Vec<KeyValue>,
    listener: Option<Arc<Socket>>,
    connections: Vec<TcpStream>,
}

/// The receiver.
pub(crate) struct Sink {
    /// Bound, never listening: the port stays ours while nobody answers there.
    _reservation: Socket,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let reservation = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reservation.local_addr().unwrap().as_socket().unwrap();
        let sink = Self { _reservation: reservation, address, state: Arc::default() };
        sink.open();
        sink
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The argument that points a service here.
    pub(crate) fn endpoint(&self) -> String {
        format!("--otel-exporter-otlp-endpoint=http://{}", self.address)
    }

    pub(crate) fn open(&self) {
        let listener = Arc::new(bind(self.address));
        listener.listen(64).unwrap();
        self.state().listener = Some(listener.clone());
        let state = self.state.clone();
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                let connection = TcpStream::from(connection);
                // Else the second piece of an answer waits for the client to confirm the first, for 40 ms.
                connection.set_nodelay(true).unwrap();
                {
                    let mut state = state.lock().unwrap();
                    if state.listener.is_none() {
                        return;
                    }
                    state.connections.push(connection.try_clone().unwrap());
                }
                let state = state.clone();
                thread::spawn(move || serve(&connection, &state));
            }
        });
    }

    /// From here on connections are refused, and those that are open break: nothing is accepted any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if let Some(listener) = state.listener.take() {
            listener.shutdown(Shutdown::Both).unwrap();
        }
        for connection in state.connections.drain(..) {
            // The client may have closed it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// The answers to the next requests; those after them are accepted.
    pub(crate) fn script(&self, answers: &[Answer]) {
        self.state().script = answers.iter().copied().collect();
    }

    /// The answer to every request without a script.
    pub(crate) fn always(&self, answer: Answer) {
        self.state().otherwise = Some(answer);
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    /// Every span that was accepted, in the order of arrival.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state().accepted.clone()
    }

    /// Every group of log records that was accepted.
    pub(crate) fn logs(&self) -> Vec<ResourceLogs> {
        self.state().logs.clone()
    }

    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        self.state().accepted.iter().filter(|span| span.name == name).cloned().collect()
    }

    pub(crate) fn of_trace(&self, trace: &str) -> Vec<Span> {
        self.state().accepted.iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect()
    }

    /// An attribute of the resource that sent the newest spans.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        text(&self.state().resource, key)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute of `span` as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    text(&span.attributes, key)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn serve(connection: &TcpStream, state: &Mutex<State>) {
    let mut requests = BufReader::new(connection);
    // An error is a client that hung up, or this sink that closed.
    while let Ok(request) = read_request(&mut requests) {
        let Some(answer) = receive(request, state) else { return };
        let goes_on = match answer {
            Answer::Accept => respond(connection, "200 OK\r\ncontent-length: 0").is_ok(),
            Answer::Partially(rejected_spans) => {
                let partial = ExportTracePartialSuccess { rejected_spans, ..Default::default() };
                let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
                let answered = respond(connection, &format!("200 OK\r\ncontent-length: {}", body.len()));
                let mut connection = connection;
                answered.and_then(|()| connection.write_all(&body)).is_ok()
            }
            Answer::AcceptAndBreak => {
                let _ = respond(connection, "200 OK\r\ncontent-length: 10");
                let _ = connection.shutdown(Shutdown::Both);
                false
            }
            Answer::Refuse(status) | Answer::RefuseAny(status, _) => {
                respond(connection, &format!("{status} No\r\ncontent-length: 0")).is_ok()
            }
            Answer::Later(status, seconds) => {
                let head = format!("{status} Later\r\nretry-after: {seconds}\r\ncontent-length: 0");
                respond(connection, &head).is_ok()
            }
            Answer::Hang => requests.fill_buf().is_ok_and(|more| !more.is_empty()),
        };
        if !goes_on {
            return;
        }
    }
}

struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// `None` once the sink is closed.
fn receive(Request { path, headers, body }: Request, state: &Mutex<State>) -> Option<Answer> {
    let mut state = state.lock().unwrap();
    state.listener.as_ref()?;
    let mut answer = state.script.pop_front().or(state.otherwise).unwrap_or(Answer::Accept);
    let mut spans = Vec::new();
    if path == "/v1/logs" {
        let request = ExportLogsServiceRequest::decode(body.as_slice()).expect("not an OTLP request");
        state.logs.extend(request.resource_logs.into_iter().filter(|_| answer.takes()));
    } else {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("not an OTLP request");
        for sent in request.resource_spans {
            state.resource = sent.resource.unwrap_or_default().attributes;
            spans.extend(sent.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    if let Answer::RefuseAny(status, name) = answer {
        let is_marked = spans.iter().any(|span: &Span| span.name == name);
        answer = if is_marked { Answer::Refuse(status) } else { Answer::Accept };
    }
    state.attempts.push(Attempt { at: Instant::now(), spans: spans.len(), headers });
    if answer.takes() {
        state.accepted.append(&mut spans);
    }
    Some(answer)
}

fn read_request(from: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    let path = next_line(from, &mut line)?.split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(
        ["POST /v1/traces HTTP/1.1", "POST /v1/logs HTTP/1.1"].contains(&line.trim_end()),
        "unexpected: {line}"
    );
    let mut headers = Vec::new();
    while !next_line(from, &mut line)?.is_empty() {
        let (name, value) = line.split_once(':').unwrap();
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |wanted| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    from.read_exact(&mut body)?;
    if header("content-encoding") == Some("gzip") {
        let zipped = std::mem::take(&mut body);
        GzDecoder::new(zipped.as_slice()).read_to_end(&mut body)?;
    }
    Ok(Request { path, headers, body })
}

fn next_line<'a>(from: &mut impl BufRead, line: &'a mut String) -> io::Result<&'a str> {
    line.clear();
    if from.read_line(line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end())
}

fn respond(mut connection: &TcpStream, head: &str) -> io::Result<()> {
    write!(connection, "HTTP/1.1 {head}\r\n\r\n")
}
