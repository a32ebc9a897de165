//! The lane: what many workers do with plain tasks at the same time, without the lock of the plan.
//!
//! A task is on the lane while nothing about it is special: it declares nothing that decides when it may start, nobody waits
//! for it at run time, and what it comes after has passed so far. Such a task starts when its count of unfinished
//! dependencies comes to zero, and ends by counting down those that come after it. Everything else is the plan's, which
//! takes tasks off the lane as it has to, and puts none back that it has not taken itself.
//!
//! The counts and the ready set are atomic, and any number of workers use them side by side. All else here is changed by
//! the plan alone, while no worker is between two tasks of the lane: whoever holds plan and lane together sees to that.
//! A count orders memory: what came before each of its steps is seen by whoever takes the last one. A count of one has only
//! that step, and what comes before it is handed on with the task: through the ready set, or by the same thread.

use std::sync::Arc;

use super::Phase;
use super::ready::{BITS, ReadySet};
use crate::graph::Graph;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::task::{Outcome, TaskId};

/// Shared by plan and workers.
pub struct Lane {
    graph: Arc<Graph>,
    nodes: Box<[Node]>,
    /// Whether a task is on the lane, and if not, its phase; see [`code`].
    phases: Box<[AtomicU8]>,
    /// The tasks in the order of their ranks.
    by_rank: Box<[TaskId]>,
    /// Ranks of ready tasks, also of those that are not on the lane.
    ready: ReadySet,
    /// Nothing may be taken from the lane.
    closed: AtomicBool,
}

struct Node {
    /// How many of its dependencies have not ended.
    left: AtomicU32,
    /// Its place in the order of ranks, and [`ONE`] where it has one dependency.
    rank: u32,
}

/// The rank of tasks that were not there at first.
const NO_RANK: u32 = ONE - 1;

/// Nobody else counts it down: that takes no more than a store. Above all ranks.
const ONE: u32 = 1 << 31;

/// A task is on the lane.
const ON: u8 = 0;

/// What comes next on the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This task, which has been taken.
    Task(TaskId),
    /// Nothing for now.
    Nothing,
    /// It is for the plan to say.
    Plan,
}

impl Lane {
    /// For tasks in the order of their ranks; all that are planned are on the lane, and none is ready.
    pub(super) fn new(graph: &Arc<Graph>, by_rank: Vec<TaskId>) -> Self {
        let count = |task| u32::try_from(graph.dependencies(task).len()).unwrap_or(u32::MAX);
        let node = |task| {
            let left = count(task);
            let one = if left == 1 { ONE } else { 0 };
            Node {
                left: AtomicU32::new(left),
                rank: NO_RANK | one,
            }
        };
        let mut nodes: Box<[Node]> = (0..graph.ids()).map(TaskId::new).map(node).collect();
        let phases: Box<[AtomicU8]> = (0..graph.ids())
            .map(|_| AtomicU8::new(code(Phase::Unplanned)))
            .collect();
        for (rank, task) in (0..NO_RANK).zip(&by_rank) {
            let node = &mut nodes[task.index()];
            node.rank = rank | node.rank & ONE;
            phases[task.index()].store(ON, Ordering::Relaxed);
        }
        Self {
            graph: Arc::clone(graph),
            nodes,
            phases,
            ready: ReadySet::new(by_rank.len()),
            by_rank: by_rank.into(),
            closed: AtomicBool::new(false),
        }
    }

    /// A task of the lane has passed: those that come after it are counted down, and become ready. What comes next. Those
    /// that wait for nothing any more and are the plan's are added to `off`.
    pub fn passed(&self, task: TaskId, off: &mut Vec<TaskId>) -> Next {
        let (mut lowest, mut batch) = (None, Batch::default());
        for &dependent in self.graph.dependents(task) {
            let node = &self.nodes[dependent.index()];
            if !node.count_down() {
                continue;
            }
            if !self.is_on(dependent) {
                off.push(dependent);
                continue;
            }
            let rank = node.rank();
            let least = lowest.map_or(rank, |lowest: u32| lowest.min(rank));
            if let Some(other) = lowest.replace(least) {
                batch.add(&self.ready, other.max(rank) as usize);
            }
        }
        batch.flush(&self.ready);
        match lowest {
            _ if self.is_closed() || !off.is_empty() => {
                if let Some(rank) = lowest {
                    self.ready.insert(rank as usize);
                }
                Next::Plan
            }
            // It need not go through the set if all that is in there comes later.
            Some(rank)
                if self
                    .ready
                    .first()
                    .is_none_or(|first| rank as usize <= first) =>
            {
                Next::Task(self.by_rank[rank as usize])
            }
            Some(rank) => {
                self.ready.insert(rank as usize);
                self.take()
            }
            None => self.take(),
        }
    }

