//! The smallest service that is observed in full. README.md quotes this file.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use actix::Addr;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use telemetry::http::{Observer, observe, server_spans};
use telemetry::metrics::Format;
use telemetry::{Gather, Observability, Service, Settings, Shutdown, slog};
use tokio::time::Instant;

const SERVICE: Service = Service { name: "greeter", version: env!("CARGO_PKG_VERSION") };

#[derive(Parser)]
struct Config {
    #[arg(default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    #[command(flatten)]
    telemetry: Settings,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::parse();
    // First: all that is built below can log, count and trace.
    let observability = Observability::new(SERVICE, &config.telemetry)?;
    let log = observability.log();
    let observer = Observer::register(observability.registry(), &log, &[("GET", "/hello/{name}", "200")])?;
    let observability = observability.launch();

    let gatherer = observability.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(log.clone()))
            .app_data(web::Data::new(observer.clone()))
            .app_data(web::Data::new(gatherer.clone()))
            .route("/hello/{name}", web::get().to(hello))
            .route("/metrics", web::get().to(metrics))
            .wrap(from_fn(observe))
            .wrap(server_spans())
    });
    let server = server.disable_signals().bind(config.address)?.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    tokio::signal::ctrl_c().await?;
    handle.stop(true).await;

    // Last: the spans and lines of the final requests leave, too.
    observability.send(Shutdown { deadline: Instant::now() + Duration::from_secs(5) }).await?;
    Ok(())
}

async fn hello(name: web::Path<String>, log: web::Data<slog::Logger>) -> HttpResponse {
    slog::info!(log, "greeting"; "name.length" => name.len());
    HttpResponse::Ok().body(format!("Hello, {name}!\n"))
}

async fn metrics(observability: web::Data<Addr<Observability>>) -> HttpResponse {
    match observability.send(Gather(Format::Text)).await {
        Ok(Ok(page)) => HttpResponse::Ok().content_type(Format::Text.content_type()).body(page),
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}
