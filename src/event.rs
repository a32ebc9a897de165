//! What a run tells, in one order: events, and the summary at the end. All that a run and its reporters share.
//!
//! Knows nothing of who listens, or of threads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::exit::Exit;
use crate::task::{Catalog, Failure, Json, LibraryId, Observed, Outcome, Progress, Record, TaskId};

/// What is known before the first event, and does not change.
pub struct Briefing {
    /// All tasks and libraries, selected or not.
    pub catalog: Arc<Catalog>,
    /// The selected tasks, in declaration order. More may come: [`Event::Planned`].
    pub planned: Vec<TaskId>,
    /// How many tasks run at the same time. More, where tasks are added.
    pub workers: usize,
    /// When the run began, by the wall clock,
    pub started: SystemTime,
    /// and how long ago that was at the time of the briefing: where one process goes on with the run of another.
    pub already: Duration,
    /// The state arguments of the command line (`--env=dev`), for commands to type again; not yet quoted.
    pub state_arguments: Vec<String>,
}

/// One thing that happened. Times are measured from the start of the run, by a clock that never goes back.
#[derive(Clone, Debug)]
pub enum Event {
    /// A hook of a library begins.
    HookStarted(Hook, LibraryId),
    /// It ended; an error where it did not pass.
    HookFinished(Hook, LibraryId, Result<(), Failure>),
    /// It ended otherwise, with that, as the run was stopped.
    HookCancelled(Hook, LibraryId, Failure),
    /// Tasks have been added by a running one; in declaration order.
    Planned(Vec<TaskId>),
    /// A worker begins a task, or tries it again.
    Started {
        /// Which.
        task: TaskId,
        /// On which worker.
        worker: usize,
        /// From 1.
        attempt: u32,
        /// When.
        at: Duration,
    },
    /// An attempt did not pass, and there will be another one.
    Retrying {
        /// Which.
        task: TaskId,
        /// On which worker it was.
        worker: usize,
        /// Which attempt, from 1.
        number: u32,
        /// How it ended.
        attempt: Attempt,
        /// When.
        at: Duration,
    },
    /// A task waits for others and has given up its place.
    Paused {
        /// Which.
        task: TaskId,
        /// Its worker, which is free now.
        worker: usize,
        /// When.
        at: Duration,
    },
    /// It goes on, maybe on another worker.
    Resumed {
        /// Which.
        task: TaskId,
        /// Its worker from now on.
        worker: usize,
        /// When.
        at: Duration,
    },
    /// A task tells how far it is. Not every word of a task that talks fast.
    Progress {
        /// Which.
        task: TaskId,
        /// Its worker.
        worker: usize,
        /// How far.
        progress: Progress,
    },
    /// A task runs for long already; told again every so often.
    Slow {
        /// Which.
        task: TaskId,
        /// Its worker.
        worker: usize,
        /// For how long.
        running: Duration,
    },
    /// A task has its outcome; each planned task gets exactly one.
    Finished(Finished),
    /// A task or a hook said something.
    Logged {
        /// Who.
        source: Source,
        /// What.
        record: Record,
    },
    /// Something was seen of the process of a task or a hook.
    Observed {
        /// Whose.
        source: Source,
        /// What.
        observed: Observed,
    },
    /// From here on no further task is started.
    Stopping(Stop),
    /// tdrun itself has something to say that is no failure.
    Warning(String),
    /// This was told by an earlier process, and comes once more for what is told at the end. Of the ends of tasks
    /// [`Finished::kept`] says so.
    Known(Box<Event>),
}

/// Who runs: a task on a worker, or a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A task and its worker.
    Task(TaskId, usize),
    /// A library's hook.
    Hook(Hook, LibraryId),
    /// The library outside of tasks and hooks.
    Library,
}

/// Before the first task, or after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before.
    Setup,
    /// After.
    Teardown,
}

impl Hook {
    /// As the author writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
        }
    }
}

/// How a task of the run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which.
    pub task: TaskId,
    /// How.
    pub outcome: Outcome,
    /// Where it ran; none where it never started.
    pub worker: Option<usize>,
    /// When it ended, since the start of the run.
    pub at: Duration,
    /// How long it ran; zero where it never started.
    pub took: Duration,
    /// How many tasks have ended, with this one.
    pub done: usize,
    /// Of how many that are planned so far.
    pub planned: usize,
    /// Why it did not pass.
    pub cause: Option<Box<Cause>>,
    /// What it returned.
    pub result: Option<Json>,
    /// The attempts that came before the last one. A task that passed after some is flaky.
    pub attempts: Vec<Attempt>,
    /// It ended so in an earlier process, and people have been told.
    pub kept: bool,
}

impl Finished {
    /// It passed, but not at once.
    pub fn is_flaky(&self) -> bool {
        self.outcome == Outcome::Passed && !self.attempts.is_empty()
    }
}

