//! The actor Ledger: decides every payment, once.
//!
//! Receives [`Settle`] and [`Find`], [`Simulated`] and [`Simulate`] from `http`; sends [`Relay`] to the publisher after
//! a commit. What it knows is in the store, so that a killed process forgets nothing; of its own it has only the keys
//! that are being settled, and the simulated processor.

mod keys;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use payment_api::event::{Kind, PaymentEvent, PaymentSettled, SOURCE, SPECVERSION};
use payment_api::http::{EventState, NewPayment, Payment};
use payment_api::{Money, MoneyError};
use service::simulation::{ChangeSimulation, ReadSimulation};
use sha2::{Digest, Sha256};
use slog::{Logger, info, warn};
use store::StoreError;
use telemetry::propagation::{TraceContext, current_trace_id};
use telemetry::{Chain, Traced};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::{Instrument, field::Empty, info_span};
use uuid::Uuid;

use self::keys::Keys;
use crate::decision::Rules;
use crate::metrics::Metrics;
use crate::publisher::Relay;
use crate::simulation::Simulation;
use crate::store::{Known, OutboxEvent, Settlement, Store};

/// Settle this payment, or repeat what was decided under the same key.
#[derive(Message)]
#[rtype(result = "Result<Payment, SettleError>")]
pub struct Settle {
    /// What to settle.
    pub payment: NewPayment,
    /// The key that makes it repeatable.
    pub idempotency_key: String,
}

/// The payment of this order.
#[derive(Message)]
#[rtype(result = "Result<Option<Payment>, StoreError>")]
pub struct Find(pub Uuid);

/// Why a payment was not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Too many payments are in flight already; nothing was decided.
    #[error("too many payments are in flight")]
    Busy,
    /// The amount is none.
    #[error("the amount is not acceptable")]
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
    /// The event has no JSON: a bug.
    #[error("the event can't be encoded")]
    Encode(#[from] serde_json::Error),
}

impl SettleError {
    /// Whether it is our failure, and not what was asked for.
    fn is_ours(&self) -> bool {
        match self {
            Self::Busy | Self::OutboxFull | Self::Processor | Self::Store(_) | Self::Encode(_) => true,
            Self::Amount(_) | Self::KeyReused | Self::InProgress | Self::OrderKnown => false,
        }
    }
}

/// The one place where payments are decided.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    rules: Rules,
    publisher: Recipient<Relay>,
    metrics: Metrics,
    /// A settlement outlives the client that hung up on it, and so must its permit.
    in_flight: Arc<Semaphore>,
    keys: Keys,
    log: Logger,
}

/// How often old keys and events are looked for.
const FORGET_PERIOD: Duration = Duration::from_secs(60);

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
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

impl Handler<Traced<Settle>> for Ledger {
    type Result = ResponseFuture<Result<Payment, SettleError>>;

