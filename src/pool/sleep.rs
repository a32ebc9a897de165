//! Threads of tasks and hooks that wait for something.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{CURRENT, Crew, Desk, Shared};
use crate::plan::Phase;
use crate::task::{Refused, TaskId};

/// A thread of a task or hook that waits for something. Changed under the lock of the desk.
#[derive(Default)]
pub(super) struct Sleeper {
    pub(super) wake: Condvar,
    /// The task that does not move meanwhile although it has kept its place.
    blocks: Mutex<Option<TaskId>>,
    /// Tasks that have not ended.
    pub(super) left: AtomicUsize,
    answer: OnceLock<Result<(), Refused>>,
    /// It has given up the place of its task, and needs one to go on.
    needs_place: AtomicBool,
}

impl Desk {
    /// A task has its outcome: who waited for it may go on.
    pub(super) fn answer_waits_for(&mut self, task: TaskId) {
        for sleeper in self.awaited.remove(&task).into_iter().flatten() {
            if sleeper.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.answer(&sleeper, Ok(()));
            }
        }
    }

    pub(super) fn cancel_waits_of(&mut self, task: TaskId) {
        for sleeper in self.waiting.get(&task).cloned().into_iter().flatten() {
            self.answer(&sleeper, Err(Refused::Cancelled));
        }
    }

    /// Ends a wait. From here on its task can move again, whenever its thread comes to that.
    pub(super) fn answer(&mut self, sleeper: &Arc<Sleeper>, answer: Result<(), Refused>) {
        let is_first = sleeper.answer.set(answer).is_ok();
        self.unblock(sleeper);
        // Now, and not when its thread wakes up: who goes on must not depend on that.
        if is_first && sleeper.needs_place.load(Ordering::Relaxed) {
            self.resuming.push_back(Arc::clone(sleeper));
        }
        sleeper.wake.notify_one();
    }

    pub(super) fn block(&mut self, sleeper: &Sleeper, task: TaskId) {
        *locked(&sleeper.blocks) = Some(task);
        *self.blocked.entry(task).or_default() += 1;
    }

    pub(super) fn unblock(&mut self, sleeper: &Sleeper) {
        let task = locked(&sleeper.blocks).take();
        let threads = task.and_then(|task| self.blocked.get_mut(&task));
        if let Some(threads) = threads {
            *threads -= 1;
        }
        if let Some(task) = task
            && self.blocked.get(&task) == Some(&0)
        {
            self.blocked.remove(&task);
        }
    }

    /// Every running task has a thread that waits: none of them may ever move if nothing else can start.
    pub(super) fn is_stalled(&self) -> bool {
        self.blocked.len() >= self.plan.running()
    }
}

impl<C: Crew> Shared<C> {
    /// Waits for the answer. A thread that `yields` gives up the place of its task; so does one that would be the last to
    /// move.
    pub(super) fn sleep<'a>(
        self: &'a Arc<Self>,
        mut desk: MutexGuard<'a, Desk>,
        task: Option<TaskId>,
        sleeper: &Arc<Sleeper>,
        yields: bool,
    ) -> (MutexGuard<'a, Desk>, Result<(), Refused>) {
        let running = task.filter(|task| desk.plan.phase(*task) == Phase::Running);
        if let Some(task) = running {
            desk.block(sleeper, task);
        }
        let pausing = running.filter(|task| {
            yields && CURRENT.get() == Some((self.id(), *task)) || desk.is_stalled()
        });
        if let Some(task) = pausing {
            desk.unblock(sleeper);
            if desk.spare == 0 && self.add_thread(&mut desk).is_err() {
                return (desk, Err(Refused::Limit));
            }
            desk.plan.pause(task);
            sleeper.needs_place.store(true, Ordering::Relaxed);
            if let Some(place) = desk.leave_place(task) {
                self.crew.paused(place, task);
            }
            self.wake(&mut desk);
        }
        while sleeper.answer.get().is_none() {
            let wait = sleeper.wake.wait(desk);
            desk = wait.unwrap_or_else(PoisonError::into_inner);
        }
        let answer = sleeper.answer.get().copied().unwrap_or(Ok(()));
        if let Some(task) = pausing {
            return self.resume(desk, task, sleeper, answer);
        }
        (desk, answer)
    }

    /// Waits for a place.
    fn resume<'a>(
        self: &'a Arc<Self>,
        mut desk: MutexGuard<'a, Desk>,
        task: TaskId,
        sleeper: &Arc<Sleeper>,
        answer: Result<(), Refused>,
    ) -> (MutexGuard<'a, Desk>, Result<(), Refused>) {
        let mut end = answer;
        loop {
            if desk.plan.phase(task) != Phase::Paused {
                end = end.and(Err(Refused::Cancelled)); // given up
                break;
            }
            let first = desk.resuming.front();
            let is_first = first.is_some_and(|first| Arc::ptr_eq(first, sleeper));
            if is_first
                && let Some(place) = desk.free_place()
                && desk.plan.resume(task)
            {
                desk.places[place] = Some(task);
                self.crew.resumed(place, task);
                break;
            }
            let wait = sleeper.wake.wait(desk);
            desk = wait.unwrap_or_else(PoisonError::into_inner);
        }
        desk.resuming.retain(|other| !Arc::ptr_eq(other, sleeper));
        self.wake(&mut desk);
        (desk, end)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
