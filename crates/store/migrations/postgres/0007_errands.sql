-- Events on their way to a webhook that nobody has tried to post yet. Until then whoever wrote the
-- event sees to it; later anyone. The delivery is written when something has become of it.
CREATE TABLE errands (
  webhook_id BIGINT NOT NULL,
  -- 0 without an account.
  account_id BIGINT NOT NULL,
  event_id BIGINT NOT NULL,
  until TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (webhook_id, account_id, event_id)
);
