-- Money: the journal, what moves balances, what is told about them, and answers kept for retries.
--
-- The journal is append-only and outlives its accounts, so it has no foreign key to them. Its
-- rows are never deleted, so ids need no AUTOINCREMENT to be given out once.

-- Audit records are never deleted either: without AUTOINCREMENT, an insert is spared another table.
ALTER TABLE audit_records RENAME TO audit_records_before;
CREATE TABLE audit_records (
  id INTEGER PRIMARY KEY,
  event TEXT NOT NULL,
  item_type TEXT NOT NULL,
  item_id INTEGER NOT NULL,
  actor TEXT,
  ip TEXT,
  request_id TEXT,
  created_at INTEGER NOT NULL,
  before TEXT,
  after TEXT
) STRICT;
INSERT INTO audit_records SELECT * FROM audit_records_before;
DROP TABLE audit_records_before;
CREATE INDEX audit_records_item ON audit_records (item_type, item_id);
CREATE INDEX audit_records_created_at ON audit_records (created_at);

-- Where the account's journal stands, and which threshold it is beyond.
ALTER TABLE accounts ADD COLUMN journal_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN journal_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN journal_at INTEGER;
ALTER TABLE accounts ADD COLUMN threshold_state INTEGER NOT NULL DEFAULT 0;

CREATE TABLE journal_entries (
  id INTEGER PRIMARY KEY,
  sequence INTEGER NOT NULL,
  kind TEXT NOT NULL,
  amount BLOB NOT NULL,
  balance_after BLOB NOT NULL,
  reference_type TEXT,
  reference_id TEXT,
  actor TEXT,
  request_id TEXT,
  created_at INTEGER NOT NULL,
  hash TEXT NOT NULL,
  account_id INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_entries_account_id_sequence ON journal_entries (account_id, sequence);
-- No other index begins with the account: its entries have their ids and times in the order of
-- their numbers, and each more would be one more page to write for each entry.
CREATE INDEX journal_entries_created_at ON journal_entries (created_at);

-- Journals of deleted accounts, as they stood.
CREATE TABLE journal_closures (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL UNIQUE,
  account_name TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  balance BLOB NOT NULL,
  hash TEXT NOT NULL,
  last_entry_at INTEGER,
  closed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE payments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at INTEGER NOT NULL,
  amount BLOB NOT NULL,
  notes TEXT,
  private_notes TEXT,
  status TEXT NOT NULL,
  type_name TEXT NOT NULL,
  balance_before_payment BLOB,
  rolledback_at INTEGER,
  external_id TEXT,
  account_id INTEGER NOT NULL REFERENCES accounts (id)
) STRICT;
CREATE INDEX payments_account_id ON payments (account_id);
CREATE INDEX payments_created_at ON payments (created_at);
CREATE UNIQUE INDEX payments_external_id ON payments (account_id, external_id)
  WHERE external_id IS NOT NULL;

CREATE TABLE services (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT,
  account_id INTEGER NOT NULL REFERENCES accounts (id)
) STRICT;
CREATE INDEX services_account_id ON services (account_id);

CREATE TABLE transactions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  description TEXT,
  amount BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  uuid BLOB NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  service_id INTEGER REFERENCES services (id)
) STRICT;
CREATE INDEX transactions_account_id ON transactions (account_id);
CREATE INDEX transactions_service_id ON transactions (service_id) WHERE service_id IS NOT NULL;
CREATE INDEX transactions_created_at ON transactions (created_at);

-- The outbox: what happened and is worth telling.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_type TEXT NOT NULL,
  event_type_alias TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  account_id INTEGER NOT NULL
) STRICT;
CREATE INDEX events_account_id ON events (account_id);
CREATE INDEX events_created_at ON events (created_at);

CREATE TABLE balance_notifications (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id INTEGER NOT NULL,
  balance BLOB NOT NULL,
  balance_low_threshold BLOB,
  balance_high_threshold BLOB,
  created_at INTEGER NOT NULL,
  account_id INTEGER NOT NULL
) STRICT;
CREATE INDEX balance_notifications_account_id ON balance_notifications (account_id);
CREATE INDEX balance_notifications_created_at ON balance_notifications (created_at);

-- First answers to requests with an Idempotency-Key. The fingerprint stands for method, path and
-- body; `location` and `content_type` are the answer's headers.
CREATE TABLE first_answers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  operator_id INTEGER NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  content_type TEXT,
  location TEXT,
  tagged INTEGER NOT NULL,
  body BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (operator_id, key)
) STRICT;
CREATE INDEX first_answers_created_at ON first_answers (created_at);
