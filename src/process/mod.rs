//! Processes as the system has them: forks, groups and trees, signals, and memory that two of them share.
//!
//! Knows nothing of tdrun.
#![allow(unsafe_code)]

use std::io;

use nix::unistd::{self, ForkResult, Pid};

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

/// How many threads this process has; 1 where the system does not tell.
pub fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task");
    tasks.map_or(1, Iterator::count)
}
