//! Serving the routes of a service until it is asked to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{ServiceFactoryExt, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{self, AppConfig, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, Error};
use telemetry::http::{Observer, observe, server_spans};

use super::admission::{Admission, admit_request};
use super::connections::{Connection, accept};
use super::files::raise_limit;
use super::guard::guard_request;
use super::log_level::log_level_routes;
use super::open_spans::open_span_routes;
use super::probes::{Probes, probe_routes};
use super::routes::not_found;
use crate::lifecycle::{self, StopTimes, Stopping};

/// The keep-alive of a service whose clients are our own.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// For a client to read the rest of what was sent when its connection ends.
const MAX_DISCONNECT: Duration = Duration::from_secs(1);

/// How a service is served.
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The name of the setting with that address.
    pub setting: &'static str,
    /// Threads that serve; `None` for one for each core.
    pub workers: Option<usize>,
    /// Requests in flight that its settings allow.
    pub max_requests: u32,
    /// The time for which a connection is kept without a request.
    pub keep_alive: Duration,
    /// What admits a request, before any work is done for it.
    pub admission: Admission,
    /// How long it takes to stop.
    pub stop: StopTimes,
    /// What requests are recorded with.
    pub observer: Observer,
    /// What `/readyz` checks.
    pub probes: Probes,
}

/// Serves `routes` and those of operations until SIGTERM, SIGINT or SIGHUP, then finishes the requests that are in flight.
///
/// # Errors
/// When the address can't be listened on, the operating system refuses a signal handler, or the server fails.
pub async fn serve(
    server: Server,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Stopping> {
    let Server { listen, setting, workers, max_requests, keep_alive, admission, stop, observer, probes } =
        server;
    raise_limit(max_requests, observer.log());
    let (recorder, admission, probes) =
        (Data::new(observer.clone()), Data::new(admission), Data::new(probes));
    let announced = probes.clone();
    // Not `HttpServer`: it makes connections without a clock of ours.
    let mut http = dev::Server::build()
        // actix's own handling of signals stops the System together with the server, and with it the arbiter of
        // Observability before the last spans have left.
        .disable_signals()
        // Longer than the deadline: actix does not report which connections it drops.
        .shutdown_timeout(stop.deadline.as_secs() + 1);
    if let Some(workers) = workers {
        http = http.workers(workers);
    }
    let stopping = http.graceful_shutdown_signal();
    let connection = move || {
        let app = app(recorder.clone(), probes.clone(), routes.clone()).app_data(admission.clone());
        let stopping = stopping.clone();
        let service = HttpService::build()
            .keep_alive(keep_alive)
            .client_disconnect_timeout(MAX_DISCONNECT)
            // By default actix takes a client that has closed its connection for one that still reads, and works on in vain.
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|connection: &Connection, data| connection.share(data))
            .local_addr(listen)
            .finish(map_config(app, |()| AppConfig::default()));
        accept(keep_alive).and_then(service)
    };
    let http = http.bind(setting, listen, connection).map_err(|error| {
        let text = format!("cannot listen on {listen}: {error}; set {setting} to another address");
        io::Error::new(error.kind(), text)
    })?;
    slog::info!(observer.log(), "listening"; "server.address" => %listen);
    lifecycle::run(http.run(), &observer, stop, move || announced.stop()).await
}

/// The app of one worker.
pub(super) fn app(
    observer: Data<Observer>,
    probes: Data<Probes>,
    routes: impl FnOnce(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .configure(|app| log_level_routes(app, &probes.observability))
        .configure(open_span_routes)
        .app_data(probes)
        .app_data(observer)
        .configure(routes)
        .configure(probe_routes)
        .default_service(web::to(not_found))
        .wrap(from_fn(guard_request))
        .wrap(from_fn(observe))
        .wrap(server_spans())
        .wrap(from_fn(admit_request))
}
