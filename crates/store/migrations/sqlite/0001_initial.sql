-- Columns are named after the definitions' attributes, foreign keys after their relationships.
-- Decimals are 16 ordered bytes, uuids 16 bytes, id lists 8 ordered bytes an element, timestamps
-- microseconds UTC. AUTOINCREMENT: an id is never given out twice.

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How many records clients can see of each type, kept by the transactions that change it.
CREATE TABLE totals (
  kind TEXT PRIMARY KEY,
  total INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operators (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 1,
  allowed_ips TEXT,
  tokens_valid_from_secs INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE smtp_connections (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  port INTEGER NOT NULL,
  from_address TEXT NOT NULL,
  auth_user TEXT,
  auth_password TEXT,
  global INTEGER NOT NULL
) STRICT;

CREATE TABLE invoice_templates (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  filename TEXT,
  body TEXT
) STRICT;

CREATE TABLE contractors (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  enabled INTEGER NOT NULL,
  vendor INTEGER NOT NULL,
  customer INTEGER NOT NULL,
  description TEXT,
  address TEXT,
  phones TEXT,
  external_id INTEGER,
  smtp_connection_id INTEGER REFERENCES smtp_connections (id)
) STRICT;
CREATE UNIQUE INDEX contractors_external_id ON contractors (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX contractors_smtp_connection_id ON contractors (smtp_connection_id);

CREATE TABLE contacts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  email TEXT NOT NULL,
  notes TEXT,
  contractor_id INTEGER REFERENCES contractors (id)
) STRICT;
CREATE INDEX contacts_contractor_id ON contacts (contractor_id);

CREATE TABLE accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  balance BLOB NOT NULL,
  min_balance BLOB NOT NULL,
  max_balance BLOB NOT NULL,
  vat BLOB NOT NULL,
  balance_low_threshold BLOB,
  balance_high_threshold BLOB,
  send_balance_notifications_to BLOB,
  destination_rate_limit BLOB,
  max_call_duration INTEGER,
  external_id INTEGER,
  uuid BLOB NOT NULL UNIQUE,
  origination_capacity INTEGER,
  termination_capacity INTEGER,
  total_capacity INTEGER,
  send_invoices_to BLOB,
  invoice_period_id INTEGER,
  timezone TEXT NOT NULL,
  next_invoice_at INTEGER,
  next_invoice_type_id INTEGER,
  contractor_id INTEGER NOT NULL REFERENCES contractors (id),
  -- No foreign key: a template may be deleted while accounts still name it.
  invoice_template_id INTEGER
) STRICT;
CREATE UNIQUE INDEX accounts_external_id ON accounts (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX accounts_contractor_id ON accounts (contractor_id);
CREATE INDEX accounts_invoice_template_id ON accounts (invoice_template_id) WHERE invoice_template_id IS NOT NULL;

-- Which records name a member in an id list: how a deleted contact finds its lists.
CREATE TABLE list_members (
  list TEXT NOT NULL,
  member_id INTEGER NOT NULL,
  record_id INTEGER NOT NULL,
  PRIMARY KEY (list, member_id, record_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_records (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
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
CREATE INDEX audit_records_item ON audit_records (item_type, item_id);
CREATE INDEX audit_records_created_at ON audit_records (created_at);
