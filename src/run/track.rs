//! What the workers leave behind on the lane: which task each runs, and which have passed, with their times.
//!
//! One track for each worker, which alone writes to it, so that workers do not disturb each other or wait for anybody. The
//! reporting thread takes away what has passed from time to time. Where it does not come in time, and the track is full,
//! the worker puts the whole of it aside under a lock.
//!
//! The protocol: the worker fills the next slot, then moves the end on; who takes away reads the end, then the slots up to
//! there, then moves the beginning on. Only who has the lock moves the beginning, and where there is a journal, what leaves the
//! slots stands there before. Which task runs is changed in three steps
//! (none, since when, which), so that whoever finds the same task before and after the time has read a pair.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::PoisonError;

use super::recording::Recording;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::{Mutex, MutexGuard};
use crate::task::TaskId;

/// A task that has passed. Times are nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) task: TaskId,
    pub(super) start: u64,
    pub(super) end: u64,
}

pub(super) struct Track {
    words: Words,
    /// One less than there are slots, which are a power of two.
    mask: u64,
    /// What there was no room for; stands before the slots.
    aside: Mutex<Aside>,
    /// Where what has passed is recorded before it leaves the slots, and as whose.
    recording: (usize, Recording),
}

/// Where the track is: in the black box, where there is one.
enum Words {
    Own(Box<[AtomicU64]>),
    #[cfg(not(model))]
    Shared(&'static [AtomicU64]),
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        match self {
            Self::Own(words) => words,
            #[cfg(not(model))]
            Self::Shared(words) => words,
        }
    }
}

// The words, by their places. The first of them is the first of a cache line, and so is that of the slots.

/// The task that runs,
const TASK: usize = 0;
/// and since when.
const SINCE: usize = 1;
/// When the last one passed.
const LAST_END: usize = 2;
/// How many have passed.
const END: usize = 3;
/// How many of those have been taken away.
const BEGINNING: usize = 4;
/// How many of those are recorded: no fewer.
const RECORDED: usize = 5;
/// How many slots there are.
const COUNT: usize = 6;
/// Where they begin; each has a task, its start and its end.
const SLOTS: usize = 16;
const SLOT: usize = 3;

#[derive(Default)]
struct Aside {
    passed: Vec<Passed>,
    /// Passed too, but nobody wants to know more than that.
    counted: usize,
}

const NO_TASK: u64 = u64::MAX;

/// As many slots has a track at most: they stay in the nearest caches, and a lock is taken for each such number of tasks.
const SLOTS_MOST: usize = 1024;
/// So many words has such a track.
pub(super) const WORDS_MOST: usize = SLOTS + SLOTS_MOST * SLOT;

impl Track {
    /// One of so many for so many tasks.
    pub(super) fn new(tracks: usize, tasks: usize) -> Self {
        Self::with_slots(slots(tracks, tasks))
    }

    /// A power of two.
    pub(super) fn with_slots(slots: usize) -> Self {
        let words = (0..SLOTS + slots * SLOT).map(|_| AtomicU64::new(0));
        Self::begun(Words::Own(words.collect()), slots)
    }

    /// The same in memory that outlives this process. What another process has left there is gone.
    #[cfg(not(model))]
    pub(super) fn in_black_box(words: &'static [AtomicU64], tracks: usize, tasks: usize) -> Self {
        Self::begun(Words::Shared(words), slots(tracks, tasks))
    }

    fn begun(words: Words, slots: usize) -> Self {
        words[TASK].store(NO_TASK, Ordering::Relaxed);
        for word in &words[SINCE..=RECORDED] {
            word.store(0, Ordering::Relaxed);
        }
        words[COUNT].store(slots as u64, Ordering::Relaxed);
        Self {
            words,
            mask: slots as u64 - 1,
            aside: Mutex::default(),
            recording: (0, Recording::default()),
        }
    }

    /// A track that a process has left behind which is gone; none where it has not begun one.
    #[cfg(not(model))]
    pub(super) fn left_behind(words: &'static [AtomicU64]) -> Option<Self> {
        let slots = words[COUNT].load(Ordering::Relaxed);
        slots.is_power_of_two().then(|| Self {
            words: Words::Shared(words),
            mask: slots - 1,
            aside: Mutex::default(),
            recording: (0, Recording::default()),
        })
    }

    /// The track of this worker, and what passes there is recorded.
    pub(super) fn recorded(self, worker: usize, recording: &Recording) -> Self {
        let recording = (worker, recording.clone());
        Self { recording, ..self }
    }

    /// The worker runs a task.
    pub(super) fn begin(&self, task: TaskId, since: u64) {
        self.words[TASK].store(NO_TASK, Ordering::Relaxed);
        self.words[SINCE].store(since, Ordering::Release);
        self.words[TASK].store(task.index() as u64, Ordering::Release);
    }

