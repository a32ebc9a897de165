//! What the workers leave behind on the lane: which task each runs, and which have passed, with their times.
//!
//! One track for each worker, which alone writes to it, so that workers do not disturb each other or wait for anybody. The
//! reporting thread takes away what has passed from time to time. Where it does not come in time, and the track is full,
//! the worker puts the whole of it aside under a lock.
//!
//! The protocol: the worker fills the next slot, then moves the end on; who takes away reads the end, then the slots up to
//! there, then moves the beginning on. Only who has the lock moves the beginning. Which task runs is changed in three steps
//! (none, since when, which), so that whoever finds the same task before and after the time has read a pair.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Mutex, MutexGuard};
use crate::task::TaskId;

/// A task that has passed. Times are nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) task: TaskId,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Aligned, so that two tracks do not share a cache line.
#[repr(align(128))]
pub(super) struct Track {
    /// The task that runs, and since when.
    task: AtomicUsize,
    since: AtomicU64,
    /// When the last one passed.
    last_end: AtomicU64,
    /// How many have passed.
    end: AtomicUsize,
    /// How many of those have been taken away.
    beginning: AtomicUsize,
    slots: Box<[Slot]>,
    /// What there was no room for; stands before the slots.
    aside: Mutex<Aside>,
}

#[derive(Default)]
struct Aside {
    passed: Vec<Passed>,
    /// Passed too, but nobody wants to know more than that.
    counted: usize,
}

#[derive(Default)]
struct Slot {
    task: AtomicUsize,
    start: AtomicU64,
    end: AtomicU64,
}

const NO_TASK: usize = usize::MAX;

/// As many slots has a track at most: they stay in the nearest caches, and a lock is taken for each such number of tasks.
const SLOTS: usize = 1024;

impl Track {
    /// One of so many for so many tasks.
    pub(super) fn new(tracks: usize, tasks: usize) -> Self {
        let share = tasks.div_ceil(tracks.max(1));
        Self::with_slots(share.clamp(4, SLOTS).next_power_of_two())
    }

    /// A power of two.
    pub(super) fn with_slots(slots: usize) -> Self {
        Self {
            task: AtomicUsize::new(NO_TASK),
            since: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            end: AtomicUsize::new(0),
            beginning: AtomicUsize::new(0),
            slots: (0..slots).map(|_| Slot::default()).collect(),
            aside: Mutex::default(),
        }
    }

    /// The worker runs a task.
    pub(super) fn begin(&self, task: TaskId, since: u64) {
        self.task.store(NO_TASK, Ordering::Relaxed);
        self.since.store(since, Ordering::Release);
        self.task.store(task.index(), Ordering::Release);
    }

    /// The worker has passed the task that it runs. Where there is no room, and it is not wanted that more is known of those
    /// that have passed, they are only counted.
    pub(super) fn pass(&self, task: TaskId, end: u64, is_wanted: &AtomicBool) {
        let start = self.since.load(Ordering::Relaxed);
        let at = self.end.load(Ordering::Relaxed);
        if at - self.beginning.load(Ordering::Acquire) == self.slots.len() {
            self.make_room(is_wanted);
        }
        let slot = &self.slots[at & (self.slots.len() - 1)];
        slot.task.store(task.index(), Ordering::Relaxed);
        slot.start.store(start, Ordering::Relaxed);
        slot.end.store(end, Ordering::Relaxed);
        self.task.store(NO_TASK, Ordering::Relaxed);
        self.last_end.store(end, Ordering::Relaxed);
        self.end.store(at + 1, Ordering::Release);
    }

    /// The worker does not run its task any more, or not here.
    pub(super) fn clear(&self) {
        self.task.store(NO_TASK, Ordering::Relaxed);
    }

    /// When the task ended that this worker has passed last. For the worker itself.
    pub(super) fn last_end(&self) -> u64 {
        self.last_end.load(Ordering::Relaxed)
    }

