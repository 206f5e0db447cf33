//! Tasks: long work that somebody has asked for, as rows of how far it is.
//!
//! A task is *receiving* while its input is still being written, which nobody sees; then it waits,
//! runs and ends. Progress is written from one position to the next, so that of two who run a task
//! at once, one is told that it is not theirs any more.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::row::Row;
use crate::session::Session;
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::Tx;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Its input is still being written.
    Receiving,
    /// It has not begun.
    Waiting,
    /// It has begun.
    Running,
    /// It has gone through all of its rows, some of which may have been refused.
    Done,
    /// It could not go on.
    Failed,
    /// Somebody has ended it.
    Cancelled,
}

impl TaskState {
    const ALL: [Self; 6] =
        [Self::Receiving, Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether something is still to happen.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Receiving | Self::Waiting | Self::Running)
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let state = Self::ALL.into_iter().find(|state| state.word() == word);
        state.ok_or_else(|| StoreError::Malformed("state".to_owned()))
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: i64,
    /// What kind of work it is.
    pub kind: String,
    /// The operator who has asked for it.
    pub operator_id: i64,
    /// What that operator was called then.
    pub operator_name: String,
    /// Where they came from.
    pub ip: Option<String>,
    /// What people call it.
    pub description: String,
    /// Where it stands.
    pub state: TaskState,
    /// How many rows there are.
    pub total: i64,
    /// How many have succeeded.
    pub done: i64,
    /// How many were refused.
    pub failed: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended, whichever way.
    pub ended_at: Option<Timestamp>,
    /// What the kind needs to know, as JSON.
    pub parameters: String,
    /// What is done with: the number of the last row, or whatever the kind counts by.
    pub position: i64,
    /// Why it has failed as a whole.
    pub error: Option<String>,
}

/// A task to add.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// What kind of work it is.
    pub kind: String,
    /// The operator who asks for it.
    pub operator_id: i64,
    /// What that operator is called.
    pub operator_name: String,
    /// Where they come from.
    pub ip: Option<String>,
    /// What people call it.
    pub description: String,
    /// What the kind needs to know, as JSON.
    pub parameters: String,
    /// Where it begins.
    pub position: i64,
    /// When.
    pub created_at: Timestamp,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The number of the row, from 1.
    pub number: i64,
    /// Where to look: a line of a file, an account.
    pub place: String,
    /// Why.
    pub message: String,
}

/// How a task gets on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStep {
    /// Where it was.
    pub from: i64,
    /// Where it is now.
    pub to: i64,
    /// How many more have succeeded.
    pub done: i64,
    /// What was refused.
    pub failures: Vec<TaskFailure>,
    /// How much was refused, which may be more than is told of.
    pub failed: i64,
    /// What it has made, and the number of its first row.
    pub made: Option<(i64, String)>,
}

const SELECT: &str = "SELECT id, kind, operator_id, operator_name, ip, description, state, total, \
    done, failed, created_at, started_at, ended_at, parameters, position, error FROM tasks";
const INSERT: &str = "INSERT INTO tasks (kind, operator_id, operator_name, ip, description, state, \
    total, done, failed, created_at, parameters, position) \
    VALUES ($1, $2, $3, $4, $5, 'receiving', 0, 0, 0, $6, $7, $8) RETURNING id";
const ADD_INPUT: &str = "INSERT INTO task_inputs (task_id, first_row, row_list) \
    VALUES ($1, $2, $3)";
const QUEUE: &str = "UPDATE tasks SET state = 'waiting', total = $1 \
    WHERE id = $2 AND state = 'receiving'";
const START: &str = "UPDATE tasks SET state = 'running', started_at = coalesce(started_at, $1) \
    WHERE id = $2 AND state IN ('waiting', 'running')";
const ADVANCE: &str = "UPDATE tasks SET position = $1, done = done + $2, failed = failed + $3 \
    WHERE id = $4 AND position = $5 AND state IN ('running', 'cancelled') RETURNING state";
const ADD_FAILURE: &str = "INSERT INTO task_failures (task_id, number, place, message) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (task_id, number) DO NOTHING";
const END: &str = "UPDATE tasks SET state = $1, error = $2, ended_at = $3 \
    WHERE id = $4 AND state IN ('waiting', 'running')";
