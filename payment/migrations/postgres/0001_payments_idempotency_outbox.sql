-- Times are milliseconds since the Unix epoch, amounts minor units.

CREATE TABLE payments (
    order_id     TEXT PRIMARY KEY,
    outcome      TEXT NOT NULL,
    reason       TEXT,
    amount_minor BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    trace_id     TEXT,
    settled_at   BIGINT NOT NULL
);

-- Kept for a day; see `store/settle.rs`.
CREATE TABLE idempotency (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE INDEX idempotency_age ON idempotency (created_at);

-- One row for each event, written with its payment in one transaction. `trace_context` is that of the decision: the
-- publisher acts later, perhaps after a restart, and must not guess it. `lease` is the token of a claim.
CREATE TABLE outbox (
    event_id      TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL REFERENCES payments (order_id),
    routing_key   TEXT NOT NULL,
    payload       BYTEA NOT NULL,
    trace_context TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    lease         TEXT,
    leased_until  BIGINT NOT NULL DEFAULT 0,
    published_at  BIGINT
);

CREATE INDEX outbox_pending ON outbox (created_at) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_order ON outbox (order_id);
CREATE INDEX outbox_lease ON outbox (lease) WHERE lease IS NOT NULL;
