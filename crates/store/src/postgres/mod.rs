//! What is PostgreSQL's alone: how its servers are reached and talked to, and how its columns hold
//! values.

pub mod column;
pub mod connect;
pub mod pool;
pub mod replica;
pub mod session;
