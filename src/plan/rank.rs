//! The order among ready tasks: priority, then the longest remaining chain, then declaration.
//!
//! Knows nothing of phases.

use std::cmp::Reverse;

use crate::graph::Graph;
use crate::task::TaskId;

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

/// The planned tasks in the order of their ranks.
pub(super) fn order(
    graph: &Graph,
    remaining: &[u32],
    priority: impl Fn(TaskId) -> i32,
) -> Vec<TaskId> {
    // By counting: where a million tasks have few lengths, or each its own, this is linear.
    let planned = graph.planned();
    let longest = planned.iter().map(|task| remaining[task.index()]).max();
    let longest = longest.unwrap_or(0) as usize;
    let bucket = |task: &TaskId| longest - remaining[task.index()] as usize;
    let mut starts = vec![0_u32; longest + 1];
    for task in planned {
        starts[bucket(task)] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    let mut order = vec![TaskId::new(0); planned.len()];
    for task in planned {
        let next = &mut starts[bucket(task)];
        order[*next as usize] = *task;
        *next += 1;
    }
    if planned.iter().any(|task| priority(*task) != 0) {
        order.sort_by_key(|task| Reverse(priority(*task)));
    }
    order
}
