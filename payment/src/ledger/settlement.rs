//! What is committed of a decided payment: the payment, its key, and its event.

use data_encoding::HEXLOWER;
use payment_api::Money;
use payment_api::event::{Kind, PaymentEvent, PaymentSettled, SOURCE, SPECVERSION};
use payment_api::http::{EventState, NewPayment, Payment};
use sha2::{Digest, Sha256};
use telemetry::propagation::{TraceContext, current_trace_id};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::decision::Decision;
use crate::store::{OutboxEvent, Settlement};

/// The settlement of a payment by this decision, with an event in the current trace.
pub(super) fn settlement(
    new: NewPayment,
    amount: Money,
    decision: Decision,
    idempotency_key: String,
    fingerprint: String,
) -> Result<Settlement, serde_json::Error> {
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

/// A digest of the contents of a payment; without the order id, because a retry of the client has a new one.
pub(super) fn fingerprint(new: &NewPayment) -> Result<String, serde_json::Error> {
    let contents = serde_json::to_vec(&(&new.customer, &new.items, &new.amount, new.currency))?;
    Ok(HEXLOWER.encode(&Sha256::digest(contents)))
}
