//! Stages: no task of a higher one starts before all of the lower ones have ended.
//!
//! Costs nothing where nobody uses them.

use std::collections::{BTreeMap, HashMap};

use crate::graph::{Graph, Stage};
use crate::task::TaskId;

/// Those of the first stage are only counted.
pub(super) struct Stages {
    /// Tasks of the first stage that have not ended.
    first_left: usize,
    /// Of the tasks of higher ones.
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
    pub(super) fn new(graph: &Graph) -> Self {
        let mut stages = Self {
            first_left: 0,
            by_task: HashMap::new(),
            counts: BTreeMap::new(),
            first_failure: None,
        };
        if graph.has_stages() {
            for &task in graph.planned() {
                stages.add(task, graph.stage(task));
            }
        } else {
            stages.first_left = graph.planned().len();
        }
        stages
    }

    /// A task that has not ended.
    pub(super) fn add(&mut self, task: TaskId, stage: Stage) {
        if stage == Stage::default() {
            self.first_left += 1;
        } else {
            self.by_task.insert(task, stage);
            self.counts.entry(stage).or_default().left += 1;
        }
    }

    pub(super) fn of(&self, task: TaskId) -> Stage {
        self.by_task.get(&task).copied().unwrap_or_default()
    }

    /// The tasks of all stages but the first.
    pub(super) fn higher(&self) -> impl Iterator<Item = TaskId> {
        self.by_task.keys().copied()
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

    /// So many tasks of the first stage have passed.
    pub(super) fn ended_first(&mut self, passed: usize) {
        self.first_left -= passed;
    }

    /// A task has its outcome.
    pub(super) fn ended(&mut self, task: TaskId, fine: bool) {
        let stage = self.of(task);
        if stage == Stage::default() {
            self.first_left -= 1;
        } else if let Some(count) = self.counts.get_mut(&stage) {
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

    /// Those of some tasks that are of lower stages than this one.
    pub(super) fn below(
        &self,
        task: TaskId,
        others: impl Iterator<Item = TaskId>,
    ) -> impl Iterator<Item = TaskId> {
        let stage = self.of(task);
        others.filter(move |other| self.of(*other) < stage)
    }

    /// The lowest stage that is not over.
    fn open(&self) -> Option<Stage> {
        if self.first_left > 0 {
            return Some(Stage::default());
        }
        let mut left = self.counts.iter().filter(|(_, count)| count.left > 0);
        left.next().map(|(stage, _)| *stage)
    }
}
