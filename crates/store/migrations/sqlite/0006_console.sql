-- Who is signed in to the console. The key is the SHA-256 of what the browser holds.
CREATE TABLE console_sessions (
  key TEXT PRIMARY KEY,
  operator_id INTEGER NOT NULL,
  address TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX console_sessions_operator_id ON console_sessions (operator_id);
CREATE INDEX console_sessions_seen_at ON console_sessions (seen_at);
