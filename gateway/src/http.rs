//! The public routes: read and validate a request, send it to [`Payments`], write the response. Errors become problem
//! documents here.

use std::time::Duration;

use actix::{Addr, MailboxError};
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use payment_api::http::{EventState, NewPayment, Outcome, Payment};
use serde_json::json;
use service::http::{get, read_json, resource};
use service::problem::Problem;
use service::token::Token;
use slog::Logger;
use telemetry::Traced;
use telemetry::propagation::{annotate, current_trace_id};
use uuid::Uuid;

use crate::alert_log::AlertLog;
use crate::alerts::{ALERTS, alert_routes};
use crate::client::client;
use crate::config::Config;
use crate::held::{hold, hold_place};
use crate::idempotency::derived_key;
use crate::limits::{Limits, limit};
use crate::metrics::Metrics;
use crate::negotiation::Negotiated;
use crate::order::Order;
use crate::page::page_routes;
use crate::payments::{CallError, FindPayment, Payments, RequestPayment};
use crate::synthetic;

const CREATE_ORDER: &str = "/create-order";
const ORDER: &str = "/orders/{order_id}";

/// The routes whose series exist from the start: method, template, status of success.
pub const ROUTES: [(&str, &str, &str); 4] =
    [("POST", CREATE_ORDER, "201"), ("GET", ORDER, "200"), ("POST", ALERTS, "204"), ("GET", ALERTS, "200")];

/// Bytes of the body of an order.
const MAX_BODY: usize = 64 * 1024;

/// The header of a response that repeats an earlier one.
const REPLAYED: &str = "idempotent-replayed";

/// The parts of the gateway that the handlers of orders use.
#[derive(Clone)]
struct Shared {
    payments: Addr<Payments>,
    metrics: Metrics,
    log: Logger,
    body_deadline: Duration,
}

/// The routes of this gateway.
pub fn routes(
    config: &Config,
    limits: Limits,
    (payments, alert_log): (Addr<Payments>, Addr<AlertLog>),
    (metrics, log): (Metrics, Logger),
) -> impl Fn(&mut web::ServiceConfig) + Clone + use<> {
    let shared =
        web::Data::new(Shared { payments, metrics, log, body_deadline: config.gateway_body_deadline });
    let trace_url = config.trace_url.clone();
    let alerts_token = config.alerts_token.as_ref().map(Token::new);
    let limits = web::Data::new(limits);
    move |app| {
        if let Some(token) = &alerts_token {
            // For the routes of operations; without it they refuse every request.
            app.app_data(web::Data::new(token.clone()));
        }
        app.app_data(shared.clone())
            .app_data(limits.clone())
            .service(
                resource(CREATE_ORDER, "POST")
                    .route(web::post().to(create_order))
                    .wrap(from_fn(hold_place))
                    .wrap(from_fn(limit)),
            )
            .service(
                resource(ORDER, "GET, HEAD")
                    .route(get().to(find_order))
                    .wrap(from_fn(hold_place))
                    .wrap(from_fn(limit)),
            )
            .configure(|routes| alert_routes(routes, alerts_token.as_ref(), &alert_log))
            .configure(|routes| page_routes(routes, &trace_url));
    }
}

async fn create_order(
    _: Negotiated,
    request: HttpRequest,
    payload: web::Payload,
    (shared, limits): (web::Data<Shared>, web::Data<Limits>),
) -> Result<HttpResponse, Problem> {
    let client = client(&request);
    let arriving = limits.body(client)?;
    let log = synthetic::mark(&request, &shared.log);
    let order_id = Uuid::now_v7();
    let idempotency_key = derived_key(&request, order_id)?;
    let body = read_json(&request, payload, MAX_BODY, shared.body_deadline).await?;
    hold(&request, limits.order(client)?);
    drop(arriving);
    let order = Order::parse(if body.is_empty() { Order::SAMPLE } else { &body })?;
    let payment = NewPayment {
        order_id,
        customer: order.customer,
        items: order.items,
        amount: order.total.to_string(),
        currency: order.total.currency(),
    };
    let request = RequestPayment { payment, idempotency_key };
    let payment = shared.payments.send(Traced::new(request)).await.map_err(gone)??;
    // The payment of another order answers an earlier request with the same key.
    let is_new = payment.order_id == order_id;
    annotate("order.id", payment.order_id.to_string());
    if payment.outcome == Outcome::Declined {
        return Err(declined(&payment));
    }
    if is_new {
        shared.metrics.orders_created.inc();
    }
    slog::info!(log, "order placed"; "order.replayed" => !is_new, "order.id" => %payment.order_id);
    Ok(placed(&payment, is_new))
}

fn placed(payment: &Payment, is_new: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, ORDER.replace("{order_id}", &payment.order_id.to_string())));
    if !is_new {
        response.insert_header((REPLAYED, "true"));
    }
    response.json(json!({
        "message": "Order Placed!",
        "orderId": payment.order_id,
        "traceId": payment.trace_id.clone().or_else(current_trace_id),
        "paymentDetails": {"status": "success", "message": "Payment processed successfully"},
    }))
}

async fn find_order(
    _: Negotiated,
    request: HttpRequest,
    (shared, limits): (web::Data<Shared>, web::Data<Limits>),
    order_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    hold(&request, limits.order(client(&request))?);
    let unknown = |_| Problem::not_found("There is no order with this id.");
    let order_id: Uuid = order_id.parse().map_err(unknown)?;
    let stopped = |_| Problem::unavailable("The client of payment has stopped. Restart the service.");
    let found = shared.payments.send(Traced::new(FindPayment(order_id))).await.map_err(stopped)?;
    let payment = found.map_err(|error| match error {
        CallError::Unavailable(_)
        | CallError::CircuitOpen
        | CallError::OutcomeUnknown(_)
        | CallError::Failed(_) => Problem::unavailable("Payment is not available. Repeat the request."),
        error => error.into(),
    })?;
    Ok(HttpResponse::Ok().json(json!({
        "orderId": payment.order_id,
        "traceId": payment.trace_id,
        "status": if payment.outcome == Outcome::Succeeded { "paid" } else { "declined" },
        "reason": payment.reason,
        "amount": payment.amount,
        "currency": payment.currency,
        "createdAt": payment.settled_at.format(&time::format_description::well_known::Rfc3339).ok(),
        "event": if payment.event == EventState::Published { "published" } else { "pending" },
    })))
}

fn declined(payment: &Payment) -> Problem {
    let reason = payment.reason.as_deref().unwrap_or("The payment was declined.");
    let detail = format!("{reason} Nothing was charged. The order is {}.", payment.order_id);
    Problem::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", "Payment declined", detail)
}

/// A client of payment that stopped may have sent the request before.
fn gone(_: MailboxError) -> Problem {
    Problem::outcome_unknown("The client of payment has stopped: restart the service.")
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Busy => {
                Self::unavailable("Too many orders are in flight. Nothing was charged. Repeat the request.")
            }
            CallError::Refused(problem) if problem.status == 404 => {
                Self::not_found("There is no order with this id.")
            }
            CallError::Refused(problem) | CallError::InProgress(problem) => problem,
            CallError::Unavailable(_) | CallError::CircuitOpen => {
                Self::unavailable("Payment is not available. Nothing was charged. Repeat the request.")
            }
            CallError::OutcomeUnknown(_) => Self::outcome_unknown("Payment did not answer in time."),
            CallError::Failed(_) => Self::outcome_unknown("Payment failed."),
            CallError::Contract(_) => Self::internal(),
        }
    }
}
