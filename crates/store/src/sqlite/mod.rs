//! What is SQLite's alone: how its connections are set up, and how its columns hold values.

mod checkpoint;
pub mod column;
pub mod connection;
pub mod pool;