const FIRST_OLD: &str = "SELECT id FROM tasks WHERE coalesce(ended_at, created_at) < $1 \
    AND state NOT IN ('waiting', 'running') ORDER BY id LIMIT 1";
const FORGET_FAILURES: &str = "DELETE FROM task_failures WHERE task_id = $1 AND number IN \
    (SELECT number FROM task_failures WHERE task_id = $1 ORDER BY number LIMIT $2)";
const FORGET_INPUTS: &str = "DELETE FROM task_inputs WHERE task_id = $1 AND first_row IN \
    (SELECT first_row FROM task_inputs WHERE task_id = $1 ORDER BY first_row LIMIT $2)";
const UNFINISHED: &str =
    "WHERE ended_at IS NULL AND state IN ('waiting', 'running') ORDER BY id LIMIT $1";
const NEXT_INPUT: &str = "SELECT first_row, row_list FROM task_inputs \
    WHERE task_id = $1 AND first_row > $2 ORDER BY first_row LIMIT 1";
const FAILURES: &str = "SELECT number, place, message FROM task_failures \
    WHERE task_id = $1 AND number > $2 ORDER BY number LIMIT $3";

/// Slices of input are large: so many fewer of them are forgotten at once.
const ROWS_IN_SLICE: i64 = 20;

fn task(row: Row<'_>) -> Result<Task, StoreError> {
    Ok(Task {
        id: row.int(0)?,
        kind: row.text(1)?,
        operator_id: row.int(2)?,
        operator_name: row.text(3)?,
        ip: row.optional_text(4)?,
        description: row.text(5)?,
        state: TaskState::read(&row.text(6)?)?,
        total: row.int(7)?,
        done: row.int(8)?,
        failed: row.int(9)?,
        created_at: row.time(10)?,
        started_at: row.optional_time(11)?,
        ended_at: row.optional_time(12)?,
        parameters: row.text(13)?,
        position: row.int(14)?,
        error: row.optional_text(15)?,
    })
}

fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::text)
}

impl Tx {
    /// Adds a task whose input is yet to come; its id.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn insert_task(&mut self, new: &NewTask) -> Result<i64, StoreError> {
        let params = [
            Value::text(&new.kind),
            Value::Int(new.operator_id),
            Value::text(&new.operator_name),
            optional_text(new.ip.as_deref()),
            Value::text(&new.description),
            Value::Time(new.created_at),
            Value::text(&new.parameters),
            Value::Int(new.position),
        ];
        let mut id = None;
        let visit = |row: Row<'_>| {
            id = Some(row.int(0)?);
            Ok(())
        };
        self.change(INSERT, &params, visit).await?;
        id.ok_or_else(|| StoreError::Malformed("id".to_owned()))
    }

    /// Adds a slice of a task's rows, the first of which has this number.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn add_task_input(
        &mut self,
        task: i64,
        first_row: i64,
        rows: &str,
    ) -> Result<(), StoreError> {
        let params = vec![Value::Int(task), Value::Int(first_row), Value::text(rows)];
        self.leave(Statement::new(ADD_INPUT, params)).await
    }

    /// Lets a task begin whose input is there, which has so many rows.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn queue_task(&mut self, task: i64, total: i64) -> Result<(), StoreError> {
        self.leave(Statement::new(QUEUE, vec![Value::Int(total), Value::Int(task)])).await
    }

    /// Begins a task, or goes on with it; says whether it is one to go on with.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn start_task(&mut self, task: i64, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.execute(START, &[Value::Time(now), Value::Int(task)]).await? > 0)
    }

    /// Writes a step down; says where the task stands. `None` when somebody else has taken that
    /// step, and nothing was written.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn advance_task(
        &mut self,
        task: i64,
        step: &TaskStep,
    ) -> Result<Option<TaskState>, StoreError> {
        let params = [
            Value::Int(step.to),
            Value::Int(step.done),
            Value::Int(step.failed),
            Value::Int(task),
            Value::Int(step.from),
        ];
        let mut state = None;
        let visit = |row: Row<'_>| {
            state = Some(TaskState::read(&row.text(0)?)?);
            Ok(())
        };
        self.change(ADVANCE, &params, visit).await?;
        if state.is_some() {
            if let Some((first, lines)) = &step.made {
                self.add_task_input(task, *first, lines).await?;
            }
            for failure in &step.failures {
                let params = vec![
                    Value::Int(task),
                    Value::Int(failure.number),
                    Value::text(&failure.place),
                    Value::text(&failure.message),
                ];
                self.leave(Statement::new(ADD_FAILURE, params)).await?;
            }
        }
        Ok(state)
    }

    /// Ends a task that has not ended; says whether it was one.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn end_task(
        &mut self,
        task: i64,
        state: TaskState,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let params =
            [Value::text(state.word()), optional_text(error), Value::Time(now), Value::Int(task)];
        Ok(self.execute(END, &params).await? > 0)
    }

    /// Forgets up to `limit` rows of tasks that ended before `cutoff`, or whose input never came to
    /// its end; says how many. A task goes when all its rows are gone.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn forget_tasks(
        &mut self,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let (limit, mut forgotten) = (i64::from(limit), 0);
        while i64::try_from(forgotten).is_ok_and(|forgotten| forgotten < limit) {
            let old = self.read_one(FIRST_OLD, &[Value::Time(cutoff)], |row| row.int(0)).await?;
            let Some(old) = old else { break };
            let some = [Value::Int(old), Value::Int(limit)];
            let few = [Value::Int(old), Value::Int((limit / ROWS_IN_SLICE).max(1))];
            let failures = self.execute(FORGET_FAILURES, &some).await?;
            let inputs = self.execute(FORGET_INPUTS, &few).await?;
            if failures + inputs > 0 {
                // There may be more, for the next slice.
                return Ok(usize::try_from(limit).unwrap_or(usize::MAX));
            }
            forgotten +=
                self.execute("DELETE FROM tasks WHERE id = $1", &[Value::Int(old)]).await?;
        }
        Ok(forgotten)
    }
}

