-- Keys get a table of their own: they are kept for a day, and payments for ever. A claim gets a token: a process that
-- was stopped for longer than its lease must not mark rows that another one has claimed since.

CREATE TABLE idempotency (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (created_at);

INSERT INTO idempotency (key, fingerprint, order_id, created_at)
SELECT idempotency_key, fingerprint, order_id, settled_at FROM payments;

CREATE TABLE new_payments (
    order_id     TEXT PRIMARY KEY,
    outcome      TEXT NOT NULL,
    reason       TEXT,
    amount_minor INTEGER NOT NULL,
    currency     TEXT NOT NULL,
    trace_id     TEXT,
    settled_at   INTEGER NOT NULL
) STRICT;

INSERT INTO new_payments
SELECT order_id, outcome, reason, amount_minor, currency, trace_id, settled_at FROM payments;

CREATE TABLE new_outbox (
    event_id      TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL REFERENCES new_payments (order_id),
    routing_key   TEXT NOT NULL,
    payload       BLOB NOT NULL,
    trace_context TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    lease         TEXT,
    leased_until  INTEGER NOT NULL DEFAULT 0,
    published_at  INTEGER
) STRICT;

INSERT INTO new_outbox (event_id, order_id, routing_key, payload, trace_context, created_at, attempts, published_at)
SELECT event_id, order_id, routing_key, payload, trace_context, created_at, attempts, published_at FROM outbox;

DROP TABLE outbox;
DROP TABLE payments;
ALTER TABLE new_payments RENAME TO payments;
ALTER TABLE new_outbox RENAME TO outbox;

CREATE INDEX outbox_pending ON outbox (created_at) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_order ON outbox (order_id);
CREATE INDEX outbox_lease ON outbox (lease) WHERE lease IS NOT NULL;
