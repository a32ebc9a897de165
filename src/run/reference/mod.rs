//! The rules of a run as they are written, with maps and loops over everything: what a run is held against.
//!
//! Deliberately unlike plan and pool. [`cases`] makes runs up, [`expected`] says what must come of them, [`check`] finds what
//! is wrong with the events of one.
//!
//! Where the rules leave a choice, the reference decides: a task that waited goes on before another one starts; a task that
//! is skipped for a dependency is so as soon as its dependencies have ended, and one with the condition "no failures" as
//! soon as the first part has; a failed task that was to be tried again when the run was stopped has failed; the longest
//! remaining chain is that among the tasks it was planned with.

mod cases;
mod check;
mod play;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use cases::cases;
pub(super) use check::check;
pub(super) use play::simulate;

use crate::event::{Cause, Event};
use crate::task::{Condition, Lock, Outcome};

/// A run as it is made up.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) tasks: Vec<Spec>,
    pub(super) workers: usize,
    pub(super) skip_deps: bool,
    /// 0: none.
    pub(super) max_fail: usize,
}

/// What a task declares, and what its body does.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// Sorted; of a planned task all are planned.
    pub(super) after: Vec<usize>,
    /// Selected; others are part of the run when a task starts them.
    pub(super) planned: bool,
    pub(super) wave: u32,
    /// Sorted by name, each once.
    pub(super) locks: Vec<Lock>,
    pub(super) condition: Condition,
    pub(super) priority: i32,
    pub(super) exclusive: bool,
    pub(super) retries: u32,
    /// What its attempts come to: passed, failed or skipped; the last one counts for all further ones.
    pub(super) ends: Vec<Outcome>,
    /// Tasks that every attempt starts and waits for, one after the other, whatever they come to.
    pub(super) runs: Vec<usize>,
    /// Every attempt takes a lock that nobody else wants, which changes nothing.
    pub(super) asks: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            planned: true,
            wave: 0,
            locks: Vec::new(),
            condition: Condition::AfterPassed,
            priority: 0,
            exclusive: false,
            retries: 0,
            ends: vec![Outcome::Passed],
            runs: Vec::new(),
            asks: false,
        }
    }
}

impl Spec {
    /// What an attempt comes to; they count from 1.
    pub(super) fn end(&self, attempt: u32) -> Outcome {
        let index = (attempt as usize).min(self.ends.len());
        self.ends[index - 1]
    }
}

impl Case {
    /// Whether a task belongs to the second part, and its wave.
    fn stage(&self, task: usize) -> (bool, u32) {
        (self.is_last(task), self.tasks[task].wave)
    }

    /// It has the condition "no failures", or comes after a task that is so.
    fn is_last(&self, task: usize) -> bool {
        let spec = &self.tasks[task];
        spec.condition == Condition::NoFailures || spec.after.iter().any(|d| self.is_last(*d))
    }

    /// The task and all that it comes after.
    fn with_dependencies(&self, task: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::from([task]);
        for dependency in &self.tasks[task].after {
            all.append(&mut self.with_dependencies(*dependency));
        }
        all
    }

    /// All that must have ended before the task can, and itself.
    fn needed(&self, task: usize) -> BTreeSet<usize> {
        let spec = &self.tasks[task];
        let mut all = BTreeSet::from([task]);
        for other in spec.after.iter().chain(&spec.runs) {
            all.append(&mut self.needed(*other));
        }
        all
    }

    fn conflict(&self, a: usize, b: usize) -> bool {
        let locks = &self.tasks[a].locks;
        locks.iter().any(|lock| {
            let others = self.tasks[b].locks.iter();
            let mut same = others.filter(|other| other.name == lock.name);
            same.any(|other| !(lock.shared && other.shared))
        })
    }

    fn initial(&self) -> BTreeSet<usize> {
        let all = 0..self.tasks.len();
        all.filter(|task| self.tasks[*task].planned).collect()
    }
}

/// Why a task ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// By its own doing.
    Itself,
    /// The first of its dependencies that did not pass.
    Blocked(usize),
    /// The first task of the first part that did not pass.
    Failures(usize),
    /// The run was stopped.
    Stopped,
}

/// What must come of a run, as far as it is determined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// With one worker: tasks and attempts in the order in which they start.
    pub(super) starts: Option<Vec<(usize, u32)>>,
    /// By task, of all that became part of the run; with many workers only where failures do not stop it.
    pub(super) ends: Option<BTreeMap<usize, (Outcome, Why)>>,
}

impl Expected {
    /// What came of a run, as far as it is determined for such a case.
    pub(super) fn of_events(case: &Case, events: &[Event]) -> Self {
        let starts = events.iter().filter_map(|event| match event {
            Event::Started { task, attempt, .. } => Some((task.index(), *attempt)),
            _ => None,
        });
        let ends = events.iter().filter_map(|event| match event {
            Event::Finished(f) => Some((f.task.index(), (f.outcome, why(f.cause.as_deref())))),
            _ => None,
        });
        let one = case.workers == 1;
        Self {
            starts: one.then(|| starts.collect()),
            ends: (one || case.max_fail == 0).then(|| ends.collect()),
        }
    }
}

fn why(cause: Option<&Cause>) -> Why {
    match cause {
        Some(Cause::Blocked(chain)) => Why::Blocked(chain[0].index()),
        Some(Cause::Failures(task)) => Why::Failures(task.index()),
        Some(Cause::Stopped(_)) => Why::Stopped,
        _ => Why::Itself,
    }
}

/// What must come of a case.
pub(super) fn expected(case: &Case) -> Expected {
    // With one worker there is nothing to choose.
    Expected::of_events(case, &simulate(case, |_| 0))
}
