//! Readers: connections on the last committed state, made when needed and kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::connection;
use crate::error::StoreError;
use crate::session::Session;

/// Idle readers kept; more are opened under load and closed afterwards.
const IDLE_MAX: usize = 8;

/// A pool of reading connections to one file.
#[derive(Debug)]
pub struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Session>>,
}

impl Pool {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// A connection to read with, to be given back.
    pub fn take(&self) -> Result<Session, StoreError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(session) => Ok(session),
            None => Ok(Session::sqlite(connection::reader(&self.path)?)),
        }
    }

    pub fn give_back(&self, session: Session) {
        let is_usable = session.as_sqlite().is_some_and(|connection| connection.is_autocommit());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if is_usable && idle.len() < IDLE_MAX {
            idle.push(session);
        }
    }
}
