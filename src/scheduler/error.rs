//! Misuse of a scheduler: found before anything runs.

use std::fmt;

use crate::error::Error;

/// Why a scheduler was not run. Each kind has the whole error, with its stable id, message and hints.
///
/// ```
/// use tdrun::{Scheduler, SchedulerError};
///
/// let mut scheduler = Scheduler::new();
/// scheduler.task("mail", |_| ()).after(["fetsh"]);
/// scheduler.task("fetch", |_| ());
/// let error = scheduler.run().unwrap_err();
/// assert!(matches!(error, SchedulerError::Unknown(_)));
/// assert_eq!(error.error().hints(), ["did you mean `fetch`?"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulerError {
    /// A name that is none, of a task or a tag.
    Name(Error),
    /// Two tasks of one name.
    Duplicate(Error),
    /// A name that no task has.
    Unknown(Error),
    /// Tasks that wait for themselves, directly or over others.
    Cycle(Error),
    /// A template that no tasks can be made of.
    Template(Error),
    /// A selection of nothing.
    Selection(Error),
    /// A state key or a seeded result that cannot be used.
    Value(Error),
    /// A setting that makes no sense, such as no workers.
    Setting(Error),
    /// The system gives no thread to run on.
    Threads(Error),
    /// Anything else that is wrong with how tasks stand to each other.
    Graph(Error),
}

impl SchedulerError {
    /// The whole error.
    pub fn error(&self) -> &Error {
        match self {
            Self::Name(error)
            | Self::Duplicate(error)
            | Self::Unknown(error)
            | Self::Cycle(error)
            | Self::Template(error)
            | Self::Selection(error)
            | Self::Value(error)
            | Self::Setting(error)
            | Self::Threads(error)
            | Self::Graph(error) => error,
        }
    }
}

impl From<Error> for SchedulerError {
    fn from(error: Error) -> Self {
        let family = error.id().split('.').next().unwrap_or_default();
        match (family, error.id()) {
            (_, "task.name") => Self::Name(error),
            (_, "graph.duplicate") => Self::Duplicate(error),
            (_, "graph.unknown" | "result.unknown") => Self::Unknown(error),
            (_, "graph.cycle" | "graph.self") => Self::Cycle(error),
            (_, "run.threads") => Self::Threads(error),
            ("template", _) => Self::Template(error),
            ("select", _) => Self::Selection(error),
            ("state" | "result", _) => Self::Value(error),
            ("usage", _) => Self::Setting(error),
            _ => Self::Graph(error),
        }
    }
}

impl fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for SchedulerError {}
