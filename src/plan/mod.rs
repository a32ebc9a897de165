//! The graph in motion: which tasks wait, are ready, run or have ended, and how they ended.
//!
//! Pure: no thread, no clock, no file, no printing. Whoever holds it asks for the next task and tells how it ended.
//!
//! ```text
//! waiting ──▶ ready ──▶ running ──▶ finished
//!    │          │                      ▲
//!    └──────────┴──────────────────────┘  skipped, not run
//! ```

mod rank;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use rank::Ranks;

use crate::event::{Cause, Counts, Stop};
use crate::graph::Graph;
use crate::task::{Outcome, TaskId};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Some of its dependencies have not ended.
    Waiting,
    /// It may be taken.
    Ready,
    /// It has been taken.
    Running,
    /// It has its outcome, for good.
    Finished(Outcome),
}

/// What decides besides the graph.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Skip what comes after a task that did not pass.
    pub skip_deps: bool,
    /// After so many failures nothing is started any more.
    pub max_fail: Option<NonZeroUsize>,
}

/// What follows from the end of a task, or from a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A task got its outcome without running.
    Settled(TaskId, Outcome, Cause),
    /// Nothing is started from here on.
    Stopped(Stop),
}

/// The phases of all planned tasks.
pub struct Plan {
    graph: Arc<Graph>,
    rules: Rules,
    ranks: Ranks,
    phases: Vec<Phase>,
    /// By task: how many of its dependencies have not ended.
    left: Vec<u32>,
    /// By task: the dependency that kept it from running, and the failure at the bottom of it all.
    blocked: Vec<Option<Blocked>>,
    /// Ranks of the ready tasks, lowest first.
    ready: BinaryHeap<Reverse<u32>>,
    running: usize,
    abandoned: usize,
    counts: Counts,
    blocked_count: usize,
    stopped: Option<Stop>,
}

#[derive(Clone, Copy)]
struct Blocked {
    by: TaskId,
    root: TaskId,
}

impl Plan {
    /// All tasks of the graph, none started.
    pub fn new(graph: &Arc<Graph>, rules: Rules) -> Self {
        let mut plan = Self {
            ranks: Ranks::new(graph),
            phases: vec![Phase::Waiting; graph.ids()],
            left: vec![0; graph.ids()],
            blocked: vec![None; graph.ids()],
            ready: BinaryHeap::new(),
            running: 0,
            abandoned: 0,
            counts: Counts::default(),
            blocked_count: 0,
            stopped: None,
            rules,
            graph: Arc::clone(graph),
        };
        for &task in graph.planned() {
            let left = graph.dependencies(task).len();
            plan.left[task.index()] = u32::try_from(left).unwrap_or(u32::MAX);
            if left == 0 {
                plan.set(task, Phase::Ready);
            }
        }
        plan
    }

    /// The ready task of the lowest rank: the one with the longest chain behind it, then the one declared first.
    pub fn take(&mut self) -> Option<TaskId> {
        while let Some(Reverse(rank)) = self.ready.pop() {
            let task = self.ranks.task(rank);
            if self.phase(task) == Phase::Ready {
                self.set(task, Phase::Running);
                return Some(task);
            }
        }
        None
    }

