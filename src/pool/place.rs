//! A place where a task runs, and the gate of its worker.
//!
//! While a worker runs one plain task after the other it does not touch the desk. Between two tasks it goes through its own
//! gate instead, which nobody else writes to, so that workers do not slow each other down. Who wants the desk locks it and
//! shuts the gates of all those places; from then on until they are opened no worker is between two tasks, and none gets
//! there: one that comes to a shut gate goes to the desk.
//!
//! The protocol: the worker says that it is inside, *then* looks whether the gate is shut. The desk shuts the gate, *then*
//! looks whether somebody is inside, and waits until that one has left. All four are sequentially consistent, so it cannot
//! be that neither sees the other.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Backoff, order_accesses};
use crate::task::TaskId;

/// Aligned, so that two places do not share a cache line, nor two that are fetched together.
#[repr(align(128))]
pub(super) struct Place {
    /// The worker is between two tasks.
    inside: AtomicBool,
    shut: AtomicBool,
    /// The thread whose gate it is.
    owner: AtomicUsize,
    /// The task that runs here on the lane. Changed inside, or while the gate is shut.
    task: AtomicUsize,
    /// How many tasks have passed here since the desk asked. Changed inside, or while the gate is shut.
    passed: AtomicUsize,
}

const NOBODY: usize = usize::MAX;
const NO_TASK: usize = usize::MAX;

impl Place {
    /// Shut, and nobody's.
    pub(super) fn new() -> Self {
        Self {
            inside: AtomicBool::new(false),
            shut: AtomicBool::new(true),
            owner: AtomicUsize::new(NOBODY),
            task: AtomicUsize::new(NO_TASK),
            passed: AtomicUsize::new(0),
        }
    }

    /// Goes inside; false where the gate is shut, or belongs to another thread by now.
    pub(super) fn enter(&self, thread: usize) -> bool {
        let inside = &self.inside;
        let went_in = inside.compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed);
        if went_in.is_err() {
            return false;
        }
        order_accesses();
        if self.shut.load(Ordering::SeqCst) || self.owner.load(Ordering::Relaxed) != thread {
            self.leave();
            return false;
        }
        true
    }

    /// Leaves it. What was done inside is seen by whoever shuts the gate next.
    pub(super) fn leave(&self) {
        self.inside.store(false, Ordering::Release);
    }

    /// Nobody gets inside any more.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        order_accesses();
    }

    /// Waits for who is inside a gate that has been shut; that one is about to leave.
    pub(super) fn wait_until_left(&self) {
        let backoff = Backoff::new();
        while self.inside.load(Ordering::SeqCst) {
            backoff.snooze();
        }
    }

    /// For the worker to pass.
    pub(super) fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }

    /// From here on it is the gate of this thread, which runs this task.
    pub(super) fn hand_over(&self, thread: usize, task: TaskId) {
        self.owner.store(thread, Ordering::Relaxed);
        self.set_task(Some(task));
    }

    pub(super) fn task(&self) -> Option<TaskId> {
        let task = self.task.load(Ordering::Relaxed);
        (task != NO_TASK).then(|| TaskId::new(task))
    }

    pub(super) fn set_task(&self, task: Option<TaskId>) {
        let task = task.map_or(NO_TASK, TaskId::index);
        self.task.store(task, Ordering::Relaxed);
    }

    /// One more task has passed.
    pub(super) fn count(&self) {
        let passed = self.passed.load(Ordering::Relaxed);
        self.passed.store(passed + 1, Ordering::Relaxed);
    }

    /// How many have passed since the last time.
    pub(super) fn take_count(&self) -> usize {
        let passed = self.passed.load(Ordering::Relaxed);
        self.passed.store(0, Ordering::Relaxed);
        passed
    }
}