    /// Takes the next task.
    pub fn take(&self) -> Next {
        if self.is_closed() {
            return Next::Plan;
        }
        let Some(rank) = self.ready.take() else {
            return Next::Nothing;
        };
        let task = self.by_rank[rank];
        if self.is_on(task) {
            return Next::Task(task);
        }
        self.ready.insert(rank);
        Next::Plan
    }

    /// Something is ready.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The task is on the lane; if not, all about it is for the plan to say.
    pub fn is_on(&self, task: TaskId) -> bool {
        let phase = self.phases.get(task.index());
        phase.is_some_and(|phase| phase.load(Ordering::Relaxed) == ON)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn set_closed(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// The task was there at first.
    pub(super) fn knows(&self, task: TaskId) -> bool {
        let node = self.nodes.get(task.index());
        node.is_some_and(|node| node.rank() != NO_RANK)
    }

    /// The phase of a task that was there at first; none where it is on the lane and has been taken from there.
    pub(super) fn phase(&self, task: TaskId) -> Option<Phase> {
        let phase = phase(self.phases[task.index()].load(Ordering::Relaxed));
        if phase.is_some() {
            return phase;
        }
        if self.left(task) > 0 {
            return Some(Phase::Waiting);
        }
        let is_ready = self.ready.contains(self.rank(task));
        is_ready.then_some(Phase::Ready)
    }

    /// Takes a task off the lane, or changes the phase of one that is not on it.
    pub(super) fn set_phase(&self, task: TaskId, phase: Phase) {
        self.phases[task.index()].store(code(phase), Ordering::Relaxed);
    }

    /// Puts a task on the lane that is in the ready set, or about to be taken, or waits for others.
    pub(super) fn put_on(&self, task: TaskId) {
        self.phases[task.index()].store(ON, Ordering::Relaxed);
    }

    pub(super) fn left(&self, task: TaskId) -> u32 {
        self.nodes[task.index()].left.load(Ordering::Relaxed)
    }

    /// One of its dependencies has ended; whether that was the last one.
    pub(super) fn count_down(&self, task: TaskId) -> bool {
        self.nodes[task.index()].count_down()
    }

    pub(super) fn insert(&self, task: TaskId) {
        self.ready.insert(self.rank(task));
    }

    pub(super) fn remove(&self, task: TaskId) {
        self.ready.remove(self.rank(task));
    }

    /// The ready task of the lowest rank, which stays ready.
    pub(super) fn first(&self) -> Option<TaskId> {
        self.ready.first().map(|rank| self.by_rank[rank])
    }

    fn rank(&self, task: TaskId) -> usize {
        self.nodes[task.index()].rank() as usize
    }
}

impl Node {
    fn rank(&self) -> u32 {
        self.rank & !ONE
    }

    /// Whether that was the last one.
    fn count_down(&self) -> bool {
        if self.rank & ONE != 0 {
            self.left.store(0, Ordering::Relaxed);
            return true;
        }
        // Without a look before: that would fetch the line twice from a worker that has just counted too.
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// Ready tasks whose bits stand in one word of the set: published at once.
#[derive(Default)]
struct Batch {
    word: usize,
    bits: u64,
}

impl Batch {
    fn add(&mut self, ready: &ReadySet, rank: usize) {
        let word = rank / BITS;
        if word != self.word {
            self.flush(ready);
            self.word = word;
        }
        self.bits |= 1 << (rank % BITS);
    }

    fn flush(&mut self, ready: &ReadySet) {
        if self.bits != 0 {
            ready.insert_many(self.word, std::mem::take(&mut self.bits));
        }
    }
}

/// A phase in a byte; never [`ON`].
fn code(phase: Phase) -> u8 {
    match phase {
        Phase::Unplanned => 1,
        Phase::Waiting => 2,
        Phase::Ready => 3,
        Phase::Running => 4,
        Phase::Paused => 5,
        Phase::Finished(outcome) => 8 + outcome as u8,
    }
}

fn phase(code: u8) -> Option<Phase> {
    Some(match code {
        ON => return None,
        1 => Phase::Unplanned,
        2 => Phase::Waiting,
        3 => Phase::Ready,
        4 => Phase::Running,
        5 => Phase::Paused,
        outcome => Phase::Finished(Outcome::ALL[usize::from(outcome - 8)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_fits_in_a_byte() {
        let finished = Outcome::ALL.map(Phase::Finished);
        let others = [
            Phase::Unplanned,
            Phase::Waiting,
            Phase::Ready,
            Phase::Running,
            Phase::Paused,
        ];
        for each in finished.into_iter().chain(others) {
            assert_eq!(phase(code(each)), Some(each));
        }
        assert_eq!(phase(ON), None);
    }
}
