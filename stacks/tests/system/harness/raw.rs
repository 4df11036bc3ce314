//! HTTP/1.1 by bytes, for requests that an HTTP client would not send, or that stop half-way.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::Answer;

const LIMIT: Duration = Duration::from_secs(20);

/// A request with the right content length; every line in `headers` ends with CR LF.
pub(crate) fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The first answer to bytes on a new connection.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::to(address).await;
    connection.send(request).await;
    connection.answer().await
}

pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    /// A connection from this address of this machine.
    pub(crate) async fn from(client: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((client, 0).into()).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), received: Vec::new() }
    }

    /// Sends bytes. An error is ignored: a server that closes early has sent its answer.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads until the server closes the connection; the bytes since the last answer.
    pub(crate) async fn closed(&mut self) -> String {
        let read =
            async { while self.stream.read_buf(&mut self.received).await.is_ok_and(|read| read > 0) {} };
        timeout(LIMIT, read).await.expect("the connection is still open after 20 s");
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Sends bytes again and again, with this pause, and reads nothing, until the server closes the connection.
    pub(crate) async fn flood(&mut self, bytes: &[u8], each: Duration) {
        let write = async {
            while self.stream.write_all(bytes).await.is_ok() {
                tokio::time::sleep(each).await;
            }
        };
        timeout(LIMIT, write).await.expect("the connection is still open after 20 s");
    }

    /// Sends the head of a request and waits until its handler asks for the body, so that it is in flight.
    pub(crate) async fn begin(&mut self, head: &str) {
        self.send(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await;
        assert_eq!(self.head().await.trim_end(), "HTTP/1.1 100 Continue");
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (status, headers) = self.status_and_headers().await;
        let length =
            headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        while self.received.len() < length {
            self.receive().await;
        }
        let body = self.received.drain(..length).collect::<Vec<u8>>();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// The next answer to a HEAD, which has no body.
    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        let (status, headers) = self.status_and_headers().await;
        Answer { status, headers, body: Value::Null }
    }

    async fn status_and_headers(&mut self) -> (u16, HeaderMap) {
        let head = self.head().await;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value.trim()).unwrap())
            })
            .collect();
        let status = status.unwrap_or_else(|| panic!("no status in {head}"));
        (status, headers)
    }

    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
            }
            self.receive().await;
        }
    }

    async fn receive(&mut self) {
        let read = timeout(LIMIT, self.stream.read_buf(&mut self.received)).await;
        let read =
            read.expect("no answer within 20 s").expect("the connection broke before the answer was whole");
        assert!(
            read > 0,
            "closed before the answer was whole: {:?}",
            String::from_utf8_lossy(&self.received)
        );
    }
}
