//! The actor Ledger: decides every payment, once.
//!
//! Receives [`SettlePayment`], [`FindPayment`], [`ReadSimulation`] and [`ChangeSimulation`] from `http`; sends
//! [`RelayEvents`] to the publisher after a commit. Its state is in the store, so that a killed process loses nothing; in
//! memory it has only the keys that are being settled, and the simulated processor.

mod keys;
mod settlement;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use payment_api::http::{NewPayment, Payment, order_key};
use payment_api::{Money, MoneyError};
use service::simulation::{ChangeSimulation, ReadSimulation, pause};
use slog::{Logger, info, warn};
use store::StoreError;
use telemetry::{Chain, Traced};
use tokio::sync::Semaphore;
use tracing::{Instrument, field::Empty, info_span};
use uuid::Uuid;

use self::keys::Keys;
use self::settlement::{fingerprint, settlement};
use crate::decision::Rules;
use crate::metrics::Metrics;
use crate::publisher::RelayEvents;
use crate::simulation::Simulation;
use crate::store::{Known, Settlement, Store};

/// Settle this payment, or return the one that was settled under the same key.
#[derive(Message)]
#[rtype(result = "Result<Payment, SettleError>")]
pub struct SettlePayment {
    /// The payment.
    pub payment: NewPayment,
    /// The key that makes the request repeatable.
    pub idempotency_key: String,
}

/// Find the payment of this order.
#[derive(Message)]
#[rtype(result = "Result<Option<Payment>, StoreError>")]
pub struct FindPayment(pub Uuid);

/// Why a payment was not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Too many payments are in flight already; nothing was decided.
    #[error("too many payments are in flight")]
    Busy,
    /// The amount is not valid in its currency.
    #[error("the amount is not valid")]
    Amount(#[from] MoneyError),
    /// The key was used for a payment with other contents.
    #[error("the idempotency key was used for another payment")]
    KeyReused,
    /// Another request with this key is being settled right now.
    #[error("the idempotency key is in use by a request that is being settled")]
    InProgress,
    /// The order was paid under another key.
    #[error("the order was settled under another key")]
    OrderKnown,
    /// Too many events wait for the broker; nothing was decided.
    #[error("the outbox is full")]
    OutboxFull,
    /// The processor failed; nothing was decided, and another attempt may succeed.
    #[error("the payment processor failed")]
    Processor,
    /// The store did not commit, or is not known to have.
    #[error("the payment could not be stored")]
    Store(#[from] StoreError),
    /// The event could not be written as JSON: a bug.
    #[error("the event can't be encoded")]
    Encode(#[from] serde_json::Error),
}

impl SettleError {
    /// Whether payment failed, and not the request.
    fn is_ours(&self) -> bool {
        match self {
            Self::Busy | Self::OutboxFull | Self::Processor | Self::Store(_) | Self::Encode(_) => true,
            Self::Amount(_) | Self::KeyReused | Self::InProgress | Self::OrderKnown => false,
        }
    }
}

/// The decider of payments.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    rules: Rules,
    publisher: Recipient<RelayEvents>,
    metrics: Metrics,
    /// A settlement outlives a client that hangs up, and so must its permit.
    in_flight: Arc<Semaphore>,
    keys: Keys,
    log: Logger,
}

/// Between two removals of old keys and events.
const FORGET_PERIOD: Duration = Duration::from_secs(60);
/// Between two measurements of the outbox.
const MEASURE_PERIOD: Duration = Duration::from_secs(1);

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Here and not in the publisher: under load its passes never end.
        context.run_interval(MEASURE_PERIOD, |ledger, _| {
            let (store, metrics) = (ledger.store.clone(), ledger.metrics.clone());
            actix::spawn(async move {
                if let Ok(backlog) = store.backlog().await {
                    metrics.waiting(backlog);
                }
                metrics.store_log_bytes.set(i64::try_from(store.log_bytes()).unwrap_or(i64::MAX));
            });
        });
        context.run_interval(FORGET_PERIOD, |ledger, _| {
            let (store, log) = (ledger.store.clone(), ledger.log.clone());
            actix::spawn(async move {
                if let Err(error) = store.forget_old().await {
                    warn!(log, "old keys and events can't be forgotten yet"; "error.message" => Chain(&error));
                }
            });
        });
    }
}

impl Handler<Traced<SettlePayment>> for Ledger {
    type Result = ResponseFuture<Result<Payment, SettleError>>;

    fn handle(&mut self, settle: Traced<SettlePayment>, _: &mut Self::Context) -> Self::Result {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            return Box::pin(ready(Err(SettleError::Busy)));
        };
        let span = info_span!(
            parent: &settle.span,
            "ledger.settle",
            otel.name = "settle payment",
            order.id = %settle.message.payment.order_id,
            payment.outcome = Empty,
        );
        let settled = self.clone().settle(settle.message);
        Box::pin(settled.inspect(move |_| drop(permit)).instrument(span))
    }
}

impl Handler<Traced<FindPayment>> for Ledger {
    type Result = ResponseFuture<Result<Option<Payment>, StoreError>>;

