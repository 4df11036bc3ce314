//! Payment's HTTP interface: decode, ask the ledger, encode. Types and paths are those of `payment-api`.

use std::time::Duration;

use actix::{Addr, MailboxError};
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpServer, web};
use payment_api::auth::{Authorized, Token};
use payment_api::http::{IDEMPOTENCY_KEY, NewPayment, PAYMENT, PROCESS_PAYMENT, Payment};
use payment_api::simulation::SIMULATION;
use payment_api::{Flaw, Object};
use store::StoreError;
use telemetry::http::{
    Observer, Probes, get, guard_connection, not_found, observe, probe_routes, read_json, resource,
    server_spans,
};
use telemetry::problem::{FieldError, Problem};
use telemetry::{Traced, lifecycle};
use uuid::Uuid;

use crate::config::Config;
use crate::ledger::{Find, Ledger, Settle, SettleError, Simulate, Simulated};
use crate::simulation::{Simulation, Wanted};

/// What is measured from the start.
pub const ROUTES: [(&str, &str, &str); 4] = [
    ("POST", PROCESS_PAYMENT, "200"),
    ("GET", PAYMENT, "200"),
    ("GET", SIMULATION, "200"),
    ("PUT", SIMULATION, "200"),
];

/// A gateway sends at most its own limit and a little around it.
const BODY_LIMIT: usize = 128 * 1024;
/// It sends what it holds already.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
const LONGEST_KEY: usize = 255;

/// Binds the port; see [`lifecycle::serve`] for the rest.
///
/// # Errors
/// When the port is taken.
pub fn serve(
    config: &Config,
    ledger: Addr<Ledger>,
    observer: Observer,
    probes: Probes,
) -> std::io::Result<Server> {
    let probes = web::Data::new(probes);
    let observer = web::Data::new(observer);
    let token = web::Data::new(Token::new(&config.payment_token));
    let start = web::Data::new(config.simulation());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(probes.clone())
            .app_data(observer.clone())
            .app_data(token.clone())
            .app_data(web::Data::new(ledger.clone()))
            .app_data(start.clone())
            .service(resource(PROCESS_PAYMENT, "POST").route(web::post().to(process)))
            .service(resource(PAYMENT, "GET, HEAD").route(get().to(find)))
            .service(
                resource(SIMULATION, "GET, HEAD, PUT")
                    .route(get().to(simulated))
                    .route(web::put().to(simulate)),
            )
            .configure(probe_routes)
            .default_service(web::to(not_found))
            .wrap(from_fn(observe))
            .wrap(server_spans())
    });
    Ok(server
        .on_connect(guard_connection)
        .disable_signals()
        .shutdown_timeout(config.shutdown_deadline.as_secs() + 1)
        .bind(config.payment_listen)
        .map_err(lifecycle::cannot_listen("PAYMENT_LISTEN", config.payment_listen))?
        .run())
}

async fn process(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    ledger: web::Data<Addr<Ledger>>,
) -> Result<web::Json<Payment>, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = read_json(&request, payload, BODY_LIMIT, BODY_DEADLINE).await?;
    let Object(payment): Object<NewPayment> = serde_json::from_slice(&body)?;
    check(&payment)?;
    let settle = Settle { payment, idempotency_key };
    Ok(web::Json(ledger.send(Traced::new(settle)).await.map_err(gone)??))
}

async fn find(
    _: Authorized,
    ledger: web::Data<Addr<Ledger>>,
    order_id: web::Path<String>,
) -> Result<web::Json<Payment>, Problem> {
    let unknown = || Problem::not_found("There is no payment for this order.");
    let order_id: Uuid = order_id.parse().map_err(|_| unknown())?;
    let found = ledger.send(Traced::new(Find(order_id))).await.map_err(gone)?.map_err(unusable)?;
    found.map(web::Json).ok_or_else(unknown)
}

async fn simulated(_: Authorized, ledger: web::Data<Addr<Ledger>>) -> Result<web::Json<Simulation>, Problem> {
    Ok(web::Json(ledger.send(Simulated).await.map_err(gone)?))
}

async fn simulate(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    ledger: web::Data<Addr<Ledger>>,
    start: web::Data<Simulation>,
) -> Result<web::Json<Simulation>, Problem> {
    let body = read_json(&request, payload, BODY_LIMIT, BODY_DEADLINE).await?;
    let Object(wanted): Object<Wanted> = serde_json::from_slice(&body)?;
    let simulate = Simulate(wanted.over(**start)?);
    Ok(web::Json(ledger.send(Traced::new(simulate)).await.map_err(gone)?))
}

fn idempotency_key(request: &HttpRequest) -> Result<String, Problem> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    let key = keys.next().and_then(|value| value.to_str().ok()).filter(|_| keys.next().is_none());
    key.filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY).map(str::to_owned).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency-key-invalid",
            "Idempotency key missing or invalid",
            "Send an Idempotency-Key header of 1 to 255 printable ASCII characters.",
        )
    })
}

/// What is not kept to is refused here: whoever reads the event later can only park it.
fn check(payment: &NewPayment) -> Result<(), Problem> {
    let flaws = payment.flaws();
    if flaws.is_empty() {
        return Ok(());
    }
    let error =
        |flaw: Flaw| FieldError { pointer: flaw.pointer, code: "value".into(), detail: flaw.reason.into() };
    Err(Problem::validation(flaws.into_iter().map(error).collect()))
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The ledger has stopped: restart the service.")
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Amount(reason) => Self::validation(vec![FieldError {
                pointer: "/amount".into(),
                code: "amount".into(),
                detail: reason.to_string().into(),
            }]),
            SettleError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "Idempotency key used for another request",
                "This Idempotency-Key belongs to an earlier request with another body. Use a new key.",
            ),
            SettleError::InProgress => Self::new(
                StatusCode::CONFLICT,
                "idempotency-in-progress",
                "Request in progress",
                "An earlier request with this Idempotency-Key is still being worked on. Repeat this one later.",
            )
            .retry_after(1),
            SettleError::OrderKnown => Self::validation(vec![FieldError {
                pointer: "/orderId".into(),
                code: "duplicate".into(),
                detail: "belongs to a payment with another Idempotency-Key".into(),
            }]),
            SettleError::OutboxFull => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "outbox-full",
                "Outbox full",
                "Too many payments wait to be announced. Nothing was charged. Try again later.",
            )
            .retry_after(10),
            SettleError::Busy => Self::unavailable("Too many payments are in flight. Try again."),
            SettleError::Processor => Self::unavailable("The payment processor failed. Try again."),
            SettleError::Store(error) => unusable(error),
            SettleError::Encode(_) => Self::internal(),
        }
    }
}

fn unusable(error: StoreError) -> Problem {
    match error {
        StoreError::Unknown(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "outcome-unknown",
            "Outcome unknown",
            "The store was lost during the commit. Repeat the request with the same Idempotency-Key to learn the outcome.",
        ),
        _ => Problem::unavailable("The store of payments is not available. Try again."),
    }
}
