//! Threads of tasks and hooks that wait for something.
//!
//! A task may have several: the one that performs it, and others that it has made. The first gives up the place of its task
//! while it waits for other tasks. Those that wait for a lock keep it, unless all that run would wait then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, OnceLock};

use super::desk::{Desk, Held};
use super::{CURRENT, Crew, Shared};
use crate::plan::Phase;
use crate::task::{Refused, TaskId};

/// A thread that waits. Changed under the lock of the desk.
#[derive(Default)]
pub(super) struct Sleeper {
    pub(super) wake: Condvar,
    /// Its task; none for a hook.
    task: Option<TaskId>,
    /// It is the thread that performs the task.
    performs: bool,
    /// How many of the tasks that it waits for have not ended.
    left: AtomicUsize,
    answer: OnceLock<Result<(), Refused>>,
    /// It has given up the place of its task, and needs one to go on.
    needs_place: AtomicBool,
    /// The attempt that it belongs to has ended, or was given up.
    is_late: AtomicBool,
}

impl Sleeper {
    /// On the calling thread.
    pub(super) fn new<C: Crew>(shared: &Shared<C>, task: Option<TaskId>, left: usize) -> Arc<Self> {
        let performs = task.is_some_and(|task| CURRENT.get() == Some((shared.id(), task)));
        Arc::new(Self {
            task,
            performs,
            left: AtomicUsize::new(left),
            ..Self::default()
        })
    }

    fn is_asleep(&self) -> bool {
        self.answer.get().is_none()
    }

    fn needs_place(&self) -> bool {
        self.needs_place.load(Ordering::Relaxed)
    }

    fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed)
    }
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

    /// Ends all that the threads of a task wait for.
    pub(super) fn interrupt_sleepers(&mut self, task: TaskId) {
        for sleeper in self.sleepers.get(&task).cloned().into_iter().flatten() {
            self.answer(&sleeper, Err(Refused::Cancelled));
        }
    }

    /// An attempt of a task has ended, or was given up: threads that it has left behind have nothing to do with the next one.
    pub(super) fn dismiss_sleepers(&mut self, task: TaskId, why: Refused) {
        for sleeper in self.sleepers.remove(&task).into_iter().flatten() {
            sleeper.is_late.store(true, Ordering::Relaxed);
            self.resuming.retain(|other| !Arc::ptr_eq(other, &sleeper));
            self.answer(&sleeper, Err(why));
        }
    }

    /// Ends a wait. From here on its task can move again, whenever its thread comes to that.
    pub(super) fn answer(&mut self, sleeper: &Arc<Sleeper>, answer: Result<(), Refused>) {
        let is_first = sleeper.answer.set(answer).is_ok();
        if is_first && sleeper.needs_place() && !sleeper.is_late() {
            // Now, and not when its thread wakes up: who goes on must not depend on that.
            self.resuming.push_back(Arc::clone(sleeper));
        }
        sleeper.wake.notify_one();
    }

    /// A thread of the task that waits, and has no answer.
    fn asleep(&self, task: Option<TaskId>) -> Option<&Arc<Sleeper>> {
        let mut sleepers = self.sleepers.get(&task?)?.iter();
        sleepers.find(|sleeper| sleeper.is_asleep())
    }

    /// Every running task has a thread that waits: none of them may ever move if nothing else can start.
    pub(super) fn is_stalled(&self) -> bool {
        let mut running = self.places.iter().flatten();
        running.all(|task| self.asleep(Some(*task)).is_some())
    }

    fn forget_sleeper(&mut self, sleeper: &Arc<Sleeper>) {
        if let Some(task) = sleeper.task
            && let Some(sleepers) = self.sleepers.get_mut(&task)
        {
            sleepers.retain(|other| !Arc::ptr_eq(other, sleeper));
            if sleepers.is_empty() {
                self.sleepers.remove(&task);
            }
        }
    }
}

