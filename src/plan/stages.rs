//! Stages: no task of a higher one starts before all of the lower ones have ended.
//!
//! Costs nothing where nobody uses them.

use std::collections::{BTreeMap, HashMap};

use crate::graph::Stage;
use crate::task::TaskId;

#[derive(Default)]
pub(super) struct Stages {
    /// Of all tasks, where stages are used.
    by_task: HashMap<TaskId, Stage>,
    counts: BTreeMap<Stage, Count>,
    /// The first of the tasks in front of the last ones that did not pass, in declaration order.
    first_failure: Option<TaskId>,
}

#[derive(Default)]
struct Count {
    /// Tasks that have not ended.
    left: usize,
    /// Tasks that could start, but for their stage.
    held: Vec<TaskId>,
}

impl Stages {
    pub(super) fn are_used(&self) -> bool {
        !self.by_task.is_empty()
    }

    /// A task that has not ended.
    pub(super) fn add(&mut self, task: TaskId, stage: Stage) {
        self.by_task.insert(task, stage);
        self.counts.entry(stage).or_default().left += 1;
    }

    /// All lower stages are over.
    pub(super) fn is_open(&self, task: TaskId) -> bool {
        let stage = self.by_task.get(&task);
        stage.is_none_or(|stage| self.open().is_none_or(|open| *stage <= open))
    }

    /// Keeps the task until its stage opens.
    pub(super) fn hold(&mut self, task: TaskId) {
        if let Some(stage) = self.by_task.get(&task) {
            self.counts.entry(*stage).or_default().held.push(task);
        }
    }

    /// A task has its outcome.
    pub(super) fn ended(&mut self, task: TaskId, fine: bool) {
        let Some(stage) = self.by_task.get(&task).copied() else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&stage) {
            count.left -= 1;
        }
        if !fine && !stage.last {
            let first = self.first_failure.get_or_insert(task);
            *first = task.min(*first);
        }
    }

    /// The tasks that were held and whose stage is open now.
    pub(super) fn open_next(&mut self) -> Vec<TaskId> {
        if self.counts.is_empty() {
            return Vec::new();
        }
        let open = self.open();
        let mut opened = Vec::new();
        for (stage, count) in &mut self.counts {
            if open.is_none_or(|open| *stage <= open) {
                opened.append(&mut count.held);
            }
        }
        // What is over and holds nothing need not be looked at again.
        self.counts.retain(|_, count| count.left > 0);
        opened
    }

    /// The first task in front of the last ones that did not pass.
    pub(super) fn first_failure(&self) -> Option<TaskId> {
        self.first_failure
    }

    /// The tasks of lower stages, ended or not.
    pub(super) fn below(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        let stage = self.by_task.get(&task).copied();
        let all = self.by_task.iter();
        let below = all.filter(move |(_, other)| stage.is_some_and(|stage| **other < stage));
        below.map(|(task, _)| *task)
    }

    /// The lowest stage that is not over.
    fn open(&self) -> Option<Stage> {
        let mut left = self.counts.iter().filter(|(_, count)| count.left > 0);
        left.next().map(|(stage, _)| *stage)
    }
}
