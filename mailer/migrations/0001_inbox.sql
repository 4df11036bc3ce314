-- Times are milliseconds since the Unix epoch.

-- One row for each event, however often the broker delivers it. `trace_context` is that of the delivery that
-- came first: the e-mail is sent later, perhaps after a restart.
CREATE TABLE inbox (
    event_id      TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL,
    payload       BLOB NOT NULL,
    trace_context TEXT NOT NULL,
    received_at   INTEGER NOT NULL,
    state         TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'dead')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        INTEGER NOT NULL,
    leased_until  INTEGER NOT NULL DEFAULT 0,
    sent_at       INTEGER,
    error         TEXT
) STRICT;

CREATE INDEX inbox_due ON inbox (due_at) WHERE state = 'queued';
