//! The actor Payments: the client of payment.
//!
//! Receives [`RequestPayment`] and [`FindPayment`] from `http`; calls payment over HTTP with the trace, the token and the
//! same idempotency key in every attempt, so that a retry can't charge twice. While payment does not answer at all, the
//! [`Circuit`] breaker refuses in its place.

mod response;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use payment_api::http::{IDEMPOTENCY_KEY, NewPayment, PAYMENT, PROCESS_PAYMENT, Payment};
use reqwest::{Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use service::Backoff;
use slog::{Logger, error, info, warn};
use telemetry::propagation::TraceContext;
use telemetry::{Chain, Traced};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, Span, field::Empty, info_span};
use uuid::Uuid;

pub use self::response::CallError;
use crate::breaker::{Circuit, Messages};
use crate::config::Config;
use crate::metrics::Metrics;

/// Request a payment; the response may be that of an earlier request with the same key.
#[derive(Message)]
#[rtype(result = "Result<Payment, CallError>")]
pub struct RequestPayment {
    /// The payment.
    pub payment: NewPayment,
    /// The same for every attempt.
    pub idempotency_key: String,
}

/// Find the payment of this order.
#[derive(Message)]
#[rtype(result = "Result<Payment, CallError>")]
pub struct FindPayment(pub Uuid);

/// Attempts after the first; while payment is at work on an earlier attempt, the deadline alone is the bound.
const MAX_RETRIES: u32 = 2;
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
const MESSAGES: Messages = Messages {
    open: "payment does not answer, orders are refused until it does",
    closed: "payment answers again",
};

/// The client of payment.
#[derive(Clone)]
pub struct Payments {
    client: reqwest::Client,
    base: Url,
    token: SecretString,
    deadline: Duration,
    /// A call outlives a client that hangs up, and so must its permit.
    in_flight: Arc<Semaphore>,
    circuit: Circuit,
    metrics: Metrics,
    log: Logger,
}

impl Actor for Payments {
    type Context = Context<Self>;
}

impl Handler<Traced<RequestPayment>> for Payments {
    type Result = ResponseFuture<Result<Payment, CallError>>;

    fn handle(&mut self, request: Traced<RequestPayment>, _: &mut Self::Context) -> Self::Result {
        self.within_limit(self.clone().request(request.message), request.span)
    }
}

impl Handler<Traced<FindPayment>> for Payments {
    type Result = ResponseFuture<Result<Payment, CallError>>;

    fn handle(&mut self, find: Traced<FindPayment>, _: &mut Self::Context) -> Self::Result {
        self.within_limit(self.clone().find(find.message.0), find.span)
    }
}

impl Payments {
    /// A client of the payment at `payment_url`.
    ///
    /// # Errors
    /// When there can be no HTTP client in this process.
    pub fn new(config: &Config, metrics: &Metrics, log: &Logger) -> Result<Self, reqwest::Error> {
        let log = log.new(slog::o!("omnitrace.actor" => "payments"));
        Ok(Self {
            // The requests have a token in them: a proxy must not see it, and payment is in our own network.
            client: reqwest::Client::builder().no_proxy().build()?,
            base: config.payment_url.clone(),
            token: config.payment_token.clone(),
            deadline: config.payment_deadline,
            in_flight: Arc::new(Semaphore::new(config.gateway_max_in_flight.get() as usize)),
            circuit: Circuit::new(metrics.circuit_breaker_open.clone(), &log, MESSAGES),
            metrics: metrics.clone(),
            log,
        })
    }

    /// The breaker, which knows whether payment answers.
    pub fn circuit(&self) -> Circuit {
        self.circuit.clone()
    }

