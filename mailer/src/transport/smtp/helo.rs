//! HELO in place of EHLO, for a server that does not know the latter: lettre sends EHLO alone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const EHLO: &[u8] = b"EHLO ";
const HELO: &[u8] = b"HELO ";

/// A connection whose first command is HELO where the client writes EHLO.
#[derive(Debug)]
pub(super) struct Helo {
    stream: TcpStream,
    /// Bytes of `HELO ` that were written.
    written: usize,
}

impl Helo {
    /// Wraps a connection on which nothing was written yet.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, written: 0 }
    }
}

impl AsyncRead for Helo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Helo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The socket may take a part of the verb, and the client then goes on with the rest.
        let rest = self.written;
        let is_verb = rest < HELO.len() && bytes.starts_with(&EHLO[rest..]);
        let bytes = if is_verb { &HELO[rest..] } else { bytes };
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let (Poll::Ready(Ok(count)), true) = (&written, is_verb) {
            self.written += count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Helo {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
