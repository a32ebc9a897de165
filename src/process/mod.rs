//! Processes as the system has them: forks, groups and trees, signals, and memory that two of them share.
//!
//! Knows nothing of tdrun.
#![allow(unsafe_code)]

pub mod end;
mod fault;
mod life;
mod shared;
mod tree;
mod watch;

use std::io;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{self, ForkResult, Pid};

pub use fault::on_fatal_signal;
pub use life::{
    Pause, adopt_orphans, parent, signal_on_death_of_parent, stop_here, vanish, without_stop,
    write_from_background,
};
pub use shared::words;
pub use tree::{children, descendants, end_descendants};
pub use watch::{Ear, mind_children, next_change};

/// Which side of a fork this is.
pub enum Side {
    /// The one that was there before; and the number of the other.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Splits this process in two.
///
/// # Panics
/// Where this process has more than one thread: a lock that another one holds would be held for ever in the child.
pub fn fork() -> io::Result<Side> {
    assert_eq!(threads(), 1, "only a process with one thread may fork");
    // SAFETY: there is no other thread, so memory is as this one left it.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Nanoseconds since some moment, on the clock that never goes back and that all processes share. A task may take no longer
/// than reading it does, so this is all that is done: no `Instant`, no `Duration`.
///
/// # Panics
/// Where there is no such clock, which no system is known for.
#[expect(clippy::cast_sign_loss, reason = "the time since boot")]
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// How many threads this process has; 1 where the system does not tell.
pub fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task");
    tasks.map_or(1, Iterator::count)
}
