-- A claim gets a token: a process that was stopped for longer than its lease must not send what another one has claimed
-- since. `uncertain` is 1 once a mail server may have taken a copy without a known result; it stays 1.
ALTER TABLE inbox ADD COLUMN lease TEXT;
ALTER TABLE inbox ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;

CREATE INDEX inbox_sent ON inbox (sent_at) WHERE state = 'sent';
