-- Who is signed in to the console. The key is the SHA-256 of what the browser holds.
CREATE TABLE console_sessions (
  key TEXT COLLATE "C" PRIMARY KEY,
  operator_id BIGINT NOT NULL,
  address TEXT COLLATE "C" NOT NULL,
  started_at TIMESTAMPTZ NOT NULL,
  seen_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX console_sessions_operator_id ON console_sessions (operator_id, key);
CREATE INDEX console_sessions_seen_at ON console_sessions (seen_at, key);
