-- Times are milliseconds since the Unix epoch.

-- One row for each event, however often the broker delivers it. `trace_context` is that of the delivery that came
-- first: the e-mail is sent later, perhaps after a restart. `replay_context` is that of the request which put a dead
-- letter back. `queued_at` is when its time began: when it was received, or put back last. `lease` is the token of the
-- claim. `handed_over` is 1 from just before its content goes to a mail server until the answer is known: a row that is
-- due with it may have left a copy already. `uncertain` is 1 once that has happened.
CREATE TABLE inbox (
    event_id       TEXT PRIMARY KEY,
    order_id       TEXT NOT NULL,
    payload        BYTEA NOT NULL,
    trace_context  TEXT NOT NULL,
    replay_context TEXT,
    received_at    BIGINT NOT NULL,
    queued_at      BIGINT NOT NULL,
    state          TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'dead', 'uncertain')),
    attempts       BIGINT NOT NULL DEFAULT 0,
    due_at         BIGINT NOT NULL,
    lease          TEXT,
    leased_until   BIGINT NOT NULL DEFAULT 0,
    handed_over    BIGINT NOT NULL DEFAULT 0,
    uncertain      BIGINT NOT NULL DEFAULT 0,
    sent_at        BIGINT,
    error          TEXT
);

CREATE INDEX inbox_due ON inbox (due_at) WHERE state = 'queued';
CREATE INDEX inbox_dead_letters ON inbox (received_at) WHERE state IN ('dead', 'uncertain');
CREATE INDEX inbox_sent ON inbox (sent_at) WHERE state = 'sent';
