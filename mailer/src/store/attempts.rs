//! Attempts to send: an event that is due is claimed, handed over, and gets an outcome. Each step after the claim shows
//! its token.

use std::time::Duration;

use payment_api::event::PaymentEvent;
use store::{Claim, Lease, Param, Row, Session, StoreError};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

use super::history::History;
use super::{Store, rows};

/// A claimed event whose e-mail is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The event.
    pub event: PaymentEvent,
    /// The trace context of its delivery.
    pub trace_context: TraceContext,
    /// The trace context of the request that put it back, if it was a dead letter.
    pub replay_context: Option<TraceContext>,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The time at which it was received or put back; `MAIL_DEADLINE` counts from it.
    pub queued_at: OffsetDateTime,
    /// The previous attempt ended without a known result after the content may have been delivered.
    pub handed_over: bool,
    /// A previous attempt may have left a copy with a mail server.
    pub uncertain: bool,
    pub(super) history: History,
    pub(super) lease: Lease,
}

/// The outcome of an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The transport has taken the e-mail.
    Sent,
    /// It failed, and the next attempt is due after a delay.
    Retry {
        /// The delay.
        delay: Duration,
        /// The reason.
        error: String,
        /// True if this attempt may have left a copy.
        uncertain: bool,
    },
    /// It failed for good: a dead letter. No mail server has it.
    Dead {
        /// The reason.
        error: String,
    },
    /// A mail server may have it or not; an operator decides.
    Held {
        /// The number of attempts that were made.
        attempts: u32,
        /// The reason.
        error: String,
    },
}

pub(super) const HAND_OVER: &str =
    "UPDATE inbox SET handed_over = 1 WHERE event_id = $1 AND lease = $2 AND state = 'queued'";

// Also when the claim was lost: the e-mail was sent, and the claim that holds it by now must not send it.
pub(super) const SENT: &str = "UPDATE inbox SET state = 'sent', sent_at = $3, error = NULL, handed_over = 0, lease = NULL \
     WHERE event_id = $1 AND (lease = $2 OR state = 'queued')";

pub(super) const RETRY: &str = "UPDATE inbox SET due_at = $3, error = $4, history = $6, uncertain = CASE WHEN $5 = 1 THEN 1 ELSE uncertain END, \
     handed_over = 0, lease = NULL, leased_until = 0 WHERE event_id = $1 AND lease = $2";

pub(super) const DEAD: &str = "UPDATE inbox SET state = 'dead', error = $3, history = $4, handed_over = 0, lease = NULL \
     WHERE event_id = $1 AND lease = $2";

pub(super) const HELD: &str = "UPDATE inbox SET state = 'uncertain', attempts = $3, error = $4, history = $5, uncertain = 1, lease = NULL \
     WHERE event_id = $1 AND lease = $2";

impl Outcome {
    async fn record(
        &self,
        session: &Session<'_>,
        event: &str,
        (lease, history): (&Lease, &History),
    ) -> Result<u64, StoreError> {
        let history = match self.error() {
            Some(error) => history.clone().and(session.now, error)?,
            None => String::new(),
        };
        let history: Param<'_> = history.as_str().into();
        let (sql, rest): (_, Vec<Param<'_>>) = match self {
            Self::Sent => (SENT, vec![session.now.into()]),
            Self::Retry { delay, error, uncertain } => (
                RETRY,
                vec![session.after(*delay).into(), error.as_str().into(), (*uncertain).into(), history],
            ),
            Self::Dead { error } => (DEAD, vec![error.as_str().into(), history]),
            Self::Held { attempts, error } => {
                (HELD, vec![(*attempts).into(), error.as_str().into(), history])
            }
        };
        let params: Vec<_> = [event.into(), lease.as_str().into()].into_iter().chain(rest).collect();
        session.execute(sql, &params).await
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Sent => None,
            Self::Retry { error, .. } | Self::Dead { error } | Self::Held { error, .. } => Some(error),
        }
    }
}

impl Store {
    /// Claims events whose e-mail is due, and counts an attempt for each. Events without a recorded outcome are due
    /// again after `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Claim<Due>, StoreError> {
        self.inbox.claim(limit, lease, decode).await
    }

    /// Records that the content of this e-mail is about to go to the mail server. `false` when the claim was lost:
    /// the content must not go then.
    ///
    /// # Errors
    /// When the record is not committed; the content must not go then.
    pub async fn hand_over(&self, due: &Due) -> Result<bool, StoreError> {
        let (event, lease) = (due.event.id.to_string(), due.lease.clone());
        let hand_over = async move |session: &Session<'_>| {
            session.execute(HAND_OVER, &[event.as_str().into(), lease.as_str().into()]).await
        };
        Ok(self.database.write(hand_over).await? == 1)
    }

    /// Records the outcome of an attempt; nothing if the claim was lost, except that an e-mail was sent.
    ///
    /// # Errors
    /// When the database can't be written; recording it again is harmless.
    pub async fn record_outcome(&self, due: &Due, outcome: Outcome) -> Result<(), StoreError> {
        let (event, lease, history) = (due.event.id.to_string(), due.lease.clone(), due.history.clone());
        let is_finished = !matches!(outcome, Outcome::Retry { .. });
        let record =
            async move |session: &Session<'_>| outcome.record(session, &event, (&lease, &history)).await;
        let recorded = self.database.write(record).await.inspect_err(|error| self.inbox.failed(error))?;
        if is_finished {
            self.inbox.removed(recorded);
        }
        Ok(())
    }
}

fn decode(_: &str, mut row: Row, lease: &Lease) -> Result<Due, StoreError> {
    Ok(Due {
        event: serde_json::from_slice(&row.take::<Vec<u8>>()?).map_err(rows::undecodable)?,
        trace_context: rows::context(&row.take::<String>()?)?,
        replay_context: row.take::<Option<String>>()?.as_deref().map(rows::context).transpose()?,
        attempt: rows::number(&mut row)?,
        queued_at: rows::timestamp(&mut row)?,
        handed_over: row.take::<i64>()? != 0,
        uncertain: row.take::<i64>()? != 0,
        history: History::read(row.take::<Option<String>>()?.as_deref()),
        lease: lease.clone(),
    })
}
