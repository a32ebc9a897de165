//! The nouns: a task, how it ends, and what it may ask of the host while it runs.
//!
//! Knows nothing of libraries, threads or graphs: a task carries its action as a boxed callable.

use std::fmt;
use std::sync::Arc;

/// A task among all those that were loaded, in declaration order; libraries follow each other as they were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u32);

impl TaskId {
    /// The id of the task at `index`.
    ///
    /// # Panics
    /// Where there are more than 2³² tasks; loading refuses such tables.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 tasks"))
    }

    /// The place in all dense arrays of tasks.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A library among those of the run, in the order that the user named them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LibraryId(pub u32);

impl LibraryId {
    /// The id of the library at `index`.
    ///
    /// # Panics
    /// Where there are more than 2³² libraries.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 libraries"))
    }

    /// The place in all dense arrays of libraries.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A library as the rest of tdrun knows it, and its hooks.
pub struct Library {
    /// The name in `library::task`; unique in the run.
    pub name: String,
    /// The path as the user typed it, for messages and for commands to type again.
    pub path: String,
    /// Runs before the first task of the run.
    pub setup: Option<Action>,
    /// Runs after the last one.
    pub teardown: Option<Action>,
}

/// The unit of work.
pub struct Task {
    /// The name that the library gave it; unique in the library.
    pub name: Box<str>,
    /// Where it comes from.
    pub library: LibraryId,
    /// Names of its dependencies as declared: in the same library, or `library::task`.
    pub after: Box<[Box<str>]>,
    /// Its labels.
    pub tags: Box<[Box<str>]>,
    /// What it does, in words; may be empty.
    pub doc: Box<str>,
    /// Where it is declared.
    pub place: Option<Place>,
    /// How it runs.
    pub action: Action,
}

/// Everything that was loaded: the libraries and their tasks.
#[derive(Default)]
pub struct Catalog {
    /// Indexed by [`LibraryId`].
    pub libraries: Vec<Library>,
    /// Indexed by [`TaskId`].
    pub tasks: Vec<Task>,
    /// Tasks whose name stands in more than one library, and are therefore shown as `library::task`. Empty where none does.
    clashing: std::collections::HashSet<Box<str>>,
}

impl Catalog {
    /// Adds a library with its tasks.
    pub fn add(&mut self, library: Library, tasks: impl IntoIterator<Item = Task>) {
        self.libraries.push(library);
        let start = self.tasks.len();
        self.tasks.extend(tasks);
        if start > 0 {
            let (before, added) = self.tasks.split_at(start);
            let known: std::collections::HashSet<&str> =
                before.iter().map(|task| &*task.name).collect();
            let clashing = added.iter().filter(|task| known.contains(&*task.name));
            self.clashing.extend(clashing.map(|task| task.name.clone()));
        }
    }

    /// The task of that id.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.index()]
    }

    /// The library of a task.
    pub fn library(&self, id: TaskId) -> &Library {
        &self.libraries[self.task(id).library.index()]
    }

    /// All ids, in declaration order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TaskId> + use<> {
        (0..self.tasks.len()).map(TaskId::new)
    }

    /// The name to show: `task`, or `library::task` where libraries clash.
    pub fn name(&self, id: TaskId) -> std::borrow::Cow<'_, str> {
        let name = &*self.task(id).name;
        if self.clashing.contains(name) {
            format!("{}::{name}", self.library(id).name).into()
        } else {
            name.into()
        }
    }
}

/// A line in a source file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// As the compiler wrote it.
    pub file: Arc<str>,
    /// From 1; 0 where not known.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// How a task runs: a function of a library, a closure. Called on a worker; must not unwind except by a panic of its own,
/// which counts as a failure.
pub type Action = Box<dyn Fn(&Arc<dyn Host>) -> Ending + Send + Sync>;

/// A value as JSON text: valid, compact, members sorted; so equal values are equal texts.
pub type Json = Arc<str>;

/// What an action comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It passed, and returned this.
    Passed(Option<Json>),
    /// It did not.
    Failed(Failure),
    /// It skipped itself, with its reason, which may be empty.
    Skipped(Box<str>),
}

impl Ending {
    /// A failure without a place.
    pub fn failed(message: impl Into<Box<str>>) -> Self {
        Self::Failed(Failure {
            message: message.into(),
            place: None,
        })
    }
}

/// Why a task failed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// May have several lines; not yet escaped for a terminal.
    pub message: Box<str>,
    /// Where the check stands that failed.
    pub place: Option<Place>,
}

/// How a task of a run ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// It did what it should.
    Passed,
    /// It said, or showed, that something is wrong.
    Failed,
    /// It skipped itself, or a dependency did not pass.
    Skipped,
    /// It took its process with it.
    Crashed,
    /// It was running when the run was stopped, and did not pass.
    Cancelled,
    /// The run was stopped before its turn.
    NotRun,
}

impl Outcome {
    /// All of them, in the order of the summary.
    pub const ALL: [Self; 6] = [
        Self::Passed,
        Self::Failed,
        Self::Skipped,
        Self::Crashed,
        Self::Cancelled,
        Self::NotRun,
    ];

    /// In the summary and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::NotRun => "not run",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much a log record matters. More verbose is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warn,
    /// Worth knowing.
    Info,
    /// For who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// As loggers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// What a task says while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// The part of the library that speaks; may be empty.
    pub target: Box<str>,
    /// One or more lines; not yet escaped for a terminal.
    pub message: Box<str>,
    /// Where it is said.
    pub place: Option<Place>,
}

/// What a running task may ask of tdrun. One value per call of an action; usable from any thread until the call ends.
pub trait Host: Send + Sync {
    /// Sends a record to the reporters.
    fn log(&self, record: Record);
    /// The task should stop soon.
    fn cancelled(&self) -> bool;
    /// The result of a task that passed, by its name in the same library or `library::task`.
    fn result(&self, task: &str) -> Option<Json>;
    /// The value of a state key.
    fn state(&self, key: &str) -> Option<Json>;
    /// Sets a state key; `None` removes it.
    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused>;
    /// Sets a state key if it holds `expected`.
    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused>;
    /// Waits for a named lock and takes it, re-entrantly; released at the end of the call of the action at the latest; what is granted to
    /// a thread that the action has left behind is taken back.
    fn lock(&self, name: &str) -> Result<(), Refused>;
    /// Releases a named lock once.
    fn unlock(&self, name: &str) -> Result<(), Refused>;
}

/// Why the host did not do what a task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such lock is held.
    NotFound,
    /// The key is reserved.
    Denied,
    /// The state key does not hold the expected value.
    Changed,
    /// Waiting would never end.
    Deadlock,
    /// The run was stopped while the call waited.
    Cancelled,
}
