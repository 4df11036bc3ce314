//! An end to idle connections. actix-web has a timer for the first head of a connection and one for the pause between
//! requests, and none for a second head that never ends or for responses that are never read.

use std::any::Any;
use std::cell::Cell;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::{Extensions, ServiceRequest};
use actix_web::rt;
use socket2::SockRef;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The time for a head to arrive, beyond the keep-alive.
const MAX_HEAD: Duration = Duration::from_secs(5);
/// The time for which a peer may acknowledge nothing.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The watch over one connection, as long as it is open.
struct Connection {
    work: Rc<Work>,
    watchdog: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
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

/// Closes the connection when no request has been in progress on it for the keep-alive and five seconds; for
/// `HttpServer::on_connect`.
///
/// That ends a head that arrives byte by byte, and a client that does not read its responses.
pub(super) fn guard_connection(keep_alive: Duration, stream: &dyn Any, data: &mut Extensions) {
    let Some(stream) = stream.downcast_ref::<rt::net::TcpStream>() else { return };
    // The kernel would otherwise keep unsent data for as long as the peer has no room for it.
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(MAX_SILENCE));
    // Without a free descriptor there is no watch; the timers of actix remain.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else { return };
    let work = Rc::new(Work {
        max_idle: keep_alive + MAX_HEAD,
        requests: Cell::new(0),
        last_end: Cell::new(Instant::now()),
    });
    let watchdog = rt::spawn(watch(work.clone(), descriptor.into()));
    data.insert(Connection { work, watchdog });
}

async fn watch(work: Rc<Work>, stream: TcpStream) {
    loop {
        let deadline = work.deadline();
        if deadline <= Instant::now() {
            // An error means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        sleep_until(deadline).await;
    }
}

/// A request in progress on its connection, until this is dropped.
pub(super) struct AtWork(Option<Rc<Work>>);

impl AtWork {
    pub(super) fn on(request: &ServiceRequest) -> Self {
        let work = request.conn_data::<Connection>().map(|connection| connection.work.clone());
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