impl Store {
    /// The task with this id, if its input is there.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn task(&self, id: i64) -> Result<Option<Task>, StoreError> {
        let sql = format!("{SELECT} WHERE id = $1 AND state <> 'receiving'");
        self.reading(async |session| session.read_one(&sql, &[Value::Int(id)], task).await).await
    }

    /// Up to `limit` tasks, the latest first; of those before the task `before`, if it is given.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn tasks(&self, before: Option<i64>, limit: u32) -> Result<Vec<Task>, StoreError> {
        let sql =
            format!("{SELECT} WHERE id < $1 AND state <> 'receiving' ORDER BY id DESC LIMIT $2");
        let params = [Value::Int(before.unwrap_or(i64::MAX)), Value::Int(limit.into())];
        self.reading(async |session| all(session, &sql, &params).await).await
    }

    /// Up to `limit` tasks that have not ended, the oldest first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn unfinished_tasks(&self, limit: u32) -> Result<Vec<Task>, StoreError> {
        let sql = format!("{SELECT} {UNFINISHED}");
        let params = [Value::Int(limit.into())];
        self.reading(async |session| all(session, &sql, &params).await).await
    }

    /// The first slice of rows behind a position, with the number of its first row.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn task_input(
        &self,
        task: i64,
        position: i64,
    ) -> Result<Option<(i64, String)>, StoreError> {
        let params = [Value::Int(task), Value::Int(position)];
        let read = |row: Row<'_>| Ok((row.int(0)?, row.text(1)?));
        self.reading(async |session| session.read_one(NEXT_INPUT, &params, read).await).await
    }

    /// Up to `limit` refused rows of a task, of those behind the number `after`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn task_failures(
        &self,
        task: i64,
        after: i64,
        limit: u32,
    ) -> Result<Vec<TaskFailure>, StoreError> {
        let params = [Value::Int(task), Value::Int(after), Value::Int(limit.into())];
        self.reading(async |session| {
            let mut failures = Vec::new();
            let visit = |row: Row<'_>| {
                let (number, place, message) = (row.int(0)?, row.text(1)?, row.text(2)?);
                failures.push(TaskFailure { number, place, message });
                Ok(())
            };
            session.read(FAILURES, &params, visit).await?;
            Ok(failures)
        })
        .await
    }
}

async fn all(session: &Session, sql: &str, params: &[Value]) -> Result<Vec<Task>, StoreError> {
    let mut tasks = Vec::new();
    let visit = |row: Row<'_>| {
        tasks.push(task(row)?);
        Ok(())
    };
    session.read(sql, params, visit).await?;
    Ok(tasks)
}
