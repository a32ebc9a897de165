//! The nouns: a task, how it ends, and what it may ask of the host while it runs.
//!
//! Knows nothing of libraries, threads or graphs: a task carries its action as a boxed callable.

mod catalog;
mod index;
pub mod name;
mod pattern;
mod tasks;
mod template;
mod texts;

use std::cell::OnceCell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use catalog::{Catalog, Declared};
pub use name::NAME_MAX;
pub use pattern::{Arguments, Malformed, Pattern};
pub use tasks::{Source, TaskRef, Tasks, TasksBuilder};
pub use template::{Check, Misfit, Parameter, Template};

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
    /// A panic or an exception in it ends the process.
    pub aborts: bool,
}

/// The unit of work, with all that it may declare. What is the usual thing is kept smaller: see [`Tasks`] and [`TaskRef`].
pub struct Task {
    /// The name that the library gave it; unique in the library.
    pub name: Box<str>,
    /// Where it comes from.
    pub library: LibraryId,
    /// Names of its dependencies as declared: in the same library, or `library::task`; also globs.
    pub after: Names,
    /// Its labels.
    pub tags: Names,
    /// What it does, in words; may be empty.
    pub doc: Box<str>,
    /// Where it is declared.
    pub place: Option<Place>,
    /// How it runs.
    pub action: Action,
    /// What else it declares; most tasks nothing.
    pub options: Option<Arc<Options>>,
    /// The values of its parameters, where it is made of a template.
    pub arguments: Arguments,
    /// It runs a program, which is a process of its own already.
    pub is_program: bool,
}

/// Names as an author declared them.
pub type Names = Box<[Box<str>]>;

impl Task {
    /// What it declares besides name, dependencies and labels.
    pub fn options(&self) -> &Options {
        TaskRef::from(self).options()
    }
}

/// What a task may declare; all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// Names of tasks that it comes before; who selects such a task gets this one too.
    pub before: Names,
    /// Names of tasks that come after it, and are selected where it is.
    pub then: Names,
    /// It starts when all tasks of lower waves have ended.
    pub wave: u32,
    /// Held while it runs; sorted, each name once.
    pub locks: Box<[Lock]>,
    /// When it starts, and whether.
    pub condition: Condition,
    /// Among ready tasks the greater goes first.
    pub priority: i32,
    /// Nothing else runs on the pool at the same time.
    pub exclusive: bool,
    /// How often it is tried again.
    pub retries: u32,
    /// A timeout is tried again too.
    pub retry_timeouts: bool,
    /// Before the first retry; doubled for each further one.
    pub retry_delay: Duration,
    /// After so long it is asked to stop.
    pub timeout: Option<Duration>,
    /// It runs in a process of its own.
    pub isolate: bool,
}

/// A named lock as a task declares it: `db`, or shared, `db:r`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lock {
    /// Without the ending.
    pub name: Box<str>,
    /// Others may hold it shared too.
    pub shared: bool,
}

impl Lock {
    /// Reads `db` or `db:r`.
    pub fn parse(text: &str) -> Self {
        let (name, shared) = match text.strip_suffix(":r") {
            Some(name) => (name, true),
            None => (text, false),
        };
        Self {
            name: name.into(),
            shared,
        }
    }

    /// Sorts them, and keeps each name once: one that is wanted both ways is not shared.
    pub fn set(mut locks: Vec<Self>) -> Box<[Self]> {
        locks.sort();
        locks.dedup_by(|second, first| second.name == first.name);
        locks.into()
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.shared { ":r" } else { "" })
    }
}

/// When a task starts that is not waiting for anything else, and whether it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// When its dependencies have passed.
    #[default]
    AfterPassed,
    /// When all tasks have ended that do not have this condition and do not come after one that has it; only if none of them
    /// failed.
    NoFailures,
    /// When its dependencies have ended, however they ended.
    Always,
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
pub type Action = Arc<dyn Fn(&Caller<'_>) -> Ending + Send + Sync>;

/// Makes the hosts for the calls of actions, each when it is first asked for: most calls never need one.
pub trait Hosts: Send + Sync {
    /// The host of the call of this number, which is odd, from any thread; none where that call is over.
    fn host(&self, call: u32) -> Option<Arc<dyn Host>>;
}

/// What an action is called with: the way to its host.
pub struct Caller<'a> {
    hosts: &'a Arc<dyn Hosts>,
    call: u32,
    host: OnceCell<Arc<dyn Host>>,
}

impl<'a> Caller<'a> {
    /// For the call of this number.
    pub fn new(hosts: &'a Arc<dyn Hosts>, call: u32) -> Self {
        let host = OnceCell::new();
        Self { hosts, call, host }
    }

    /// Who makes its host,
    pub fn hosts(&self) -> &'a Arc<dyn Hosts> {
        self.hosts
    }

    /// and for which call.
    pub fn call(&self) -> u32 {
        self.call
    }

    /// Its host.
    ///
    /// # Panics
    /// Where the call is over.
    pub fn host(&self) -> &Arc<dyn Host> {
        let make = || self.hosts.host(self.call);
        self.host
            .get_or_init(|| make().expect("the call lasts as long as its caller"))
    }
}

impl Deref for Caller<'_> {
    type Target = dyn Host;

    fn deref(&self) -> &Self::Target {
        &**self.host()
    }
}

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
    /// A process did not do what it should; what is known of it can be read all the same.
    Exited {
        /// It ended before its time: by a signal, or without a word.
        crashed: bool,
        /// How it ended, in words.
        failure: Failure,
        /// What it left.
        result: Option<Json>,
    },
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
    /// It was not done in time.
    TimedOut,
    /// It took its process with it.
    Crashed,
    /// It was running when the run was stopped, and did not pass.
    Cancelled,
    /// Its turn never came: the run was stopped before, or a lock that it needs was never given back.
    NotRun,
}

