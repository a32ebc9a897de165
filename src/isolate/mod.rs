//! Tasks in processes of their own.
//!
//! Knows processes, and how task and run talk from one to the other; nothing of which task comes next.

/// Which tasks run in processes of their own, and how those are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Which.
    pub which: Which,
    /// What their processes are started with.
    pub under: Option<Under>,
}

/// Which tasks run in processes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that ask for it.
    Asking,
    /// Those, and all that have a timeout or whose library ends the process when it panics.
    Auto,
    /// All.
    All,
    /// None.
    Never,
}

/// A command that starts the process of a task: itself and its arguments, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Under {
    /// For each task.
    Prefix(Vec<String>),
    /// For the one that is looked into.
    Debugger(Vec<String>),
}
