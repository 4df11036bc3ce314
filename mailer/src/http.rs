//! The mailer's HTTP interface: the routes of operations, and nothing else.

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use telemetry::http::{Observer, Probes, not_found, observe, probe_routes, server_spans};
use telemetry::lifecycle;

use crate::config::Config;

/// Binds the port; see [`lifecycle::serve`] for the rest.
///
/// # Errors
/// When the port is taken.
pub fn serve(config: &Config, observer: Observer, probes: Probes) -> std::io::Result<Server> {
    let probes = web::Data::new(probes);
    let observer = web::Data::new(observer);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(probes.clone())
            .app_data(observer.clone())
            .configure(probe_routes)
            .default_service(web::to(not_found))
            .wrap(from_fn(observe))
            .wrap(server_spans())
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(config.shutdown_deadline.as_secs())
        .bind(config.mailer_listen)
        .map_err(lifecycle::cannot_listen("MAILER_LISTEN", config.mailer_listen))?
        .run())
}
