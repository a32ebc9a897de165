//! External programs as actions of tasks.
//!
//! Knows nothing of libraries, nor of graphs.

use std::sync::Arc;

use crate::task::{Action, Ending};

/// A program to run. `[x]` in its texts stands for the task's parameter x, and is filled in when it runs.
pub struct Command {
    /// What runs.
    pub program: Program,
    /// Where; none: where tdrun was started.
    pub cwd: Option<Box<str>>,
    /// Added to the environment, in this order; none: taken out of it.
    pub env: Vec<(Box<str>, Option<Box<str>>)>,
    /// An exit status other than 0 is a failure.
    pub check: bool,
}

/// What a command runs.
pub enum Program {
    /// A program and its arguments.
    Exec(Vec<Box<str>>),
    /// A text for `/bin/sh -c`.
    Shell(Box<str>),
}

/// An action that runs a command.
pub fn action(command: Command) -> Action {
    let words = match command.program {
        Program::Exec(words) => words.join(" "),
        Program::Shell(text) => text.into(),
    };
    Arc::new(move |_| Ending::failed(format!("task.spawn: cannot run `{words}`")))
}
