//! Connections that are held on to. actix-web has a timer for the first head of a connection and one for the
//! silence between requests, and none for a second head that never ends or for answers that are never read.

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

/// For how long a connection may have no request at work: actix's keep-alive, and as much again for a head.
const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// What is known about one connection; lives as long as it.
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
    requests: Cell<u32>,
    last_end: Cell<Instant>,
}

impl Work {
    /// When it will have been idle for too long, if nothing comes.
    fn deadline(&self) -> Instant {
        let idle_since = if self.requests.get() > 0 { Instant::now() } else { self.last_end.get() };
        idle_since + LONGEST_IDLE
    }
}

/// Cuts the connection off when no request has been at work on it for ten seconds; for `HttpServer::on_connect`.
///
/// That ends a head that does not, also when it arrives byte by byte, and a client that does not read its answers.
pub(super) fn guard_connection(stream: &dyn Any, data: &mut Extensions) {
    let Some(stream) = stream.downcast_ref::<rt::net::TcpStream>() else { return };
    // Else the kernel would keep what is still to be sent, and try for as long as the peer has no room for it.
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(LONGEST_IDLE));
    // Without a descriptor to spare there is no guard; actix's own timers are left.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else { return };
    let work = Rc::new(Work { requests: Cell::new(0), last_end: Cell::new(Instant::now()) });
    let watchdog = rt::spawn(watch(work.clone(), descriptor.into()));
    data.insert(Connection { work, watchdog });
}

async fn watch(work: Rc<Work>, stream: TcpStream) {
    loop {
        let deadline = work.deadline();
        if deadline <= Instant::now() {
            // It may be gone already, and that is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        sleep_until(deadline).await;
    }
}

/// A request at work on its connection, until it is dropped.
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