    /// A running task has ended. Its dependents become ready or get their outcome. A task that does not run is left as it
    /// is: it was abandoned before, and comes too late.
    pub fn finish(&mut self, task: TaskId, outcome: Outcome) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.phase(task) != Phase::Running {
            return changes;
        }
        self.set(task, Phase::Finished(outcome));
        self.release_dependents(task, &mut changes);
        let failures = self.counts.get(Outcome::Failed) + self.counts.get(Outcome::Crashed);
        if let Some(limit) = self.rules.max_fail.filter(|limit| failures >= limit.get()) {
            changes.extend(self.stop(Stop::MaxFail(limit.get())));
        }
        changes
    }

    /// Starts nothing any more: what waits or is ready is not run. Running tasks go on. A second stop changes nothing.
    pub fn stop(&mut self, why: Stop) -> Vec<Change> {
        if self.stopped.is_some() || self.counts.total() == self.graph.planned().len() {
            return Vec::new();
        }
        self.stopped = Some(why);
        let mut changes = vec![Change::Stopped(why)];
        self.settle_all(
            |phase| matches!(phase, Phase::Waiting | Phase::Ready),
            (Outcome::NotRun, why),
            &mut changes,
        );
        changes
    }

    /// Gives up the running tasks: they are cancelled, and whatever they still come to is ignored.
    pub fn abandon(&mut self, why: Stop) -> Vec<Change> {
        let mut changes = self.stop(why);
        self.abandoned += self.running;
        self.settle_all(
            |phase| phase == Phase::Running,
            (Outcome::Cancelled, why),
            &mut changes,
        );
        changes
    }

    /// Where a task stands.
    pub fn phase(&self, task: TaskId) -> Phase {
        self.phases[task.index()]
    }

    /// Every task has its outcome.
    pub fn is_over(&self) -> bool {
        self.counts.total() == self.graph.planned().len()
    }

    /// How many tasks may be taken now; an upper bound once the plan is stopped.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many tasks have been taken and have not ended.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many tasks were given up while they ran.
    pub fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// How the ended tasks ended.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many of the skipped tasks were skipped because of a dependency.
    pub fn blocked(&self) -> usize {
        self.blocked_count
    }

    /// Why nothing is started any more.
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// The one place where a phase changes; keeps the counts.
    fn set(&mut self, task: TaskId, phase: Phase) {
        let old = std::mem::replace(&mut self.phases[task.index()], phase);
        debug_assert!(!matches!(old, Phase::Finished(_)), "an outcome is for good");
        self.running -= usize::from(old == Phase::Running);
        match phase {
            Phase::Waiting => {}
            Phase::Ready => self.ready.push(Reverse(self.ranks.rank(task))),
            Phase::Running => self.running += 1,
            Phase::Finished(outcome) => self.counts.add(outcome),
        }
    }

    /// Counts down the dependents of an ended task, and of those that are skipped by that, and so on.
    fn release_dependents(&mut self, ended: TaskId, changes: &mut Vec<Change>) {
        let graph = Arc::clone(&self.graph);
        let mut ended = vec![ended];
        while let Some(task) = ended.pop() {
            for &dependent in graph.dependents(task).iter().rev() {
                self.left[dependent.index()] -= 1;
                if self.left[dependent.index()] > 0 || self.phase(dependent) != Phase::Waiting {
                    continue;
                }
                match self.blocker(dependent) {
                    None => self.set(dependent, Phase::Ready),
                    Some(by) => {
                        changes.push(self.skip(dependent, by));
                        ended.push(dependent);
                    }
                }
            }
        }
    }

    /// The first dependency that did not pass, where that matters.
    fn blocker(&self, task: TaskId) -> Option<TaskId> {
        if !self.rules.skip_deps || self.counts.get(Outcome::Passed) == self.counts.total() {
            return None;
        }
        let mut dependencies = self.graph.dependencies(task).iter().copied();
        dependencies.find(|dependency| match self.phase(*dependency) {
            Phase::Finished(Outcome::Passed) => false,
            Phase::Finished(Outcome::Skipped) => self.blocked[dependency.index()].is_some(),
            _ => true,
        })
    }

    fn skip(&mut self, task: TaskId, by: TaskId) -> Change {
        let root = self.blocked[by.index()].map_or(by, |deeper| deeper.root);
        self.blocked[task.index()] = Some(Blocked { by, root });
        self.blocked_count += 1;
        self.set(task, Phase::Finished(Outcome::Skipped));
        Change::Settled(task, Outcome::Skipped, Cause::Blocked(self.chain(by, root)))
    }

    /// From the direct dependency down to the root. The middle of a long chain is left out, so that a chain of n skipped
    /// tasks does not cost n² names.
    fn chain(&self, by: TaskId, root: TaskId) -> Box<[TaskId]> {
        let mut chain = vec![by];
        let mut task = by;
        while let Some(deeper) = self.blocked[task.index()] {
            task = if chain.len() + 1 < Cause::CHAIN {
                deeper.by
            } else {
                root
            };
            chain.push(task);
            if task == root {
                break;
            }
        }
        chain.into()
    }

    fn settle_all(
        &mut self,
        which: impl Fn(Phase) -> bool,
        (outcome, why): (Outcome, Stop),
        changes: &mut Vec<Change>,
    ) {
        let graph = Arc::clone(&self.graph);
        for &task in graph.planned() {
            if which(self.phase(task)) {
                self.set(task, Phase::Finished(outcome));
                changes.push(Change::Settled(task, outcome, Cause::Stopped(why)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