impl<C: Crew> Shared<C> {
    /// Waits for the answer. A thread that `yields` gives up the place of its task, if it performs it; so does one that would
    /// be the last to move. What it waited for does not count any more where the attempt is over: see [`Sleeper::is_late`].
    pub(super) fn sleep<'a>(
        self: &'a Arc<Self>,
        mut desk: Held<'a, C>,
        sleeper: &Arc<Sleeper>,
        yields: bool,
    ) -> (Held<'a, C>, Result<(), Refused>) {
        if let Some(task) = sleeper.task {
            let sleepers = desk.sleepers.entry(task).or_default();
            sleepers.push(Arc::clone(sleeper));
            match desk.plan.phase(task) {
                Phase::Running if yields && sleeper.performs || desk.is_stalled() => {
                    if desk.spare == 0 && self.add_thread(&mut desk).is_err() {
                        desk.forget_sleeper(sleeper);
                        return (desk, Err(Refused::Limit));
                    }
                    self.pause(&mut desk, task, sleeper);
                    self.wake(&mut desk);
                }
                Phase::Paused if sleeper.performs => {
                    sleeper.needs_place.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        while sleeper.is_asleep() {
            desk.wait(&sleeper.wake);
        }
        if sleeper.needs_place() {
            desk = self.resume(desk, sleeper);
        }
        desk.forget_sleeper(sleeper);
        let answer = sleeper.answer.get().copied().unwrap_or(Ok(()));
        let late = if sleeper.is_late() {
            Err(Refused::Stale)
        } else {
            Ok(())
        };
        (desk, answer.and(late))
    }

    /// A running task gives up its place for one of its threads.
    fn pause(&self, desk: &mut Desk, task: TaskId, sleeper: &Sleeper) {
        desk.plan.pause(task);
        sleeper.needs_place.store(true, Ordering::Relaxed);
        if let Some(place) = desk.leave_place(task) {
            self.crew.paused(place, task);
        }
    }

    /// Where one who has to be alone comes next, and all that run wait, they give up their places. Whether there were any.
    pub(super) fn make_way(&self, desk: &mut Desk) -> bool {
        let running: Vec<_> = desk.places.iter().flatten().copied().collect();
        if !desk.is_stalled() {
            return false;
        }
        for &task in &running {
            if let Some(sleeper) = desk.asleep(Some(task)).cloned() {
                self.pause(desk, task, &sleeper);
            }
        }
        !running.is_empty()
    }

    /// Waits for a place.
    fn resume<'a>(
        self: &'a Arc<Self>,
        mut desk: Held<'a, C>,
        sleeper: &Arc<Sleeper>,
    ) -> Held<'a, C> {
        while let Some(task) = sleeper.task
            && !sleeper.is_late()
            && desk.plan.phase(task) == Phase::Paused
        {
            let first = desk.resuming.front();
            if first.is_some_and(|first| Arc::ptr_eq(first, sleeper))
                && let Some(place) = desk.free_place()
            {
                if desk.is_stalled()
                    && let Some(other) = desk.asleep(Some(task))
                {
                    // It may be about to wait for its other thread, which needs the place more.
                    other.needs_place.store(true, Ordering::Relaxed);
                    break;
                }
                if desk.plan.resume(task) {
                    desk.places[place] = Some(task);
                    self.crew.resumed(place, task);
                    break;
                }
                if self.make_way(&mut desk) {
                    continue;
                }
            }
            desk.wait(&sleeper.wake);
        }
        if !sleeper.is_late() {
            // The other threads of the task that want a place go on with it.
            let resuming = std::mem::take(&mut desk.resuming).into_iter();
            let (same, others): (VecDeque<_>, _) =
                resuming.partition(|other| other.task == sleeper.task);
            desk.resuming = others;
            for other in same {
                other.wake.notify_one();
            }
        }
        self.wake(&mut desk);
        desk
    }
}
