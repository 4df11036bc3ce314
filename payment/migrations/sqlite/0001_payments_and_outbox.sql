-- Times are milliseconds since the Unix epoch, amounts minor units.

CREATE TABLE payments (
    order_id        TEXT PRIMARY KEY,
    idempotency_key TEXT NOT NULL UNIQUE,
    fingerprint     TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    reason          TEXT,
    amount_minor    INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    trace_id        TEXT,
    settled_at      INTEGER NOT NULL
) STRICT;

-- One row for each event, written with its payment in one transaction. `trace_context` is that of the
-- decision: the publisher acts later, perhaps after a restart, and must not guess it.
CREATE TABLE outbox (
    event_id      TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL REFERENCES payments (order_id),
    routing_key   TEXT NOT NULL,
    payload       BLOB NOT NULL,
    trace_context TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    leased_until  INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    published_at  INTEGER
) STRICT;

CREATE INDEX outbox_pending ON outbox (created_at) WHERE published_at IS NULL;
CREATE INDEX outbox_order ON outbox (order_id);