    fn handle(&mut self, settle: Traced<Settle>, _: &mut Self::Context) -> Self::Result {
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

impl Handler<Traced<Find>> for Ledger {
    type Result = ResponseFuture<Result<Option<Payment>, StoreError>>;

    fn handle(&mut self, find: Traced<Find>, _: &mut Self::Context) -> Self::Result {
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
    /// A ledger over `store` that tells `publisher` about commits.
    pub fn new(
        store: Store,
        rules: Rules,
        publisher: Recipient<Relay>,
        metrics: Metrics,
        log: &Logger,
    ) -> Self {
        let in_flight = Arc::new(Semaphore::new(rules.max_in_flight as usize));
        let log = log.new(slog::o!("actor" => "ledger"));
        Self { store, rules, publisher, metrics, in_flight, keys: Keys::default(), log }
    }

    async fn settle(self, settle: Settle) -> Result<Payment, SettleError> {
        let order_id = settle.payment.order_id;
        let settled = self.decide_once(settle).await;
        match &settled {
            Ok(payment) => {
                tracing::Span::current().record("payment.outcome", payment.outcome.as_str());
                // A repetition answers about the order that it was first asked for.
                info!(self.log, "payment settled"; "payment.replayed" => payment.order_id != order_id,
                    "payment.outcome" => payment.outcome.as_str(), "order.id" => %payment.order_id);
            }
            Err(error) => {
                if error.is_ours() {
                    self.metrics.failed();
                }
                warn!(self.log, "payment not settled"; "error.message" => Chain(error), "order.id" => %order_id);
            }
        }
        settled
    }

    async fn decide_once(&self, settle: Settle) -> Result<Payment, SettleError> {
        let Settle { payment: new, idempotency_key } = settle;
        let amount = Money::parse(&new.amount, new.currency)?;
        let fingerprint = fingerprint(&new)?;
        if let Some(known) = self.store.find_by_key(&idempotency_key).await? {
            return repeat(known, &fingerprint);
        }
        let Some(_held) = self.keys.hold(&idempotency_key) else { return Err(SettleError::InProgress) };
        if self.store.pending() >= i64::from(self.rules.outbox_limit) {
            return Err(SettleError::OutboxFull);
        }
        tokio::time::sleep(self.rules.simulation.latency).await;
        if self.rules.fails() {
            return Err(SettleError::Processor);
        }
        let settlement = self.settlement(new, amount, idempotency_key, fingerprint)?;
        self.commit(settlement).await
    }

    async fn commit(&self, settlement: Settlement) -> Result<Payment, SettleError> {
        let (payment, fingerprint) = (settlement.payment.clone(), settlement.fingerprint.clone());
        service::crash::point("payment.before_commit");
        let settled = self.store.settle(settlement).await;
        service::crash::point("payment.after_commit");
        match settled {
            // Another attempt with this key was faster; the transaction knows.
            Ok(Some(known)) => repeat(known, &fingerprint),
            Ok(None) => {
                self.metrics.settled(payment.outcome);
                // Full means that a pass over the outbox is due already, and it will see this event.
                let _ = self.publisher.try_send(Relay);
                Ok(payment)
            }
            Err(error) if error.is_conflict() => Err(SettleError::OrderKnown),
            Err(error) => Err(error.into()),
        }
    }

    fn settlement(
        &self,
        new: NewPayment,
        amount: Money,
        idempotency_key: String,
        fingerprint: String,
    ) -> Result<Settlement, serde_json::Error> {
        let decision = self.rules.decide(new.order_id, amount);
        let settled_at = OffsetDateTime::now_utc();
        let reason = decision.reason.map(str::to_owned);
        let kind = Kind::from(decision.outcome);
        let event = PaymentEvent {
            specversion: SPECVERSION.to_owned(),
            id: Uuid::now_v7(),
            source: SOURCE.to_owned(),
            kind,
            time: settled_at,
            data: PaymentSettled {
                order_id: new.order_id,
                customer: new.customer,
                items: new.items,
                amount: amount.to_string(),
                currency: new.currency,
                reason: reason.clone(),
            },
        };
        Ok(Settlement {
            payment: Payment {
                order_id: new.order_id,
                outcome: decision.outcome,
                reason,
                amount: amount.to_string(),
                currency: new.currency,
                settled_at,
                trace_id: current_trace_id(),
                event: EventState::Pending,
            },
            amount,
            idempotency_key,
            fingerprint,
            event: OutboxEvent {
                id: event.id,
                order_id: new.order_id,
                routing_key: kind.as_str().to_owned(),
                payload: serde_json::to_vec(&event)?,
                trace_context: TraceContext::current(),
            },
        })
    }
}

fn repeat(known: Known, fingerprint: &str) -> Result<Payment, SettleError> {
    if known.fingerprint == fingerprint { Ok(known.payment) } else { Err(SettleError::KeyReused) }
}

/// A digest of what is asked for; the order id is not part of it, for a retry of the client brings a new one.
fn fingerprint(new: &NewPayment) -> Result<String, serde_json::Error> {
    let asked = serde_json::to_vec(&(&new.customer, &new.items, &new.amount, new.currency))?;
    Ok(Sha256::digest(asked).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