    /// The task that runs, and since when.
    pub(super) fn running(&self) -> Option<(TaskId, u64)> {
        let task = self.task.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        let is_pair = task != NO_TASK && self.task.load(Ordering::Relaxed) == task;
        is_pair.then(|| (TaskId::new(task), since))
    }

    /// Takes away what has passed, in its order. Where nothing is left of what was taken before, the worker gets that memory
    /// for what was put aside, so that it waits for no copy of it, and no page is new.
    pub(super) fn drain(&self, into: &mut VecDeque<Passed>) {
        let mut aside = self.aside();
        if into.is_empty() && !aside.passed.is_empty() {
            let emptied = Vec::from(std::mem::take(into));
            *into = VecDeque::from(std::mem::replace(&mut aside.passed, emptied));
        } else {
            into.extend(aside.passed.drain(..));
        }
        self.empty(|passed| into.push_back(passed));
    }

    /// Takes away what has passed without looking at it; how many that were.
    pub(super) fn count_off(&self) -> usize {
        let mut aside = self.aside();
        let count = aside.passed.len();
        aside.passed.clear();
        count + std::mem::take(&mut aside.counted) + self.skip()
    }

    /// How many have passed that nobody wanted to know more of; each is told once.
    pub(super) fn take_counted(&self) -> usize {
        std::mem::take(&mut self.aside().counted)
    }

    fn aside(&self) -> MutexGuard<'_, Aside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With the lock.
    fn skip(&self) -> usize {
        let end = self.end.load(Ordering::Acquire);
        end - self.beginning.swap(end, Ordering::AcqRel)
    }

    /// Nothing is there to be taken away.
    pub(super) fn is_empty(&self) -> bool {
        let aside = self.aside();
        aside.passed.is_empty()
            && aside.counted == 0
            && self.beginning.load(Ordering::Acquire) == self.end.load(Ordering::Acquire)
    }

    #[cold]
    fn make_room(&self, is_wanted: &AtomicBool) {
        let mut aside = self.aside();
        // Together with that of who begins to want it: one of the two sees what the other has done.
        fence(Ordering::SeqCst);
        if is_wanted.load(Ordering::Relaxed) {
            self.empty(|passed| aside.passed.push(passed));
        } else {
            aside.counted += self.skip();
        }
    }

    /// With the lock.
    fn empty(&self, mut take: impl FnMut(Passed)) {
        let end = self.end.load(Ordering::Acquire);
        let beginning = self.beginning.load(Ordering::Relaxed);
        for at in beginning..end {
            let slot = &self.slots[at & (self.slots.len() - 1)];
            take(Passed {
                task: TaskId::new(slot.task.load(Ordering::Relaxed)),
                start: slot.start.load(Ordering::Relaxed),
                end: slot.end.load(Ordering::Relaxed),
            });
        }
        self.beginning.store(end, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_is_taken_away_once_and_in_order_however_much_it_is() {
        const TASKS: usize = 5 * SLOTS;
        let track = Track::new(1, TASKS);
        let mut taken = Vec::new();
        let mut some = VecDeque::new();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                for (time, task) in (0..).zip((0..TASKS).map(TaskId::new)) {
                    track.begin(task, time);
                    track.pass(task, time + 1, &AtomicBool::new(true));
                }
            });
            while !worker.is_finished() {
                if let Some((task, since)) = track.running() {
                    assert_eq!(task.index() as u64, since);
                }
                track.drain(&mut some);
                taken.extend(some.drain(..));
            }
        });
        track.drain(&mut some);
        taken.extend(some);
        assert!(track.is_empty());
        let all = (0..).zip((0..TASKS).map(TaskId::new));
        let all = all.map(|(start, task)| Passed {
            task,
            start,
            end: start + 1,
        });
        assert!(taken.into_iter().eq(all));
    }

    #[test]
    fn what_is_only_counted_is_gone_too() {
        let track = Track::new(1, 2);
        for task in (0..5).map(TaskId::new) {
            track.begin(task, 0);
            track.pass(task, 1, &AtomicBool::new(false));
        }
        assert_eq!((track.count_off(), track.count_off()), (5, 0));
        assert!(track.is_empty());
    }
}
