//! The threads that the program runs on.

use std::io;
use std::thread::yield_now;

use tokio::runtime::{Builder, Runtime};

/// Threads for long lists, password checks and large compressions.
const BLOCKING_THREADS_MAX: usize = 16;

/// A thread for each processor, and some for what takes long.
///
/// Before a thread waits for something to do, it lets others on its processor go first: a client or a
/// PostgreSQL on the same machine may just be about to give it something. Otherwise each answer that is
/// sent wakes its reader in the place of the thread that has the next answer ready.
///
/// # Errors
/// When the system gives no threads.
pub fn build() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .on_thread_park(yield_now)
        .build()
}
