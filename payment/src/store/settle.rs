//! The transaction that decides: payment, key and event, or none of them.

use std::time::Duration;

use payment_api::Money;
use payment_api::http::Payment;
use store::sqlx::{self, query};
use store::{Session, StoreError, Write};

use super::rows::{self, decode, milliseconds, payment_columns};
use super::{OutboxEvent, Store};

/// How long a key is remembered; later it may be used for another order.
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
    /// What the request asked for, to tell a repetition from another request with the same key.
    pub fingerprint: String,
    /// The event.
    pub event: OutboxEvent,
}

/// A payment that was settled before, with what it was asked for.
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

/// Keys from before this time are forgotten.
pub(super) fn oldest_kept(now: i64) -> i64 {
    now.saturating_sub(i64::try_from(KEY_RETENTION.as_millis()).unwrap_or(i64::MAX))
}

impl Write for Settlement {
    /// What was settled under the same key before, if anything was.
    type Output = Option<Known>;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Option<Known>> {
        let key = &self.idempotency_key;
        let oldest = oldest_kept(session.now);
        let known =
            query(FIND_BY_KEY).bind(key).bind(oldest).fetch_optional(&mut *session.connection).await?;
        if let (Some(row), false) = (known, sabotage::bug("payment.idempotency_off")) {
            return rows::known(&row).map(Some);
        }
        self.insert_payment(session).await?;
        // Two replicas with one key at once: the second fails here, and finds the first when it is run again.
        query("DELETE FROM idempotency WHERE key = $1 AND created_at <= $2")
            .bind(key)
            .bind(if sabotage::bug("payment.idempotency_off") { i64::MAX } else { oldest })
            .execute(&mut *session.connection)
            .await?;
        query("INSERT INTO idempotency (key, fingerprint, order_id, created_at) VALUES ($1, $2, $3, $4)")
            .bind(key)
            .bind(&self.fingerprint)
            .bind(self.payment.order_id.to_string())
            .bind(session.now)
            .execute(&mut *session.connection)
            .await?;
        let forgets =
            sabotage::bug("payment.outbox_not_atomic") && self.event.id.as_u128().is_multiple_of(16);
        if !forgets {
            self.event.insert(session, milliseconds(self.payment.settled_at)).await?;
        }
        sabotage::point("payment.in_commit");
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
        .bind(amount.minor() + i64::from(sabotage::bug("payment.wrong_amount")))
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

/// Forgets, a bounded number at a time, what is not needed any more.
struct Forget;

/// Rows that are forgotten in one step: who settles a payment meanwhile waits for it.
const MOST_FORGOTTEN: i64 = 500;

impl Write for Forget {
    /// Whether there may be more.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        let mut more = false;
        for statement in [
            "DELETE FROM idempotency WHERE key IN \
             (SELECT key FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
            // With its customer's address; the payment itself stays.
            "DELETE FROM outbox WHERE event_id IN \
             (SELECT event_id FROM outbox WHERE published_at <= $1 ORDER BY published_at LIMIT $2)",
        ] {
            let forgotten = query(statement)
                .bind(oldest_kept(session.now))
                .bind(MOST_FORGOTTEN)
                .execute(&mut *session.connection)
                .await?;
            more |= forgotten.rows_affected() == MOST_FORGOTTEN.unsigned_abs();
        }
        Ok(more)
    }
}

impl Store {
    /// Forgets keys, and events that were published, after 24 hours.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        while self.database.write(Forget).await? {}
        Ok(())
    }
}
