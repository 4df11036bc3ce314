-- A claim gets a token: who was stopped for longer than his lease must not send what somebody else has claimed since.
-- `uncertain` is 1 once a mail server may have taken a copy without anybody hearing of it; it never goes back.
ALTER TABLE inbox ADD COLUMN lease TEXT;
ALTER TABLE inbox ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;

CREATE INDEX inbox_sent ON inbox (sent_at) WHERE state = 'sent';
