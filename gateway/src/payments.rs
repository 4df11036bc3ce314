//! The actor Payments: the client of payment.
//!
//! Receives [`Pay`] and [`Look`] from `http`; calls payment over HTTP with the trace, the token and the same
//! idempotency key on every attempt, so that trying again can't charge twice.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use payment_api::http::{IDEMPOTENCY_KEY, NewPayment, PAYMENT, PROCESS_PAYMENT, Payment};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use slog::{Logger, error, info, warn};
use telemetry::problem::Problem;
use telemetry::propagation::TraceContext;
use telemetry::{Chain, Traced};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, Span, field::Empty, info_span};
use uuid::Uuid;

use crate::config::Config;

/// Attempts after the first.
const MOST_RETRIES: u32 = 2;
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Have this paid.
#[derive(Message)]
#[rtype(result = "Result<Payment, PayError>")]
pub struct Pay {
    /// What to pay.
    pub payment: NewPayment,
    /// The same for every attempt.
    pub idempotency_key: String,
}

/// The payment of this order.
#[derive(Message)]
#[rtype(result = "Result<Payment, PayError>")]
pub struct Look(pub Uuid);

/// Why there is no payment.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// Too many calls are in flight already; this one was not made.
    #[error("too many calls are in flight")]
    Busy,
    /// Payment refused the request for good.
    #[error("payment refused: {0}")]
    Refused(Problem),
    /// Payment could not be reached, or could not do it; nothing was decided.
    #[error("payment is not available")]
    Unavailable(#[source] Option<reqwest::Error>),
    /// The request went out, and no answer came: it may have been decided.
    #[error("payment did not answer")]
    OutcomeUnknown(#[source] Option<reqwest::Error>),
    /// Payment answered something that is not in the contract.
    #[error("payment answered {0}, which is not in the contract")]
    Contract(StatusCode),
}

impl PayError {
    /// Whether the same request may succeed a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::OutcomeUnknown(_) => true,
            Self::Busy | Self::Refused(_) | Self::Contract(_) => false,
        }
    }
}

/// The client of payment.
#[derive(Clone)]
pub struct Payments {
    client: reqwest::Client,
    base: Url,
    token: SecretString,
    deadline: Duration,
    /// A call outlives the client that hung up on it, and so must its permit.
    in_flight: Arc<Semaphore>,
    log: Logger,
}

impl Actor for Payments {
    type Context = Context<Self>;
}

impl Handler<Traced<Pay>> for Payments {
    type Result = ResponseFuture<Result<Payment, PayError>>;

    fn handle(&mut self, pay: Traced<Pay>, _: &mut Self::Context) -> Self::Result {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            return Box::pin(ready(Err(PayError::Busy)));
        };
        let paid = self.clone().pay(pay.message);
        Box::pin(paid.inspect(move |_| drop(permit)).instrument(pay.span))
    }
}

impl Handler<Traced<Look>> for Payments {
    type Result = ResponseFuture<Result<Payment, PayError>>;

    fn handle(&mut self, look: Traced<Look>, _: &mut Self::Context) -> Self::Result {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            return Box::pin(ready(Err(PayError::Busy)));
        };
        let found = self.clone().look(look.message.0);
        Box::pin(found.inspect(move |_| drop(permit)).instrument(look.span))
    }
}

impl Payments {
    /// A client of the payment at `payment_url`.
    ///
    /// # Errors
    /// When there can be no HTTP client in this process.
    pub fn new(config: &Config, log: &Logger) -> Result<Self, reqwest::Error> {
        Ok(Self {
            // A proxy is for the world outside; payment is a neighbour, and it gets a token.
            client: reqwest::Client::builder().no_proxy().build()?,
            base: config.payment_url.clone(),
            token: config.payment_token.clone(),
            deadline: config.payment_deadline,
            in_flight: Arc::new(Semaphore::new(config.gateway_max_in_flight.get() as usize)),
            log: log.new(slog::o!("actor" => "payments")),
        })
    }