    fn handle(&mut self, find: Traced<FindPayment>, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move { store.find(find.message.0).await }.instrument(find.span))
    }
}

impl Handler<ReadSimulation<Simulation>> for Ledger {
    type Result = MessageResult<ReadSimulation<Simulation>>;

    fn handle(&mut self, _: ReadSimulation<Simulation>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.rules.simulation)
    }
}

impl Handler<Traced<ChangeSimulation<Simulation>>> for Ledger {
    type Result = MessageResult<Traced<ChangeSimulation<Simulation>>>;

    fn handle(
        &mut self,
        Traced { span, message }: Traced<ChangeSimulation<Simulation>>,
        _: &mut Self::Context,
    ) -> Self::Result {
        let ChangeSimulation(simulation) = message;
        self.rules.simulation = simulation;
        span.in_scope(|| {
            info!(self.log, "simulation changed";
                "simulation.latency_ms" => simulation.latency.as_millis(),
                "simulation.decline_rate" => simulation.decline_rate,
                "simulation.failure_rate" => simulation.failure_rate);
        });
        MessageResult(simulation)
    }
}

impl Ledger {
    /// A ledger over `store` that sends `publisher` a message after each commit.
    pub fn new(
        store: Store,
        rules: Rules,
        publisher: Recipient<RelayEvents>,
        metrics: Metrics,
        log: &Logger,
    ) -> Self {
        let in_flight = Arc::new(Semaphore::new(rules.max_in_flight as usize));
        let log = log.new(slog::o!("omnitrace.actor" => "ledger"));
        Self { store, rules, publisher, metrics, in_flight, keys: Keys::default(), log }
    }

    async fn settle(self, settle: SettlePayment) -> Result<Payment, SettleError> {
        let order_id = settle.payment.order_id;
        let settled = self.decide_once(settle).await;
        match &settled {
            Ok(payment) => {
                tracing::Span::current().record("payment.outcome", payment.outcome.as_str());
                // A repetition returns the payment of the order of the first request.
                info!(self.log, "payment settled"; "payment.replayed" => payment.order_id != order_id,
                    "payment.outcome" => payment.outcome.as_str(), "order.id" => %payment.order_id);
            }
            Err(error) => {
                let error_text = Chain(error);
                if error.is_ours() {
                    self.metrics.failed();
                    warn!(self.log, "payment not settled"; "error.message" => error_text, "order.id" => %order_id);
                } else {
                    // A mistake of a client is no warning: it would hide those of ours.
                    info!(self.log, "payment not settled"; "error.message" => error_text, "order.id" => %order_id);
                }
            }
        }
        settled
    }

    async fn decide_once(&self, settle: SettlePayment) -> Result<Payment, SettleError> {
        let SettlePayment { payment: new, idempotency_key } = settle;
        let amount = Money::parse(&new.amount, new.currency)?;
        let fingerprint = fingerprint(&new)?;
        // A key that the gateway made for this order is new, but for a retry: the transaction of that finds it.
        if idempotency_key != order_key(new.order_id)
            && let Some(known) = self.store.find_by_key(&idempotency_key).await?
        {
            return repeat(known, &fingerprint);
        }
        let Some(_held) = self.keys.hold(&idempotency_key) else { return Err(SettleError::InProgress) };
        if self.store.pending() >= i64::from(self.rules.outbox_limit) {
            return self.known_or(SettleError::OutboxFull, &idempotency_key, &fingerprint).await;
        }
        pause(self.rules.simulation.latency).await;
        if self.rules.fails() {
            return self.known_or(SettleError::Processor, &idempotency_key, &fingerprint).await;
        }
        let decision = self.rules.decide(new.order_id, amount);
        self.commit(settlement(new, amount, decision, idempotency_key, fingerprint)?).await
    }

    /// The payment under this key, or the refusal: "nothing was charged" must be true.
    async fn known_or(
        &self,
        refusal: SettleError,
        key: &str,
        fingerprint: &str,
    ) -> Result<Payment, SettleError> {
        match self.store.find_by_key(key).await? {
            Some(known) => repeat(known, fingerprint),
            None => Err(refusal),
        }
    }

    async fn commit(&self, settlement: Settlement) -> Result<Payment, SettleError> {
        let (payment, fingerprint) = (settlement.payment.clone(), settlement.fingerprint.clone());
        service::crash::point("payment.before_commit");
        let settled = self.store.settle(settlement).await;
        service::crash::point("payment.after_commit");
        match settled {
            // Another attempt with this key was faster, at another replica.
            Ok(Some(known)) => repeat(known, &fingerprint),
            Ok(None) => {
                self.metrics.settled(payment.outcome);
                // A full mailbox means that a pass is due already, and it will find this event.
                let _ = self.publisher.try_send(RelayEvents);
                Ok(payment)
            }
            Err(error) if error.is_conflict() => Err(SettleError::OrderKnown),
            Err(error) => Err(error.into()),
        }
    }
}

fn repeat(known: Known, fingerprint: &str) -> Result<Payment, SettleError> {
    if known.fingerprint == fingerprint { Ok(known.payment) } else { Err(SettleError::KeyReused) }
}

#[cfg(test)]
mod tests;
