//! How tasks come to their outcomes without running, and what follows for those that come after them.

use super::{Blocked, Change, Owner, Phase, Plan};
use crate::event::{Cause, Stop};
use crate::task::{Condition, Outcome, TaskId};

impl Plan {
    /// All that a task comes after has ended: it becomes ready, waits for its stage, or gets its outcome.
    pub(super) fn admit(
        &mut self,
        task: TaskId,
        ended: &mut Vec<TaskId>,
        changes: &mut Vec<Change>,
    ) {
        // Whether a task runs is judged once, not again for each attempt.
        let last = self.condition(task) == Condition::NoFailures && !self.is_retry(task);
        // What runs only without failures is judged when all of them are known; the rest as soon as can be.
        if !last && let Some(by) = self.blocker(task) {
            self.block(task, by, changes);
            ended.push(task);
        } else if !self.stages.is_open(task) {
            self.stages.hold(task);
        } else if last && let Some(by) = self.stages.first_failure() {
            self.skip(task, Blocked { by, root: by }, Cause::Failures(by), changes);
            ended.push(task);
        } else if last && let Some(by) = self.blocker(task) {
            self.block(task, by, changes);
            ended.push(task);
        } else if let Some(cause) = self.stuck_lock(task) {
            self.settle(task, Outcome::NotRun, cause, changes);
            ended.push(task);
        } else if self.lane.is_on(task) {
            self.push_ready(task);
        } else {
            self.set(task, Phase::Ready);
        }
    }

    /// Counts down the dependents of ended tasks, and of those that get their outcome by that, and so on; and opens the next
    /// stage where one is over.
    pub(super) fn follow(&mut self, mut ended: Vec<TaskId>, changes: &mut Vec<Change>) {
        let graph = self.edges.graph();
        loop {
            while let Some(task) = ended.pop() {
                let fine = self.is_fine(task);
                let added = self.edges.added_dependents(task);
                let first = if task.index() < graph.ids() {
                    graph.dependents(task)
                } else {
                    &[]
                };
                for &dependent in added.iter().rev().chain(first.iter().rev()) {
                    if !fine {
                        self.take_off_lane(dependent);
                    }
                    // The last step shows that it waited, also where it is on the lane and would seem to be over now.
                    let waits = self.phase(dependent) == Phase::Waiting;
                    if self.count_down(dependent) && waits {
                        self.admit(dependent, &mut ended, changes);
                    }
                }
            }
            let opened = self.stages.open_next();
            if opened.is_empty() {
                return;
            }
            for task in opened {
                if self.phase(task) == Phase::Waiting {
                    self.admit(task, &mut ended, changes);
                }
            }
        }
    }

    /// The first dependency that did not pass, where that matters.
    pub(super) fn blocker(&self, task: TaskId) -> Option<TaskId> {
        let all_passed = self.counts.get(Outcome::Passed) == self.counts.total();
        let always = self.condition(task) == Condition::Always;
        if !self.rules.skip_deps || all_passed || self.is_retry(task) || always {
            return None;
        }
        let mut dependencies = self.edges.dependencies(task).iter().copied();
        dependencies.find(|dependency| !self.is_fine(*dependency))
    }

    /// It has been tried before.
    pub(super) fn is_retry(&self, task: TaskId) -> bool {
        self.attempts.contains_key(&task)
    }

    /// Why a task will never get a lock that it declares.
    pub(super) fn stuck_lock(&self, task: TaskId) -> Option<Cause> {
        if self.stuck.is_empty() {
            return None;
        }
        let options = self.options.get(&task)?;
        let mut holders = self.locks.in_the_way(Owner::Task(task), &options.locks);
        holders.find_map(|(lock, owner)| match owner {
            Owner::Task(holder) if self.stuck.contains(&holder) => Some(Cause::Locked {
                lock: lock.name.clone(),
                holder,
            }),
            _ => None,
        })
    }

    pub(super) fn block(&mut self, task: TaskId, by: TaskId, changes: &mut Vec<Change>) {
        let root = self.blocked.get(&by).map_or(by, |deeper| deeper.root);
        let cause = Cause::Blocked(self.chain(by, root));
        self.skip(task, Blocked { by, root }, cause, changes);
    }

    pub(super) fn skip(
        &mut self,
        task: TaskId,
        by: Blocked,
        cause: Cause,
        changes: &mut Vec<Change>,
    ) {
        self.blocked.insert(task, by);
        self.set(task, Phase::Finished(Outcome::Skipped));
        changes.push(Change::Settled(task, Outcome::Skipped, cause));
    }

    /// Gives a task its outcome without running it; where it has been tried before, that of its last attempt.
    pub(super) fn settle(
        &mut self,
        task: TaskId,
        outcome: Outcome,
        cause: Cause,
        changes: &mut Vec<Change>,
    ) {
        let last = self.attempts.get(&task).map(|(_, outcome)| *outcome);
        let last = last.filter(|_| outcome == Outcome::NotRun);
        self.set(task, Phase::Finished(last.unwrap_or(outcome)));
        changes.push(match last {
            Some(last) => Change::Stands(task, last),
            None => Change::Settled(task, outcome, cause),
        });
    }

    pub(super) fn settle_all(
        &mut self,
        which: impl Fn(&Self, TaskId) -> bool,
        (outcome, why): (Outcome, Stop),
        changes: &mut Vec<Change>,
    ) -> Vec<TaskId> {
        let planned = self.edges.planned().iter().copied();
        let settled: Vec<_> = planned.filter(|task| which(self, *task)).collect();
        for &task in &settled {
            self.settle(task, outcome, Cause::Stopped(why), changes);
        }
        settled
    }

    /// From the direct dependency down to the root. The middle of a long chain is left out, so that a chain of n skipped
    /// tasks does not cost n² names.
    pub(super) fn chain(&self, by: TaskId, root: TaskId) -> Box<[TaskId]> {
        let mut chain = vec![by];
        let mut task = by;
        while let Some(deeper) = self.blocked.get(&task) {
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
}
