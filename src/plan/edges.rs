//! Who comes after whom: the graph that was planned at first, and what has been added since.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{Added, Graph};
use crate::task::TaskId;

pub(super) struct Edges {
    graph: Arc<Graph>,
    /// All tasks, those that were added last.
    planned: Vec<TaskId>,
    /// Of the added tasks.
    dependencies: HashMap<TaskId, Box<[TaskId]>>,
    /// Added tasks, by what they come after.
    dependents: HashMap<TaskId, Vec<TaskId>>,
}

impl Edges {
    pub(super) fn new(graph: &Arc<Graph>) -> Self {
        Self {
            planned: graph.planned().to_vec(),
            graph: Arc::clone(graph),
            dependencies: HashMap::new(),
            dependents: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, task: TaskId, dependencies: &[TaskId]) {
        self.planned.push(task);
        for &dependency in dependencies {
            self.dependents.entry(dependency).or_default().push(task);
        }
        self.dependencies.insert(task, dependencies.into());
    }

    pub(super) fn planned(&self) -> &[TaskId] {
        &self.planned
    }

    /// All tasks, every one after its dependencies.
    pub(super) fn topological(&self) -> impl Iterator<Item = TaskId> {
        let added = &self.planned[self.graph.planned().len()..];
        self.graph.topological().iter().chain(added).copied()
    }

    pub(super) fn dependencies(&self, task: TaskId) -> &[TaskId] {
        match self.dependencies.get(&task) {
            Some(added) => added,
            None if task.index() < self.graph.ids() => self.graph.dependencies(task),
            None => &[],
        }
    }

    /// The graph that was planned at first.
    pub(super) fn graph(&self) -> Arc<Graph> {
        Arc::clone(&self.graph)
    }

    pub(super) fn has_added_dependents(&self, task: TaskId) -> bool {
        self.dependents.contains_key(&task)
    }

    /// The added tasks that come after a task.
    pub(super) fn added_dependents(&self, task: TaskId) -> Vec<TaskId> {
        self.dependents.get(&task).cloned().unwrap_or_default()
    }

    /// For each of the added tasks: how many tasks the longest chain of added dependents has that starts there.
    pub(super) fn remaining_chains(&self, added: &[Added]) -> Vec<u32> {
        let mut remaining: HashMap<TaskId, u32> = HashMap::new();
        for Added { task, .. } in added.iter().rev() {
            let dependents = self.dependents.get(task).into_iter().flatten();
            let longest = dependents
                .filter_map(|dependent| remaining.get(dependent))
                .max();
            remaining.insert(*task, longest.map_or(1, |longest| longest + 1));
        }
        added.iter().map(|added| remaining[&added.task]).collect()
    }
}
