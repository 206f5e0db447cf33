-- What several nodes on one database need. This database has one node, but the same tables.

-- Several writers count in slots of their own; the total is the sum.
ALTER TABLE totals RENAME TO totals_before;
CREATE TABLE totals (
  kind TEXT NOT NULL,
  slot INTEGER NOT NULL,
  total INTEGER NOT NULL,
  PRIMARY KEY (kind, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO totals SELECT kind, 0, total FROM totals_before;
DROP TABLE totals_before;

-- Fingerprints are lower-case hexadecimal digits, bodies are JSON in UTF-8: as text, both are the
-- same in either database and can be read by people.
ALTER TABLE first_answers RENAME TO first_answers_before;
CREATE TABLE first_answers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  operator_id INTEGER NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  content_type TEXT,
  location TEXT,
  tagged INTEGER NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (operator_id, key)
) STRICT;
INSERT INTO first_answers
  SELECT id, operator_id, key, lower(hex(fingerprint)), status, content_type, location, tagged,
         CAST(body AS TEXT), created_at
  FROM first_answers_before;
-- Their ids never leave the database: it is no harm that the last ones may be given out again.
DROP TABLE first_answers_before;
CREATE INDEX first_answers_created_at ON first_answers (created_at);

-- Which node does a job, until when.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
