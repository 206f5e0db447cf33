-- Long work that somebody has asked for: it goes on when they leave, and after a restart.
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  operator_id INTEGER NOT NULL,
  operator_name TEXT NOT NULL,
  ip TEXT,
  description TEXT NOT NULL,
  -- receiving, waiting, running, done, failed, cancelled
  state TEXT NOT NULL,
  total INTEGER NOT NULL,
  done INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  parameters TEXT NOT NULL,
  -- What is done with: the number of the last row, or whatever the kind counts by.
  position INTEGER NOT NULL,
  -- Why it has failed as a whole.
  error TEXT
) STRICT;
CREATE INDEX tasks_unfinished ON tasks (state) WHERE ended_at IS NULL;

-- The rows of a task, in slices: what it works on, or the lines of what it makes.
CREATE TABLE task_inputs (
  task_id INTEGER NOT NULL,
  -- From 1.
  first_row INTEGER NOT NULL,
  row_list TEXT NOT NULL,
  PRIMARY KEY (task_id, first_row)
) STRICT, WITHOUT ROWID;

-- Rows that were refused.
CREATE TABLE task_failures (
  task_id INTEGER NOT NULL,
  number INTEGER NOT NULL,
  -- Where to look: a line of a file, an account.
  place TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;
