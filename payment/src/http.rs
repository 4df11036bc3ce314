//! The routes of payment: decode, send a message to the ledger, encode. Types and paths are those of `payment-api`.

use std::time::Duration;

use actix::{Addr, MailboxError};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use payment_api::Flaw;
use payment_api::http::{
    IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY, NewPayment, PAYMENT, PROCESS_PAYMENT, Payment,
};
use service::http::{get, read_json, resource};
use service::json::Object;
use service::problem::{FieldError, Problem};
use service::simulation::{SIMULATION, simulation_routes};
use service::token::{Authorized, Token};
use store::StoreError;
use telemetry::Traced;
use uuid::Uuid;

use crate::config::Config;
use crate::ledger::{FindPayment, Ledger, SettleError, SettlePayment};

/// The routes whose series exist from the start: method, template, status of success.
pub const ROUTES: [(&str, &str, &str); 4] = [
    ("POST", PROCESS_PAYMENT, "200"),
    ("GET", PAYMENT, "200"),
    ("GET", SIMULATION, "200"),
    ("PUT", SIMULATION, "200"),
];

/// Bytes of a body: the gateway adds a little to what it accepts.
const MAX_BODY: usize = 128 * 1024;
/// The gateway sends a body that it has in memory.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// The routes of payment.
pub fn routes(config: &Config, ledger: Addr<Ledger>) -> impl Fn(&mut web::ServiceConfig) + Clone + use<> {
    let token = web::Data::new(Token::new(&config.payment_token));
    let start = config.simulation();
    move |app| {
        app.app_data(token.clone())
            .app_data(web::Data::new(ledger.clone()))
            .service(resource(PROCESS_PAYMENT, "POST").route(web::post().to(process)))
            .service(resource(PAYMENT, "GET, HEAD").route(get().to(find)))
            .configure(|app| simulation_routes(app, &ledger, &start));
    }
}

async fn process(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    ledger: web::Data<Addr<Ledger>>,
) -> Result<web::Json<Payment>, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = read_json(&request, payload, MAX_BODY, BODY_DEADLINE).await?;
    let Object(payment): Object<NewPayment> = serde_json::from_slice(&body)?;
    check(&payment)?;
    let settle = SettlePayment { payment, idempotency_key };
    Ok(web::Json(ledger.send(Traced::new(settle)).await.map_err(gone)??))
}

async fn find(
    _: Authorized,
    ledger: web::Data<Addr<Ledger>>,
    order_id: web::Path<String>,
) -> Result<web::Json<Payment>, Problem> {
    let unknown = || Problem::not_found("There is no payment for this order.");
    let order_id: Uuid = order_id.parse().map_err(|_| unknown())?;
    let stopped = |_| Problem::unavailable("The ledger has stopped. Restart the service.");
    let found = ledger.send(Traced::new(FindPayment(order_id))).await.map_err(stopped)?.map_err(unusable)?;
    found.map(web::Json).ok_or_else(unknown)
}

fn idempotency_key(request: &HttpRequest) -> Result<String, Problem> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    let key = keys.next().and_then(|value| value.to_str().ok()).filter(|_| keys.next().is_none());
    key.filter(|key| !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY).map(str::to_owned).ok_or_else(
        || {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency-key-invalid",
                "Idempotency key missing or invalid",
                "Send an Idempotency-Key header of 1 to 255 printable ASCII characters.",
            )
        },
    )
}

/// Refuses a payment that breaks the rules of the contract: a reader of its event could only park it.
fn check(payment: &NewPayment) -> Result<(), Problem> {
    let flaws = payment.flaws();
    if flaws.is_empty() {
        return Ok(());
    }
    let error =
        |flaw: Flaw| FieldError { pointer: flaw.pointer, code: "value".into(), detail: flaw.reason.into() };
    Err(Problem::validation(flaws.into_iter().map(error).collect()))
}

/// A ledger that stopped may have settled the payment before.
fn gone(_: MailboxError) -> Problem {
    Problem::outcome_unknown("The ledger has stopped: restart the service.")
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
                "An earlier request with this Idempotency-Key is still in progress. Repeat this one later.",
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
                "Too many events wait for the broker. Nothing was charged. Repeat the request later.",
            )
            .retry_after(10),
            SettleError::Busy => Self::unavailable("Too many payments are in flight. Repeat the request."),
            SettleError::Processor => Self::unavailable("The payment processor failed. Repeat the request."),
            SettleError::Store(error) => unusable(error),
            SettleError::Encode(_) => Self::internal(),
        }
    }
}

fn unusable(error: StoreError) -> Problem {
    match error {
        StoreError::Unknown(_) => Problem::outcome_unknown("The database was lost during the commit."),
        _ => Problem::unavailable("The database of payments is not available. Repeat the request."),
    }
}