    /// Makes a call in its span, or refuses it where too many are in flight.
    fn within_limit(
        &self,
        call: impl Future<Output = Result<Payment, CallError>> + 'static,
        span: Span,
    ) -> ResponseFuture<Result<Payment, CallError>> {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            return Box::pin(ready(Err(CallError::Busy)));
        };
        Box::pin(call.inspect(move |_| drop(permit)).instrument(span))
    }

    async fn request(self, wanted: RequestPayment) -> Result<Payment, CallError> {
        let order_id = wanted.payment.order_id;
        let answer = self
            .call(Method::POST, PROCESS_PAYMENT, PROCESS_PAYMENT, |request| {
                service::crash::point("gateway.before_forward");
                request.header(IDEMPOTENCY_KEY, &wanted.idempotency_key).json(&wanted.payment)
            })
            .await;
        if answer.is_ok() {
            service::crash::point("gateway.after_payment");
        }
        match &answer {
            Ok(payment) => info!(self.log, "payment answered";
                "payment.outcome" => payment.outcome.as_str(), "order.id" => %payment.order_id),
            Err(error) if error.is_of_client() => info!(self.log, "no payment";
                "error.message" => Chain(error), "order.id" => %order_id),
            Err(error) => error!(self.log, "no payment";
                "error.message" => Chain(error), "order.id" => %order_id),
        }
        answer
    }

    async fn find(self, order_id: Uuid) -> Result<Payment, CallError> {
        let path = PAYMENT.replace("{order_id}", &order_id.to_string());
        self.call(Method::GET, PAYMENT, &path, |request| request).await
    }

    /// Calls until there is a final response, or the deadline is near.
    async fn call(
        &self,
        method: Method,
        template: &'static str,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Payment, CallError> {
        let deadline = Instant::now() + self.deadline;
        let mut url = self.base.clone();
        url.set_path(path);
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        let mut resends = 0;
        let mut may_be_decided = false;
        loop {
            let answer = if self.circuit.admit() {
                let span = client_span(&method, template, &url, resends);
                let request = build(self.client.request(method.clone(), url.clone()));
                let attempt = async {
                    let (started, answer) = (Instant::now(), self.attempt(request, deadline, &span).await);
                    let outcome = answer.as_ref().map_or_else(CallError::outcome, |_| "answered");
                    self.metrics.called(method.as_str(), template, outcome, started.elapsed());
                    answer
                };
                attempt.instrument(span.clone()).await
            } else {
                Err(CallError::CircuitOpen)
            };
            let Err(error) = answer else { return answer };
            may_be_decided |= error.may_be_decided();
            // An earlier attempt of this call may be at work, or has been: its outcome is worth waiting for.
            let is_ours =
                may_be_decided && matches!(error, CallError::InProgress(_) | CallError::CircuitOpen);
            let is_worth_it = is_ours || (error.is_transient() && resends < MAX_RETRIES);
            let pause = backoff.pause();
            if !is_worth_it || Instant::now() + pause >= deadline {
                return Err(if may_be_decided { error.after_unknown() } else { error });
            }
            warn!(self.log, "calling payment again"; "error.message" => Chain(&error));
            sleep(pause).await;
            resends += 1;
        }
    }

    /// One attempt, whose result the breaker records.
    async fn attempt(
        &self,
        request: RequestBuilder,
        deadline: Instant,
        span: &Span,
    ) -> Result<Payment, CallError> {
        let answer = timeout_at(deadline, self.exchange(request, span)).await;
        let answer = answer.unwrap_or(Err(CallError::OutcomeUnknown(None)));
        self.circuit.record(!answer.as_ref().is_err_and(CallError::is_silence));
        if let Err(error) = &answer {
            span.record("error.type", error.kind());
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    async fn exchange(&self, mut request: RequestBuilder, span: &Span) -> Result<Payment, CallError> {
        for (name, value) in TraceContext::of(span).fields() {
            request = request.header(name, value);
        }
        match request.bearer_auth(self.token.expose_secret()).send().await {
            Ok(answer) => {
                span.record("http.response.status_code", i64::from(answer.status().as_u16()));
                response::read(answer).await
            }
            // Without a connection nothing can have been decided.
            Err(error) if error.is_connect() => Err(CallError::Unavailable(Some(error))),
            Err(error) => Err(CallError::OutcomeUnknown(Some(error))),
        }
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
        http.request.resend_count = (resends > 0).then_some(i64::from(resends)),
        http.response.status_code = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        url.full = url.as_str(),
        url.template = template,
        error.type = Empty,
    )
}

#[cfg(test)]
mod tests;
