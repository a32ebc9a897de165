//! The order among ready tasks: priority, then the longest remaining chain, then declaration.
//!
//! Knows nothing of phases.

use std::cmp::Reverse;

use crate::graph::Graph;

/// What decides among ready tasks before their declaration does; the lower one goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<i32>,
    /// How many tasks the longest chain of dependents has that starts there.
    remaining: Reverse<u32>,
}

impl Rank {
    pub(super) fn new(priority: i32, remaining: u32) -> Self {
        Self {
            priority: Reverse(priority),
            remaining: Reverse(remaining),
        }
    }
}

/// By task: how many tasks the longest chain of dependents has that starts there.
pub(super) fn remaining_chains(graph: &Graph) -> Vec<u32> {
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
