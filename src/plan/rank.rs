//! The order among ready tasks, known before the run: longest remaining chain first, then declaration.
//!
//! Knows nothing of phases.

use crate::graph::Graph;
use crate::task::TaskId;

/// A permutation of the planned tasks; a lower rank goes first.
pub(super) struct Ranks {
    by_rank: Vec<TaskId>,
    by_task: Vec<u32>,
}

impl Ranks {
    pub(super) fn new(graph: &Graph) -> Self {
        let remaining = remaining_chains(graph);
        let mut by_rank = graph.planned().to_vec();
        by_rank.sort_by_key(|task| std::cmp::Reverse(remaining[task.index()]));
        let mut by_task = vec![0; graph.ids()];
        for (rank, task) in (0..).zip(&by_rank) {
            by_task[task.index()] = rank;
        }
        Self { by_rank, by_task }
    }

    pub(super) fn rank(&self, task: TaskId) -> u32 {
        self.by_task[task.index()]
    }

    pub(super) fn task(&self, rank: u32) -> TaskId {
        self.by_rank[rank as usize]
    }
}

/// By task: how many tasks the longest chain of dependents has that starts there.
fn remaining_chains(graph: &Graph) -> Vec<u32> {
    let mut remaining = vec![0; graph.ids()];
    for &task in graph.topological().iter().rev() {
        let dependents = graph.dependents(task).iter();
        let longest = dependents
            .map(|dependent| remaining[dependent.index()])
            .max();
        remaining[task.index()] = longest.unwrap_or(0) + 1;
    }
    remaining
}
