//! Connections that end when they are idle. actix-web has a timer for the first head of a connection and one for the pause
//! between requests, and none for a second head that never ends or for responses that are never read.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_web::dev::{Extensions, ServiceFactory, ServiceRequest, fn_service};
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The time for a head to arrive, beyond the keep-alive.
const MAX_HEAD: Duration = Duration::from_secs(5);
/// The time for which a peer may acknowledge nothing.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// A connection, as the HTTP service takes it.
type Accepted = (Connection, Protocol, Option<SocketAddr>);

/// Makes connections that end when no request has been in progress on them for the keep-alive and five seconds.
///
/// That ends a head that arrives byte by byte, and a client that does not read its responses.
pub(super) fn accept(
    keep_alive: Duration,
) -> impl ServiceFactory<TcpStream, Config = (), Response = Accepted, Error = DispatchError, InitError = ()> {
    fn_service(move |stream: TcpStream| -> Ready<Result<Accepted, DispatchError>> {
        let peer = stream.peer_addr().ok();
        ready(Ok((Connection::new(stream, keep_alive + MAX_HEAD), Protocol::Http1, peer)))
    })
}

/// A connection with its clock.
pub(super) struct Connection {
    stream: TcpStream,
    work: Rc<Work>,
    /// Rings at a time when the connection may have been idle for too long.
    alarm: Pin<Box<Sleep>>,
}

struct Work {
    /// The longest time without a request in progress.
    max_idle: Duration,
    requests: Cell<u32>,
    last_end: Cell<Instant>,
}

impl Work {
    /// When the connection will have been idle for too long without another request.
    fn deadline(&self) -> Instant {
        let idle_since = if self.requests.get() > 0 { Instant::now() } else { self.last_end.get() };
        idle_since + self.max_idle
    }
}

impl Connection {
    fn new(stream: TcpStream, max_idle: Duration) -> Self {
        // The kernel would otherwise keep unsent data for as long as the peer has no room for it.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(MAX_SILENCE));
        let work = Work { max_idle, requests: Cell::new(0), last_end: Cell::new(Instant::now()) };
        let alarm = Box::pin(sleep_until(work.deadline()));
        Self { stream, work: Rc::new(work), alarm }
    }

    /// Gives the requests of this connection what [`AtWork`] needs.
    pub(super) fn share(&self, data: &mut Extensions) {
        data.insert(self.work.clone());
    }

    /// What the stream has done. While it waits for the peer, an error once the connection is idle for too long.
    fn watched<T>(&mut self, done: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            return done;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let deadline = self.work.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(read, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A request in progress on its connection, until this is dropped.
pub(super) struct AtWork(Option<Rc<Work>>);

impl AtWork {
    pub(super) fn on(request: &ServiceRequest) -> Self {
        let work = request.conn_data::<Rc<Work>>().cloned();
        if let Some(work) = &work {
            work.requests.set(work.requests.get() + 1);
        }
        Self(work)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(work) = &self.0 {
            work.requests.set(work.requests.get() - 1);
            work.last_end.set(Instant::now());
        }
    }
}
