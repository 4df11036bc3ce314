-- `error` is the reason why a row could not be decoded: it is set aside, and the others flow.
ALTER TABLE outbox ADD COLUMN error TEXT;
