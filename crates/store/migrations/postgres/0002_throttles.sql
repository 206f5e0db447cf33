-- Failed sign-ins, counted for all nodes. The key is a keyed digest of address and name: rows have
-- one size whatever was typed, and tell nobody which names were tried.
CREATE TABLE throttles (
  key TEXT COLLATE "C" PRIMARY KEY,
  failures BIGINT NOT NULL,
  ends_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX throttles_ends_at ON throttles (ends_at, key);
