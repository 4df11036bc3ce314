//! The transaction of a settlement: payment, key and event.

use futures_util::future::try_join;
use payment_api::Money;
use payment_api::http::Payment;
use store::{Session, StoreError};

use super::rows::{self, Known, OutboxEvent, RETENTION, milliseconds, payment_columns, undecodable};

/// A decided payment and its event, not yet committed.
#[derive(Clone)]
pub struct Settlement {
    /// The payment; its `event` is pending.
    pub payment: Payment,
    /// Its amount, parsed.
    pub amount: Money,
    /// The key of the request.
    pub idempotency_key: String,
    /// A digest of the request's contents: another request with the same key has another one.
    pub fingerprint: String,
    /// The event.
    pub event: OutboxEvent,
}

pub(super) const FIND_BY_KEY: &str = concat!(
    "SELECT i.fingerprint, ",
    payment_columns!(),
    " FROM idempotency i JOIN payments p ON p.order_id = i.order_id \
     LEFT JOIN outbox o ON o.order_id = p.order_id WHERE i.key = $1 AND i.created_at > $2"
);

/// Changes no row where the key is known and has not expired. Of two replicas with one key at once, the second waits
/// here for the commit of the first.
pub(super) const TAKE_KEY: &str = "INSERT INTO idempotency (key, fingerprint, order_id, created_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, order_id = excluded.order_id, \
     created_at = excluded.created_at WHERE idempotency.created_at <= $5";

pub(super) const INSERT_PAYMENT: &str = "INSERT INTO payments (order_id, outcome, reason, amount_minor, currency, trace_id, settled_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

pub(super) const INSERT_EVENT: &str = "INSERT INTO outbox (event_id, order_id, routing_key, payload, trace_context, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";

pub(super) async fn find_by_key(session: &Session<'_>, key: &str) -> Result<Option<Known>, StoreError> {
    let mut rows = session.query(FIND_BY_KEY, &[key.into(), session.before(RETENTION).into()]).await?;
    rows.pop().map(rows::known).transpose()
}

impl Settlement {
    /// Writes all of it, or returns what was settled under the same key before.
    pub(super) async fn write(&self, session: &Session<'_>) -> Result<Option<Known>, StoreError> {
        let Self { payment, amount, event, .. } = self;
        let order_id = payment.order_id.to_string();
        let settled_at = milliseconds(payment.settled_at);
        let key = [
            self.idempotency_key.as_str().into(),
            self.fingerprint.as_str().into(),
            order_id.as_str().into(),
            session.now.into(),
            session.before(RETENTION).into(),
        ];
        if session.execute(TAKE_KEY, &key).await? == 0 {
            return find_by_key(session, &self.idempotency_key).await?.map(Some).ok_or_else(|| {
                StoreError::Undecodable("the key names an order without a payment".to_owned())
            });
        }
        let payment = [
            order_id.as_str().into(),
            payment.outcome.as_str().into(),
            payment.reason.as_deref().into(),
            amount.minor().into(),
            amount.currency().code().into(),
            payment.trace_id.as_deref().into(),
            settled_at.into(),
        ];
        let event = [
            event.id.to_string().into(),
            order_id.as_str().into(),
            event.routing_key.as_str().into(),
            event.payload.as_slice().into(),
            serde_json::to_string(&event.trace_context).map_err(undecodable)?.into(),
            settled_at.into(),
        ];
        // One round trip for both; the payment is the first to arrive.
        try_join(session.execute(INSERT_PAYMENT, &payment), session.execute(INSERT_EVENT, &event)).await?;
        service::crash::point("payment.in_commit");
        Ok(None)
    }
}
