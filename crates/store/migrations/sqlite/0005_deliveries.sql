-- What happened is told: events reach webhooks and, as mail, contacts.

-- Not everything happens to an account. What webhooks are told of the account is kept as it was.
ALTER TABLE events RENAME TO events_before;
DROP INDEX events_account_id;
DROP INDEX events_created_at;
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_type TEXT NOT NULL,
  event_type_alias TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  account_id INTEGER,
  document TEXT
) STRICT;
INSERT INTO events (id, event_type, event_type_alias, data, created_at, account_id)
  SELECT id, event_type, event_type_alias, data, created_at, account_id FROM events_before;
DROP TABLE events_before;
CREATE INDEX events_account_id ON events (account_id);
CREATE INDEX events_created_at ON events (created_at);

CREATE TABLE webhooks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  active INTEGER NOT NULL,
  description TEXT,
  -- Encrypted. The secret before the last change is good until its end.
  secret TEXT NOT NULL,
  previous_secret TEXT,
  previous_secret_until INTEGER,
  created_at INTEGER NOT NULL
) STRICT;

-- One event on its way to one receiver.
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  attempted_at INTEGER,
  request TEXT,
  response_status INTEGER,
  response_body TEXT,
  duration_ms INTEGER,
  error TEXT,
  -- The line it stands in, and since when.
  line TEXT NOT NULL,
  queued_at INTEGER NOT NULL,
  event_id INTEGER NOT NULL,
  webhook_id INTEGER,
  contact_id INTEGER,
  account_id INTEGER
) STRICT;
CREATE INDEX deliveries_event_id ON deliveries (event_id);
CREATE INDEX deliveries_webhook_id ON deliveries (webhook_id) WHERE webhook_id IS NOT NULL;
CREATE INDEX deliveries_contact_id ON deliveries (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX deliveries_created_at ON deliveries (created_at);
CREATE INDEX deliveries_line ON deliveries (line) WHERE state = 'pending';
CREATE INDEX deliveries_queued_at ON deliveries (queued_at) WHERE state = 'pending';

-- Deliveries that go one after another: those of one account to one webhook, all mail to one
-- contact. A line is there while it has deliveries that wait. Whoever holds it may deliver until
-- it is due again.
CREATE TABLE delivery_lines (
  name TEXT PRIMARY KEY,
  -- What is slow or away together: the webhook, the mail server.
  target TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  -- Attempts in a row that failed.
  failures INTEGER NOT NULL,
  -- How often something joined it.
  joined INTEGER NOT NULL,
  holder TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_lines_due ON delivery_lines (target, due_at);

-- Every attempt to send a mail.
CREATE TABLE email_logs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  from_address TEXT,
  to_address TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  attachments TEXT,
  created_at INTEGER NOT NULL,
  sent_at INTEGER,
  attempt INTEGER NOT NULL,
  response TEXT,
  error TEXT,
  message_id TEXT,
  contact_id INTEGER,
  smtp_connection_id INTEGER,
  event_id INTEGER
) STRICT;
CREATE INDEX email_logs_contact_id ON email_logs (contact_id, sent_at);
CREATE INDEX email_logs_event_id ON email_logs (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX email_logs_created_at ON email_logs (created_at);

-- Texts of mails that are not the built-in ones.
CREATE TABLE email_templates (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_type TEXT NOT NULL UNIQUE,
  subject TEXT NOT NULL,
  text_body TEXT NOT NULL,
  html_body TEXT
) STRICT;

ALTER TABLE smtp_connections ADD COLUMN tls_mode TEXT;

-- More than two thresholds, and forecasts.
CREATE TABLE balance_alerts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT,
  kind TEXT NOT NULL,
  value BLOB,
  percentage BLOB,
  hysteresis BLOB NOT NULL,
  pace_hours INTEGER,
  within_hours INTEGER,
  channels TEXT NOT NULL,
  recipients BLOB,
  origin TEXT NOT NULL,
  raised INTEGER NOT NULL,
  changed_at INTEGER,
  account_id INTEGER NOT NULL REFERENCES accounts (id)
) STRICT;
CREATE INDEX balance_alerts_account_id ON balance_alerts (account_id);
-- Those that mirror an account's two thresholds.
CREATE UNIQUE INDEX balance_alerts_mirrored ON balance_alerts (account_id, kind)
  WHERE origin = 'account';
CREATE INDEX balance_alerts_forecast ON balance_alerts (account_id) WHERE kind = 'forecast';
INSERT INTO balance_alerts
  (kind, value, hysteresis, channels, origin, raised, changed_at, account_id)
  SELECT kind, value, X'80000000000000000000000000000000', 'both', 'account', raised, NULL, account_id FROM (
    SELECT id AS account_id, 'low' AS kind, balance_low_threshold AS value,
      threshold_state = 1 AS raised FROM accounts
    UNION ALL
    SELECT id, 'high', balance_high_threshold, threshold_state = 2 FROM accounts
  ) AS thresholds
  WHERE value IS NOT NULL ORDER BY account_id, kind DESC;
INSERT INTO totals (kind, slot, total)
  SELECT 'balance-alerts', 0, count(*) FROM balance_alerts HAVING count(*) > 0;
-- How many alerts of its own an account has that look at every change of its balance.
ALTER TABLE accounts ADD COLUMN own_alerts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN notifications_muted_until INTEGER;

-- Where operators have signed in from.
CREATE TABLE operator_addresses (
  operator_id INTEGER NOT NULL,
  address TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (operator_id, address)
) STRICT, WITHOUT ROWID;