impl Outcome {
    /// All of them, in the order of the summary.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::Skipped,
        Self::TimedOut,
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
            Self::TimedOut => "timed out",
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
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

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

/// How far a task is, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// So much is done,
    pub done: u64,
    /// of so much; 0 where not known.
    pub total: u64,
    /// What it does; may be empty.
    pub what: Box<str>,
}

/// `40% copying`, or `12 copying` where the total is not known. Not yet escaped for a terminal.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.what.is_empty() { "" } else { " " };
        match (self.done, self.total) {
            (0, 0) => write!(f, "{}", self.what),
            (done, 0) => write!(f, "{done}{space}{}", self.what),
            (done, total) => {
                let percent = u128::from(done) * 100 / u128::from(total);
                write!(f, "{}%{space}{}", percent.min(100), self.what)
            }
        }
    }
}

/// What is seen of the process of a task from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It wrote a line; told only where nothing is kept. Without its end; the last one may have had none.
    Line(Channel, Box<[u8]>),
    /// All that an attempt has written. Comes before the attempt has its outcome, once, and not where it wrote nothing.
    Output(Box<Output>),
    /// It has ended, and left others running.
    Left(Box<[Left]>),
    /// A signal has stopped it, as a terminal does with who may not use it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// Where a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// What a process has written, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To its standard output.
    pub stdout: Written,
    /// To its standard error.
    pub stderr: Written,
}

/// What was written to one channel: all of it, or where that is too much, its beginning and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The beginning, or all.
    pub head: Vec<u8>,
    /// So many bytes were not kept.
    pub cut: u64,
    /// The end, where something was cut.
    pub tail: Vec<u8>,
}

/// A process that a task has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its number; none where it is only known that somebody still holds the output open.
    pub pid: Option<i32>,
    /// Its name; may be empty.
    pub name: Box<str>,
}

/// Runs tasks elsewhere than on the thread that calls it.
pub trait Launcher: Send + Sync {
    /// Whether it runs this task.
    fn takes(&self, task: TaskRef<'_>) -> bool;
    /// Runs it to its end, with what the caller's host offers; none where it passed and returned nothing.
    fn call(&self, id: TaskId, task: TaskRef<'_>, caller: &Caller<'_>) -> Option<Box<Ending>>;
}

/// What a running task may ask of tdrun. One value per call of an action; usable from any thread until the call ends.
pub trait Host: Send + Sync {
    /// The call has ended, or has been given up: nothing that it still asks for counts.
    fn is_over(&self) -> bool;
    /// The name of the task, or of the hook.
    fn name(&self) -> &str;
    /// The values of the task's parameters.
    fn arguments(&self) -> &Arguments;
    /// Which attempt this is, from 1.
    fn attempt(&self) -> u32;
    /// Sends a record to the reporters.
    fn log(&self, record: Record);
    /// Tells how far the task is.
    fn progress(&self, progress: Progress);
    /// The task should stop soon.
    fn cancelled(&self) -> bool;
    /// Has `act` called as soon as the task is asked to stop, and again when it is given up, on any thread; at once for what
    /// has happened already. It must not block. It is dropped when the call ends.
    fn when_cancelled(&self, act: Box<dyn Fn(Cancel) + Send + Sync>);
    /// How long a task has to end after it has been asked to.
    fn grace(&self) -> Duration;
    /// The process in which the task runs has ended: what it waits for is not waited for any more. For who runs it.
    fn gone(&self) {}
    /// Something was seen of the process in which the task runs. For who runs it, not for itself.
    fn observed(&self, observed: Observed);
    /// The result of a task that passed, by its name in the same library or `library::task`. `[x]` stands for the task's own
    /// parameter.
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
    /// Waits for a named lock and takes it, re-entrantly; shared where the name ends in `:r`. Released at the end of the call
    /// of the action at the latest; what is granted to a thread that the action has left behind is taken back.
    fn lock(&self, name: &str) -> Result<(), Refused>;
    /// Releases a named lock once.
    fn unlock(&self, name: &str) -> Result<(), Refused>;
    /// Makes sure that a task, or all that match a glob, are part of the run.
    fn start(&self, task: &str) -> Result<(), Declined>;
    /// The same, and waits until they have ended. An error where one did not pass.
    fn wait(&self, task: &str) -> Result<(), Declined>;
}

/// How urgently a task is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cancel {
    /// It should end soon, in order.
    Asked,
    /// It is not waited for any more.
    GivenUp,
}

/// Why the host did not do what a task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such lock is held, no such task is known.
    NotFound,
    /// The key is reserved.
    Denied,
    /// The state key does not hold the expected value.
    Changed,
    /// Waiting would never end.
    Deadlock,
    /// The run was stopped, or the task given up, while the call waited.
    Cancelled,
    /// The call is over.
    Stale,
    /// What is asked for does not fit.
    Argument,
    /// A task that was waited for did not pass.
    Failed,
    /// The system gives no more threads.
    Limit,
}

/// A refusal with a line that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// The kind.
    pub refused: Refused,
    /// In words.
    pub why: String,
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Declined {}

impl From<Refused> for Declined {
    fn from(refused: Refused) -> Self {
        let why = match refused {
            Refused::Cancelled => "the run has been stopped",
            Refused::Stale => "the task has ended",
            _ => "",
        };
        let why = why.to_owned();
        Self { refused, why }
    }
}
