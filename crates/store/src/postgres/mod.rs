//! What is PostgreSQL's alone: how its servers are reached, and how its columns hold values.

pub mod column;
pub mod connect;
pub mod pool;
pub mod replica;