    /// The worker has passed the task that it runs. Where there is no room, and it is not wanted that more is known of those
    /// that have passed, they are only counted.
    pub(super) fn pass(&self, task: TaskId, end: u64, is_wanted: &AtomicBool) {
        let words = &*self.words;
        let start = words[SINCE].load(Ordering::Relaxed);
        let at = words[END].load(Ordering::Relaxed);
        if at - words[BEGINNING].load(Ordering::Acquire) > self.mask {
            self.make_room(is_wanted);
        }
        let [slot_task, slot_start, slot_end] = self.slot(at);
        slot_task.store(task.index() as u64, Ordering::Relaxed);
        slot_start.store(start, Ordering::Relaxed);
        slot_end.store(end, Ordering::Relaxed);
        words[TASK].store(NO_TASK, Ordering::Relaxed);
        words[LAST_END].store(end, Ordering::Relaxed);
        words[END].store(at + 1, Ordering::Release);
    }

    /// The worker does not run its task any more, or not here.
    pub(super) fn clear(&self) {
        self.words[TASK].store(NO_TASK, Ordering::Relaxed);
    }

    /// When the task ended that this worker has passed last. For the worker itself.
    pub(super) fn last_end(&self) -> u64 {
        self.words[LAST_END].load(Ordering::Relaxed)
    }

    /// The task that runs, and since when.
    pub(super) fn running(&self) -> Option<(TaskId, u64)> {
        let task = self.words[TASK].load(Ordering::Acquire);
        let since = self.words[SINCE].load(Ordering::Acquire);
        let is_pair = task != NO_TASK && self.words[TASK].load(Ordering::Relaxed) == task;
        is_pair.then(|| (id(task), since))
    }

    fn slot(&self, at: u64) -> &[AtomicU64; SLOT] {
        #[expect(clippy::cast_possible_truncation, reason = "less than there are words")]
        let place = SLOTS + (at & self.mask) as usize * SLOT;
        let slot = self.words[place..].first_chunk();
        slot.expect("a whole slot")
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

    /// Records what has passed; it stays here.
    pub(super) fn record(&self) {
        let end = self.words[END].load(Ordering::Acquire);
        if self.recording.1.journal().is_some()
            && self.words[RECORDED].load(Ordering::Relaxed) != end
        {
            let _aside = self.aside();
            self.record_upto(self.words[END].load(Ordering::Acquire));
        }
    }

    /// With the lock.
    fn skip(&self) -> usize {
        let end = self.words[END].load(Ordering::Acquire);
        self.record_upto(end);
        let count = end - self.words[BEGINNING].swap(end, Ordering::AcqRel);
        usize::try_from(count).expect("no more than slots")
    }

    /// Nothing is there to be taken away.
    pub(super) fn is_empty(&self) -> bool {
        let aside = self.aside();
        aside.passed.is_empty()
            && aside.counted == 0
            && self.words[BEGINNING].load(Ordering::Acquire)
                == self.words[END].load(Ordering::Acquire)
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
        let end = self.words[END].load(Ordering::Acquire);
        self.record_upto(end);
        let beginning = self.words[BEGINNING].load(Ordering::Relaxed);
        self.between(beginning, end).for_each(&mut take);
        self.words[BEGINNING].store(end, Ordering::Release);
    }

    /// Records what has passed until then, before it leaves the slots. With the lock.
    fn record_upto(&self, end: u64) {
        let (worker, recording) = &self.recording;
        if recording.journal().is_some() {
            let recorded = self.words[RECORDED].load(Ordering::Relaxed);
            let passed = self.between(recorded, end);
            recording.ran(*worker, passed.map(|it| (it.task, it.start, it.end)));
            self.words[RECORDED].store(end, Ordering::Relaxed);
        }
    }

    /// What stands in these slots. With the lock.
    fn between(&self, beginning: u64, end: u64) -> impl Iterator<Item = Passed> {
        (beginning..end).map(|at| {
            let [task, start, end] = self.slot(at);
            Passed {
                task: id(task.load(Ordering::Relaxed)),
                start: start.load(Ordering::Relaxed),
                end: end.load(Ordering::Relaxed),
            }
        })
    }
}

/// How many slots each has of so many tracks for so many tasks.
fn slots(tracks: usize, tasks: usize) -> usize {
    let share = tasks.div_ceil(tracks.max(1));
    share.clamp(4, SLOTS_MOST).next_power_of_two()
}

#[expect(clippy::cast_possible_truncation, reason = "it was an id before")]
fn id(word: u64) -> TaskId {
    TaskId::new(word as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_is_taken_away_once_and_in_order_however_much_it_is() {
        const TASKS: usize = 5 * SLOTS_MOST;
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
