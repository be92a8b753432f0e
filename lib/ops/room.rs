//! How many threads and how much memory a deed may use.

use std::sync::OnceLock;

use crate::core::fit::Room;
use crate::edge::memory;

/// What the memory allows that the system grants to this process.
pub(crate) fn room() -> Room {
    static ROOM: OnceLock<Room> = OnceLock::new();
    *ROOM.get_or_init(|| Room::of_limit(memory::limit()))
}

/// How many threads or children to run: `-j`, or one for each core and `more`, as far as there is
/// memory for what each of them takes.
pub(crate) fn jobs(asked: Option<usize>, more: usize, each: u64) -> usize {
    let cores = || std::thread::available_parallelism().map_or(2, usize::from) + more;
    asked.unwrap_or_else(|| room().jobs(cores(), each)).clamp(1, 256)
}
