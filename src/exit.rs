//! The exit statuses, each listed once.

/// How a process of tdrun ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the run reached its end, every selected task passed or skipped itself, every output was written whole.
    Passed,
    /// 1: something asked for did not succeed: a task, a library, the graph, a state file; or nothing matched.
    Failed,
    /// 2: the command line is wrong; nothing was run.
    Usage,
    /// 70: a bug in tdrun.
    Bug,
    /// 74: all passed, but an output could not be written.
    Output,
    /// 128 + n: stopped by signal n. The process ends by that signal, so that shells see it.
    Signal(i32),
}

impl Exit {
    /// The number that a shell sees.
    pub fn code(self) -> i32 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Bug => 70,
            Self::Output => 74,
            Self::Signal(signal) => 128 + signal,
        }
    }
}
