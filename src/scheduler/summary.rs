//! What became of a run and of each of its tasks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::context;
use super::value::{absent, read};
use crate::error::Error;
use crate::event::{self, Briefing, Cause, Finished, Stop};
use crate::exit::Exit;
use crate::report;
use crate::state::State;
use crate::task::{Declined, Json, Outcome, Place, Refused};

/// How a task ended.
#[derive(Clone, Debug)]
pub struct TaskDone {
    name: Box<str>,
    finished: Finished,
    why: Option<Box<str>>,
    earlier: Vec<Box<str>>,
}

impl TaskDone {
    pub(super) fn new(briefing: &Briefing, finished: &Finished) -> Self {
        let why = finished.cause.as_deref();
        let earlier = finished.attempts.iter();
        Self {
            name: briefing.catalog.name(finished.task).into(),
            finished: finished.clone(),
            why: why.map(|cause| words(briefing, cause)),
            earlier: earlier.map(|a| words(briefing, &a.cause)).collect(),
        }
    }

    /// The name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, in one word.
    pub fn outcome(&self) -> Outcome {
        self.finished.outcome
    }

    /// Why it did not pass; may have several lines. Of a task that skipped itself, its reason.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Where it failed: at least the line where it was registered.
    pub fn place(&self) -> Option<&Place> {
        match self.finished.cause.as_deref() {
            Some(Cause::Failure(failure)) => failure.place.as_ref(),
            _ => None,
        }
    }

    /// The worker that it ran on last; none where it never started.
    pub fn worker(&self) -> Option<usize> {
        self.finished.worker
    }

    /// How often it was tried; 0 where it never started.
    pub fn attempts(&self) -> usize {
        let last = usize::from(self.finished.worker.is_some());
        self.earlier.len() + last
    }

    /// Why the attempts before the last one did not pass.
    pub fn earlier(&self) -> impl ExactSizeIterator<Item = &str> {
        self.earlier.iter().map(|why| &**why)
    }

    /// It passed, but not at once.
    pub fn is_flaky(&self) -> bool {
        self.finished.is_flaky()
    }

    /// How long its last attempt ran.
    pub fn took(&self) -> Duration {
        self.finished.took
    }

    /// How many tasks had ended, with this one.
    pub fn count(&self) -> usize {
        self.finished.done
    }

    /// Of how many that were planned by then.
    pub fn total(&self) -> usize {
        self.finished.planned
    }

    /// What it returned, as JSON text.
    pub fn json(&self) -> Option<&str> {
        self.finished.result.as_deref()
    }

    /// What it returned. Where that is nothing, types that can be made from `null` get that; else it is an error of kind
    /// [`Refused::NotFound`].
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Declined> {
        let name = &self.name;
        match self.json() {
            Some(json) => read(&format!("the result of `{name}`"), json),
            None => absent().ok_or_else(|| Declined {
                refused: Refused::NotFound,
                why: format!("`{name}` has no result: it {}", self.outcome()),
            }),
        }
    }
}

/// All that is said of a cause: of a failure the whole message.
fn words(briefing: &Briefing, cause: &Cause) -> Box<str> {
    match cause {
        Cause::Failure(failure) => failure.message.clone(),
        Cause::Skip(reason) => reason.clone(),
        cause => report::cause_line(briefing, cause).into(),
    }
}

/// The totals of a run, and each of its tasks.
///
/// Its [`Display`](fmt::Display) is the last line that tdrun prints: `==== 4 passed, 1 failed, 1 skipped in 2.31s ====`.
#[derive(Clone)]
#[must_use = "the summary knows whether the run passed"]
pub struct Summary {
    totals: event::Summary,
    tasks: Vec<TaskDone>,
    by_name: HashMap<Box<str>, usize>,
    state: Arc<State>,
}

impl Summary {
    pub(super) fn new(totals: &event::Summary, tasks: Vec<TaskDone>, state: Arc<State>) -> Self {
        let names = tasks.iter().map(|task| task.name.clone());
        Self {
            totals: totals.clone(),
            by_name: names.zip(0..).collect(),
            tasks,
            state,
        }
    }

    /// Every task passed or skipped itself, and nothing else went wrong.
    pub fn passed(&self) -> bool {
        self.exit() == Exit::Passed
    }

    /// The exit status that tdrun would end with.
    pub fn exit(&self) -> Exit {
        self.totals.exit()
    }

    /// How many tasks were planned, with those that tasks added: the sum of all outcomes.
    pub fn planned(&self) -> usize {
        self.totals.planned
    }

    /// How many tasks ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.totals.counts.get(outcome)
    }

    /// How many of the passed ones did so only after a retry.
    pub fn flaky(&self) -> usize {
        self.totals.flaky
    }

    /// How long it all took.
    pub fn took(&self) -> Duration {
        self.totals.took
    }

    /// What stopped the run early.
    pub fn stopped(&self) -> Option<Stop> {
        self.totals.stopped
    }

    /// What went wrong besides tasks: the run took too long, the system gave no thread.
    pub fn errors(&self) -> &[Error] {
        &self.totals.errors
    }

    /// How many tasks were not waited for any more. Their threads may still run.
    pub fn abandoned(&self) -> usize {
        self.totals.abandoned
    }

    /// All tasks, in the order in which they ended.
    pub fn tasks(&self) -> &[TaskDone] {
        &self.tasks
    }

    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&TaskDone> {
        self.by_name.get(name).map(|index| &self.tasks[*index])
    }

    /// The result of a task, as [`TaskDone::result`].
    pub fn result<T: DeserializeOwned>(&self, task: &str) -> Result<T, Declined> {
        let found = self.task(task).ok_or_else(|| Declined {
            refused: Refused::NotFound,
            why: format!("no task `{task}` was part of the run"),
        });
        found?.result()
    }

    /// What a state key holds; `None` where there is no such key.
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Declined> {
        context::typed(key, self.state.get(key).as_ref())
    }

    /// What a state key holds, as JSON text.
    pub fn state_json(&self, key: &str) -> Option<Json> {
        self.state.get(key)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&report::summary_line(&self.totals))
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary")
            .field("totals", &self.totals)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
