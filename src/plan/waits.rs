//! Who waits for whom, and whether that can come to an end.

use std::collections::{HashMap, HashSet};

use super::{Owner, Phase, Plan};
use crate::task::TaskId;

/// Running tasks that wait for others, and for which.
#[derive(Default)]
pub(super) struct Waits(HashMap<TaskId, Vec<Box<[TaskId]>>>);

impl Waits {
    pub(super) fn begin(&mut self, task: TaskId, on: &[TaskId]) {
        self.0.entry(task).or_default().push(on.into());
    }

    pub(super) fn end(&mut self, task: TaskId, on: &[TaskId]) {
        if let Some(waits) = self.0.get_mut(&task) {
            if let Some(index) = waits.iter().position(|wait| **wait == *on) {
                waits.swap_remove(index);
            }
            if waits.is_empty() {
                self.0.remove(&task);
            }
        }
    }

    /// All waits of a task are over.
    pub(super) fn clear(&mut self, task: TaskId) {
        self.0.remove(&task);
    }

    fn of(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        let waits = self.0.get(&task).into_iter().flatten();
        waits.flat_map(|wait| wait.iter().copied())
    }
}

impl Plan {
    /// Whether waiting for these would never end: they wait for `waiter`, themselves or over others; or for someone who has
    /// been given up.
    pub(super) fn is_hopeless(&self, on: Vec<Owner>, waiter: Option<Owner>) -> bool {
        let (mut seen, mut next) = (HashSet::new(), on);
        while let Some(node) = next.pop() {
            if Some(node) == waiter || self.is_stuck(node) {
                return true;
            }
            if seen.insert(node) {
                next.append(&mut self.awaited(node));
            }
        }
        false
    }

    /// There is nothing to wait for.
    pub(super) fn is_over_with(&self, node: Owner) -> bool {
        matches!(node, Owner::Task(task) if self.is_finished(task))
    }

    fn is_stuck(&self, node: Owner) -> bool {
        matches!(node, Owner::Task(task) if self.stuck.contains(&task))
    }

    /// Those who have to move before this one can.
    fn awaited(&self, node: Owner) -> Vec<Owner> {
        let Owner::Task(task) = node else {
            return self.locks.awaited_by(node);
        };
        let mut awaited = Vec::new();
        let mut tasks: Vec<TaskId> = Vec::new();
        match self.phase(task) {
            Phase::Unplanned | Phase::Finished(_) => {}
            Phase::Running | Phase::Paused => {
                awaited = self.locks.awaited_by(node);
                tasks.extend(self.waits.of(task));
            }
            Phase::Waiting | Phase::Ready => {
                tasks.extend(self.edges.dependencies(task));
                if !self.stages.is_open(task) {
                    let planned = self.edges.planned().iter().copied();
                    tasks.extend(self.stages.below(task, planned));
                }
                if let Some(options) = self.options.get(&task) {
                    awaited.extend(self.locks.before_start(task, &options.locks));
                }
            }
        }
        let tasks = tasks.into_iter().map(Owner::Task);
        awaited.extend(tasks.filter(|node| !self.is_over_with(*node)));
        awaited
    }
}