/// An attempt that did not pass and was not the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended: failed, timed out or crashed.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// How long it ran.
    pub took: Duration,
}

/// Why a task did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its own words.
    Failure(Failure),
    /// It skipped itself; the reason may be empty.
    Skip(Box<str>),
    /// A dependency did not pass: the chain from the direct dependency down to the one that broke it, which is the last.
    /// At most [`Cause::CHAIN`] long; where more lie between, they are left out before the last.
    Blocked(Box<[TaskId]>),
    /// It runs only if nothing failed, and this task did not pass: the first one declared.
    Failures(TaskId),
    /// It did not end within its time.
    TimedOut {
        /// Its time.
        limit: Duration,
        /// It has not come back; its thread may still run, and its locks stay held.
        still_running: bool,
        /// What it said when it ended too late.
        failure: Option<Failure>,
    },
    /// It needs a lock that a task holds which timed out and has not come back.
    Locked {
        /// The lock.
        lock: Box<str>,
        /// Who holds it.
        holder: TaskId,
    },
    /// The run was stopped.
    Stopped(Stop),
}

impl Cause {
    /// How many links of a chain of causes are kept.
    pub const CHAIN: usize = 8;
}

/// Why no further task is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// So many failures were enough.
    MaxFail(usize),
    /// A signal came.
    Signal(i32),
    /// The program that embeds the run wants it.
    Aborted,
    /// The run took longer than it may.
    Timeout(Duration),
    /// Setup did not pass.
    Setup,
    /// The system gave no thread to run tasks on.
    Threads,
}

/// How many tasks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; Outcome::ALL.len()]);

impl Counts {
    /// One more.
    pub fn add(&mut self, outcome: Outcome) {
        self.add_many(outcome, 1);
    }

    /// So many more.
    pub fn add_many(&mut self, outcome: Outcome, count: usize) {
        self.0[outcome as usize] += count;
    }

    /// How many ended so.
    pub fn get(&self, outcome: Outcome) -> usize {
        self.0[outcome as usize]
    }

    /// How many ended at all.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

/// A run at one moment, while it goes on: for displays.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// When, since the start of the run.
    pub at: Duration,
    /// How many tasks are planned so far.
    pub planned: usize,
    /// How those ended that have.
    pub counts: Counts,
    /// What each worker does.
    pub workers: Vec<Option<Running>>,
    /// Tasks that wait for others, and keep no worker busy.
    pub waiting: usize,
}

impl Moment {
    /// A moment of so many planned tasks and so many workers, while none of them does anything.
    pub fn idle(planned: usize, workers: usize) -> Self {
        Self {
            planned,
            workers: vec![None; workers],
            ..Self::default()
        }
    }
}

/// A task that has begun and not ended.
#[derive(Clone, Debug)]
pub struct Running {
    /// Which.
    pub task: TaskId,
    /// From 1.
    pub attempt: u32,
    /// When this attempt began, since the start of the run.
    pub since: Duration,
    /// How far it is, if it has told.
    pub progress: Option<Progress>,
    /// The signal that has stopped its process.
    pub stopped: Option<i32>,
}

impl Running {
    /// Nothing has been told yet.
    pub fn new(task: TaskId, attempt: u32, since: Duration) -> Self {
        Self {
            task,
            attempt,
            since,
            progress: None,
            stopped: None,
        }
    }
}

/// The totals at the end; knows the exit status.
#[derive(Clone, Debug)]
#[must_use = "the summary knows the exit status"]
pub struct Summary {
    /// How many tasks were planned, with those that tasks added: the sum of `counts`.
    pub planned: usize,
    /// How they ended.
    pub counts: Counts,
    /// Tasks that were skipped because a dependency did not pass; part of the skipped ones.
    pub blocked: usize,
    /// Tasks that passed after a retry; part of the passed ones.
    pub flaky: usize,
    /// Tasks that left processes running, however they ended themselves.
    pub leaky: usize,
    /// Flaky tasks are not good enough.
    pub flaky_fails: bool,
    /// How long it all took, setup and teardown included.
    pub took: Duration,
    /// What stopped the run early.
    pub stopped: Option<Stop>,
    /// What else went wrong: setup, teardown.
    pub errors: Vec<Error>,
    /// Tasks that did not come back; their threads may still run.
    pub abandoned: usize,
}

impl Summary {
    /// The exit status, outputs apart.
    pub fn exit(&self) -> Exit {
        let fine =
            self.counts.get(Outcome::Passed) + self.counts.get(Outcome::Skipped) - self.blocked;
        match self.stopped {
            Some(Stop::Signal(signal)) => Exit::Signal(signal),
            _ if fine < self.planned || !self.errors.is_empty() => Exit::Failed,
            _ if self.flaky_fails && self.flaky > 0 => Exit::Failed,
            _ => Exit::Passed,
        }
    }
}
