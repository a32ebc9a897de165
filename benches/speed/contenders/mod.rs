//! Who runs the graphs. Each makes what it needs for that, then its clock starts, then it starts its threads (oneTBB keeps
//! its own). A worker goes on with the first dependent that it has made ready.

pub(crate) mod deques;
pub(crate) mod queue;
pub(crate) mod scope;
pub(crate) mod tdrun;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// A graph as plain arrays.
pub(crate) struct Edges {
    /// By task: where its dependents begin in `dependents`; and one more at the end.
    pub(crate) starts: Vec<u32>,
    pub(crate) dependents: Vec<u32>,
    /// By task: how many it comes after.
    pub(crate) dependencies: Vec<u32>,
}

impl Edges {
    fn tasks(&self) -> usize {
        self.dependencies.len()
    }

    fn roots(&self) -> impl Iterator<Item = u32> {
        let tasks = (0..).zip(&self.dependencies);
        tasks.filter_map(|(task, dependencies)| (*dependencies == 0).then_some(task))
    }

    /// By task: how many of its dependencies have not ended.
    fn waiting(&self) -> Vec<AtomicU32> {
        self.dependencies
            .iter()
            .copied()
            .map(AtomicU32::new)
            .collect()
    }

    /// Counts the dependents of a task down: the first that is ready, and each further one through `more`.
    fn release(&self, waiting: &[AtomicU32], task: u32, mut more: impl FnMut(u32)) -> Option<u32> {
        let task = task as usize;
        let (from, to) = (self.starts[task] as usize, self.starts[task + 1] as usize);
        let mut first = None;
        for &dependent in &self.dependents[from..to] {
            if waiting[dependent as usize].fetch_sub(1, Ordering::AcqRel) > 1 {
                continue;
            }
            match first {
                None => first = Some(dependent),
                Some(_) => more(dependent),
            }
        }
        first
    }
}

/// What a task does: a call that the compiler cannot see through.
fn call(task: u32) -> i32 {
    fn nothing(_: u32) -> i32 {
        0
    }
    black_box(nothing as fn(u32) -> i32)(task)
}
