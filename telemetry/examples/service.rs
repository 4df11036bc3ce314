//! The smallest service that is observed in full. README.md quotes this file.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use telemetry::http::{
    Observer, Probes, get, guard_connection, not_found, observe, probe_routes, resource, server_spans,
};
use telemetry::{Observability, Service, Settings, lifecycle, slog};

const SERVICE: Service = Service { name: "greeter", version: env!("CARGO_PKG_VERSION") };

#[derive(Parser)]
struct Config {
    #[command(flatten)]
    telemetry: Settings,
}

#[actix_web::main]
async fn main() -> ExitCode {
    lifecycle::report(run(lifecycle::settings(|_| Ok(()))).await)
}

async fn run(config: Config) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    // Sight first: whatever is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let observer = Observer::register(observability.registry(), &log, &[("GET", "/hello/{name}", "200")])?;
    let observability = observability.launch();

    let probes = web::Data::new(Probes::new(observability.clone()));
    let served = observer.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(log.clone()))
            .app_data(web::Data::new(served.clone()))
            .app_data(probes.clone())
            .configure(probe_routes)
            .service(resource("/hello/{name}", "GET, HEAD").route(get().to(hello)))
            .default_service(web::to(not_found))
            .wrap(from_fn(observe))
            .wrap(server_spans())
    });
    let server = server.on_connect(guard_connection).disable_signals().bind("127.0.0.1:8080")?.run();
    let stopping = lifecycle::serve(server, &observer, Duration::from_secs(5)).await?;

    // Last: the spans and lines of the final requests leave, too.
    Ok(stopping.shut_down(&observability).await)
}

async fn hello(name: web::Path<String>, log: web::Data<slog::Logger>) -> HttpResponse {
    slog::info!(log, "greeting"; "name.length" => name.len());
    HttpResponse::Ok().body(format!("Hello, {name}!\n"))
}
