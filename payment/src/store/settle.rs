//! The transaction of a settlement: payment, key and event.

use std::sync::Arc;
use std::time::Duration;

use payment_api::Money;
use payment_api::http::Payment;
use store::sqlx::{self, query};
use store::{Expiring, Queue, Session, StoreError, Write};

use super::rows::{self, decode, milliseconds, payment_columns};
use super::{OutboxEvent, Store};

/// The time after which a key may be used for another order, and a published event is forgotten.
const KEY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

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

/// A payment that was settled before, with the fingerprint of its request.
pub struct Known {
    /// The payment.
    pub payment: Payment,
    /// See [`Settlement::fingerprint`].
    pub fingerprint: String,
}

pub(super) const FIND_BY_KEY: &str = concat!(
    "SELECT i.fingerprint, ",
    payment_columns!(),
    " FROM idempotency i JOIN payments p ON p.order_id = i.order_id \
     LEFT JOIN outbox o ON o.order_id = p.order_id WHERE i.key = $1 AND i.created_at > $2"
);

/// The time before which keys have expired, at `now`; both in milliseconds since the Unix epoch.
pub(super) fn oldest_kept(now: i64) -> i64 {
    now.saturating_sub(i64::try_from(KEY_RETENTION.as_millis()).unwrap_or(i64::MAX))
}

impl Write for Settlement {
    /// The payment that was settled under the same key before, if there is one.
    type Output = Option<Known>;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Option<Known>> {
        let key = &self.idempotency_key;
        let oldest = oldest_kept(session.now);
        let known =
            query(FIND_BY_KEY).bind(key).bind(oldest).fetch_optional(&mut *session.connection).await?;
        if let Some(row) = known {
            return rows::known(&row).map(Some);
        }
        self.insert_payment(session).await?;
        // Of two replicas with one key at once, the second fails here; run again, it finds the key of the first.
        query("DELETE FROM idempotency WHERE key = $1 AND created_at <= $2")
            .bind(key)
            .bind(oldest)
            .execute(&mut *session.connection)
            .await?;
        query("INSERT INTO idempotency (key, fingerprint, order_id, created_at) VALUES ($1, $2, $3, $4)")
            .bind(key)
            .bind(&self.fingerprint)
            .bind(self.payment.order_id.to_string())
            .bind(session.now)
            .execute(&mut *session.connection)
            .await?;
        self.event.insert(session, milliseconds(self.payment.settled_at)).await?;
        service::crash::point("payment.in_commit");
        Ok(None)
    }
}

impl Settlement {
    async fn insert_payment(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        let Self { payment, amount, .. } = self;
        query(
            "INSERT INTO payments (order_id, outcome, reason, amount_minor, currency, trace_id, settled_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(payment.order_id.to_string())
        .bind(payment.outcome.as_str())
        .bind(payment.reason.as_deref())
        .bind(amount.minor())
        .bind(amount.currency().code())
        .bind(payment.trace_id.as_deref())
        .bind(milliseconds(payment.settled_at))
        .execute(&mut *session.connection)
        .await?;
        Ok(())
    }
}

impl OutboxEvent {
    pub(super) async fn insert(&self, session: &mut Session<'_>, created_at: i64) -> sqlx::Result<()> {
        query(
            "INSERT INTO outbox (event_id, order_id, routing_key, payload, trace_context, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.id.to_string())
        .bind(self.order_id.to_string())
        .bind(&self.routing_key)
        .bind(&self.payload)
        .bind(serde_json::to_string(&self.trace_context).map_err(decode)?)
        .bind(created_at)
        .execute(&mut *session.connection)
        .await?;
        Ok(())
    }
}

/// Forgets a portion of the expired keys and of the published events. The payments stay.
struct Forget {
    keys: Arc<Expiring>,
    outbox: Arc<Queue>,
}

impl Write for Forget {
    /// True if there may be more.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        let more_keys = self.keys.forget(session, KEY_RETENTION).await?;
        // An event holds the customer's address.
        Ok(self.outbox.forget(session, KEY_RETENTION).await? || more_keys)
    }
}

impl Store {
    /// Forgets keys, and events that were published, after 24 hours.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        let keys = Arc::new(Expiring::new("idempotency", "key", "TRUE", "created_at"));
        while self.database.write(Forget { keys: keys.clone(), outbox: self.outbox.clone() }).await? {}
        Ok(())
    }
}