    async fn pay(self, pay: Pay) -> Result<Payment, PayError> {
        let order_id = pay.payment.order_id;
        let answer = self
            .call(Method::POST, PROCESS_PAYMENT, PROCESS_PAYMENT, |request| {
                request.header(IDEMPOTENCY_KEY, &pay.idempotency_key).json(&pay.payment)
            })
            .await;
        match &answer {
            Ok(payment) => info!(self.log, "payment answered";
                "payment.outcome" => payment.outcome.as_str(), "order.id" => %payment.order_id),
            Err(error) => error!(self.log, "no payment";
                "error.message" => Chain(error), "order.id" => %order_id),
        }
        answer
    }

    async fn look(self, order_id: Uuid) -> Result<Payment, PayError> {
        let path = PAYMENT.replace("{order_id}", &order_id.to_string());
        self.call(Method::GET, PAYMENT, &path, |request| request).await
    }

    /// Calls until there is a final answer, or the deadline is near.
    async fn call(
        &self,
        method: Method,
        template: &'static str,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Payment, PayError> {
        let deadline = Instant::now() + self.deadline;
        let mut url = self.base.clone();
        url.set_path(path);
        let mut delay = FIRST_DELAY;
        let mut resends = 0;
        let mut may_be_decided = false;
        loop {
            let span = client_span(&method, template, &url, resends);
            let request = build(self.client.request(method.clone(), url.clone()));
            let attempt = self.attempt(request, span.clone()).instrument(span.clone());
            let answer = timeout_at(deadline, attempt).await.unwrap_or(Err(PayError::OutcomeUnknown(None)));
            let Err(error) = answer else { return answer };
            span.record("error.type", error_type(&error));
            span.record("otel.status_code", "ERROR");
            may_be_decided |= matches!(error, PayError::OutcomeUnknown(_));
            let is_last = resends == MOST_RETRIES || Instant::now() + delay >= deadline;
            if is_last || !error.is_transient() {
                return Err(match error {
                    // That it can't be reached now says nothing about the attempt before.
                    PayError::Unavailable(cause) if may_be_decided => PayError::OutcomeUnknown(cause),
                    error => error,
                });
            }
            warn!(self.log, "calling payment again"; "error.message" => Chain(&error));
            sleep(delay).await;
            delay *= 2;
            resends += 1;
        }
    }

    async fn attempt(&self, mut request: RequestBuilder, span: Span) -> Result<Payment, PayError> {
        for (name, value) in TraceContext::of(&span).fields() {
            request = request.header(name, value);
        }
        match request.bearer_auth(self.token.expose_secret()).send().await {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status().as_u16());
                read(answer).await
            }
            // Nobody listened, so that nothing can have been decided.
            Err(error) if error.is_connect() => Err(PayError::Unavailable(Some(error))),
            Err(error) => Err(PayError::OutcomeUnknown(Some(error))),
        }
    }
}

async fn read(answer: reqwest::Response) -> Result<Payment, PayError> {
    let status = answer.status();
    match status {
        StatusCode::OK => answer.json().await.map_err(|error| PayError::OutcomeUnknown(Some(error))),
        StatusCode::SERVICE_UNAVAILABLE => Err(PayError::Unavailable(None)),
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => match answer.json().await {
            Ok(problem) => Err(PayError::Refused(problem)),
            Err(_) => Err(PayError::Contract(status)),
        },
        _ => Err(PayError::Contract(status)),
    }
}

/// A CLIENT span of one attempt, by the stable HTTP semantic conventions.
fn client_span(method: &Method, template: &'static str, url: &Url, resends: u32) -> Span {
    info_span!(
        "http.client",
        otel.name = format!("{method} {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.request.resend_count = (resends > 0).then_some(resends),
        http.response.status_code = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default(),
        url.full = url.as_str(),
        url.template = template,
        error.type = Empty,
    )
}

fn error_type(error: &PayError) -> String {
    match error {
        PayError::Busy => "busy".to_owned(),
        PayError::Refused(problem) => problem.status.to_string(),
        PayError::Contract(status) => status.as_str().to_owned(),
        PayError::Unavailable(None) => StatusCode::SERVICE_UNAVAILABLE.as_str().to_owned(),
        PayError::Unavailable(Some(_)) => "connect".to_owned(),
        PayError::OutcomeUnknown(_) => "timeout".to_owned(),
    }
}

#[cfg(test)]
mod tests;
