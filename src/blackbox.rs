//! The black box: what is known of a runner when it is gone. Memory that supervisor and runner share; the runner writes.
//!
//! Knows nothing of how the one watches the other. There is one box for a process and those that it forks; where there is
//! none, as in a program that embeds a run, nothing is noted.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exit::Exit;
use crate::process::{self, end::Call};
use crate::task::{LibraryId, TaskId};

/// The one of this process.
static BOX: OnceLock<BlackBox> = OnceLock::new();

/// See the module.
pub struct BlackBox {
    words: &'static [AtomicU64],
    seats: usize,
    /// So many words has the track of each worker.
    track: usize,
    workers: usize,
}

// The words, by their places.

/// 0, or how the runner ended as it should: see `encode`.
const END: usize = 0;
/// The process that may write that.
const RUNNER: usize = 1;
/// What it does.
const PHASE: usize = 2;
/// 0, or a hook that is being called.
const HOOK: usize = 3;
/// 0, or what ended it, in its last words: a kind and a number.
const LAST: usize = 4;
/// The task that spoke those, and 1; or 0.
const SPEAKER: usize = 5;
/// Nanoseconds that it was stopped for before; and whether it is now.
const PAUSED: usize = 6;
const STOPS: u64 = 1 << 63;
/// Since when it is.
const STOPPED: usize = 7;
/// When the run began, on the clock that never goes back; or 0.
const START: usize = 8;
/// Not 0: the private journal is not whole.
const UNRECORDED: usize = 9;
/// How many signals asked the run to stop, and the last of them.
const ASKED: usize = 10;
/// How many of those the run has heard.
const HEARD: usize = 11;
/// Not 0: what is told is just being written.
const WRITES: usize = 12;
/// Not 0: the run has begun, and that is recorded.
const BEGUN: usize = 13;
/// How many attempts were told that others follow.
const TRIED: usize = 14;
/// Where seats begin. Each has as many words as two cache lines, so that workers do not disturb each other.
const SEATS: usize = 16;
const STRIDE: usize = 16;
/// As many tasks can be marked as told,
const TOLD_MOST: usize = 1 << 26;
/// and as many attempts that others follow.
const TRIED_MOST: usize = 1 << 16;

const ENDED: u64 = 1 << 63;
const AGAIN: u64 = 1 << 62;
const SIGNAL: u64 = 1;
const EXIT: u64 = 2;
const EXIT_UNKNOWN: u64 = 3;
const QUICK_EXIT: u64 = 4;

/// What a runner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It begins, or looks.
    Starting,
    /// It loads the library of the target of this number, in the order of the command line.
    Loading(usize),
    /// It runs hooks or tasks.
    Running,
}

/// A hook that is being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// It is the setup.
    pub is_setup: bool,
    /// Whose.
    pub library: LibraryId,
}

/// How a runner has ended, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// By a signal.
    Signal(i32),
    /// By a call.
    Call(Call),
}

/// How a runner wants to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is told. This is how to end.
    Exit(Exit),
    /// Something that it needs is gone: another runner is to go on.
    Again,
}

/// Makes the one box, for a run with so many workers, each of which has so many words for its track. To be called once, before
/// there is a runner.
pub fn open(workers: usize, track: usize) -> io::Result<&'static BlackBox> {
    let black_box = BlackBox::new(workers, track)?;
    Ok(BOX.get_or_init(|| black_box))
}

/// The one box, where there is one.
pub fn get() -> Option<&'static BlackBox> {
    BOX.get()
}

impl BlackBox {
    fn new(workers: usize, track: usize) -> io::Result<Self> {
        let seats = 2 * workers + 64;
        let track = track.next_multiple_of(STRIDE);
        let words = process::words(
            SEATS + seats * STRIDE + workers * track + TRIED_MOST + 2 * (TOLD_MOST / 64),
        )?;
        Ok(Self {
            words,
            seats,
            track,
            workers,
        })
    }

    /// A new runner begins, which is this process. What the one before has told stays, and so does how long it was stopped.
    pub fn begin(&self) {
        for word in &self.words[END..=SPEAKER] {
            word.store(0, Ordering::Relaxed);
        }
        for seat in 0..self.seats {
            self.seat_word(seat, 0).store(0, Ordering::Relaxed);
            self.seat_word(seat, 1).store(0, Ordering::Relaxed);
        }
        self.words[RUNNER].store(std::process::id().into(), Ordering::Release);
    }

    /// What this process writes here reaches nobody any more.
    pub fn disown(&self) {
        let _ = process::disown(self.words);
    }

    fn is_runner(&self) -> bool {
        self.words[RUNNER].load(Ordering::Acquire) == u64::from(std::process::id())
    }

    /// The runner ends as it should; the first word counts. Whether this is the runner: what a task has forked is not.
    pub fn end(&self, end: End) -> bool {
        let is_runner = self.is_runner();
        if is_runner {
            let none = Ordering::Relaxed;
            let _ = self.words[END].compare_exchange(0, encode(end), Ordering::Release, none);
        }
        is_runner
    }

    /// How the runner ended, if it ended as it should.
    pub fn ended(&self) -> Option<End> {
        decode(self.words[END].load(Ordering::Acquire))
    }

    /// The runner goes on to something else.
    pub fn enter(&self, phase: Phase) {
        let word = match phase {
            Phase::Starting => 0,
            Phase::Loading(target) => 2 + target as u64,
            Phase::Running => 1,
        };
        self.words[PHASE].store(word, Ordering::Release);
    }

    /// What the runner did last.
    pub fn phase(&self) -> Phase {
        match self.words[PHASE].load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            target => Phase::Loading(usize::try_from(target - 2).unwrap_or(usize::MAX)),
        }
    }

    /// The runner calls a hook, or none any more.
    pub fn calls(&self, hook: Option<Hook>) {
        let word = hook.map_or(0, |hook| {
            1 | u64::from(hook.is_setup) << 1 | u64::from(hook.library.0) << 2
        });
        self.words[HOOK].store(word, Ordering::Release);
    }

    /// The hook that was being called.
    pub fn hook(&self) -> Option<Hook> {
        let word = self.words[HOOK].load(Ordering::Acquire);
        (word != 0).then(|| Hook {
            is_setup: word & 2 != 0,
            library: LibraryId(u32::try_from(word >> 2).unwrap_or_default()),
        })
    }

    /// The last words of the runner, and who speaks them. The first ones count. May be called in the handler of a signal.
    pub fn note_last(&self, last: LastWords, task: Option<TaskId>) {
        let (kind, number) = match last {
            LastWords::Signal(signal) => (SIGNAL, signal),
            LastWords::Call(Call::Exit(Some(status))) => (EXIT, status),
            LastWords::Call(Call::Exit(None)) => (EXIT_UNKNOWN, 0),
            LastWords::Call(Call::Quick) => (QUICK_EXIT, 0),
        };
        let word = kind << 32 | u64::from(number.cast_unsigned());
        let last = &self.words[LAST];
        if self.is_runner()
            && last
                .compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            let task = task.map_or(0, |task| task.index() as u64 + 1);
            self.words[SPEAKER].store(task, Ordering::Release);
            self.let_write();
        }
    }

    /// Waits until what is being written is noted as told, before this process ends: otherwise people might be told the same
    /// once more. Not for long: who writes may wait for a reader. May be called in the handler of a signal.
    pub fn let_write(&self) {
        let mut patience = 100;
        while self.words[WRITES].load(Ordering::Acquire) != 0
            && patience > 0
            && !process::is_first_thread()
        {
            process::doze();
            patience -= 1;
        }
    }

    /// The last words, and who spoke them.
    pub fn last(&self) -> Option<(LastWords, Option<TaskId>)> {
        let word = self.words[LAST].load(Ordering::Acquire);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let number = (word as u32).cast_signed();
        let last = match word >> 32 {
            SIGNAL => LastWords::Signal(number),
            EXIT => LastWords::Call(Call::Exit(Some(number))),
            EXIT_UNKNOWN => LastWords::Call(Call::Exit(None)),
            QUICK_EXIT => LastWords::Call(Call::Quick),
            _ => return None,
        };
        Some((last, task(self.words[SPEAKER].load(Ordering::Acquire))))
    }

    /// A place for a thread that calls tasks; none where there are more of them than places.
    pub fn seat(&self) -> Option<Seat> {
        let free = (0..self.seats).find(|seat| {
            let taken = self.seat_word(*seat, 0);
            let order = Ordering::Relaxed;
            taken.compare_exchange(0, 1, order, order).is_ok()
        })?;
        let (taken, task) = (self.seat_word(free, 0), self.seat_word(free, 1));
        Some(Seat { taken, task })
    }

    fn seat_word(&self, seat: usize, word: usize) -> &'static AtomicU64 {
        &self.words[SEATS + seat * STRIDE + word]
    }

    /// The tasks that were being called.
    pub fn running(&self) -> Vec<TaskId> {
        let words = (0..self.seats).map(|seat| self.seat_word(seat, 1));
        let mut tasks: Vec<_> = words
            .filter_map(|word| task(word.load(Ordering::Acquire)))
            .collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    /// A signal has come to the supervisor that asks the run to stop.
    pub fn ask_to_stop(&self, signal: i32) {
        let asked = &self.words[ASKED];
        let count = asked.load(Ordering::Relaxed) >> 32;
        let word = (count + 1) << 32 | u64::from(signal.cast_unsigned());
        asked.store(word, Ordering::Release);
    }

    /// How many such signals have come, and the last of them.
    pub fn asked_to_stop(&self) -> (u64, i32) {
        let word = self.words[ASKED].load(Ordering::Acquire);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let signal = (word as u32).cast_signed();
        (word >> 32, signal)
    }

    /// The run has heard of the next one, and has told its tasks.
    pub fn hears_stop(&self) {
        self.words[HEARD].fetch_add(1, Ordering::AcqRel);
    }

    /// The run has heard of all of them.
    pub fn has_heard(&self) -> bool {
        self.words[HEARD].load(Ordering::Acquire) >= self.asked_to_stop().0
    }

    /// What people are told is written from here on, until it is also noted that they were told.
    pub fn writes(&self, begins: bool) {
        self.words[WRITES].store(begins.into(), Ordering::Release);
    }

    /// This one was being called. May be called in the handler of a signal.
    pub fn is_running(&self, wanted: TaskId) -> bool {
        let mut words = (0..self.seats).map(|seat| self.seat_word(seat, 1));
        words.any(|word| task(word.load(Ordering::Acquire)) == Some(wanted))
    }

    /// What happens from here on is not recorded: nobody can go on with the run.
    pub fn note_unrecorded(&self) {
        self.words[UNRECORDED].store(1, Ordering::Relaxed);
    }

    /// All that has happened is recorded.
    pub fn is_recorded(&self) -> bool {
        self.words[UNRECORDED].load(Ordering::Relaxed) == 0
    }

    /// A runner has recorded that the run begins. Later ones go on with it.
    pub fn note_begun(&self) {
        self.words[BEGUN].store(1, Ordering::Release);
    }

    /// One has.
    pub fn has_begun(&self) -> bool {
        self.words[BEGUN].load(Ordering::Acquire) != 0
    }

    /// When the run began, on the clock that never goes back and without the time for which it was stopped; that is now where
    /// it has not. Later runners go on with the time of the first.
    pub fn start(&self) -> u64 {
        let now = process::monotonic();
        let began = now - self.paused(now);
        let order = Ordering::Relaxed;
        match self.words[START].compare_exchange(0, began, order, order) {
            Ok(_) => began,
            Err(start) => start,
        }
    }

    /// People have been told how this task ended. Of a run with more tasks than there is room for, those behind are told
    /// once more where they have to be.
    pub fn tell(&self, task: TaskId) {
        if let Some((word, bit)) = self.told_word(task, 0) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// People have been told that an attempt of this task began.
    pub fn tell_start(&self, task: TaskId) {
        if let Some((word, bit)) = self.told_word(task, TOLD_MOST / 64) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether they have, and not how it ended.
    pub fn is_start_told(&self, task: TaskId) -> bool {
        let word = self.told_word(task, TOLD_MOST / 64);
        word.is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
            && !self.is_told(task)
    }

    /// People are not known to have been told anything of this task.
    pub fn forget_told(&self, task: TaskId) {
        for behind in [0, TOLD_MOST / 64] {
            if let Some((word, bit)) = self.told_word(task, behind) {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// People have been told how this attempt ended, and that there will be another one. Those for which there is no room
    /// are told once more where they have to be.
    pub fn tell_try(&self, task: TaskId, number: u32) {
        if let Some((word, bit)) = self.told_word(task, TOLD_MOST / 64) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
        let count = &self.words[TRIED];
        let at = count.load(Ordering::Relaxed);
        let place = usize::try_from(at).ok();
        if let Some(word) = place.and_then(|at| self.tried_words().get(at)) {
            word.store(
                (task.index() as u64) << 32 | u64::from(number),
                Ordering::Relaxed,
            );
            count.store(at + 1, Ordering::Release);
        }
    }

    /// Those of which they have.
    pub fn tries_told(&self) -> impl Iterator<Item = (TaskId, u32)> {
        let count = usize::try_from(self.words[TRIED].load(Ordering::Acquire));
        let words = self.tried_words().iter().take(count.unwrap_or(0));
        words.map(|word| {
            let word = word.load(Ordering::Relaxed);
            #[expect(clippy::cast_possible_truncation, reason = "one half each")]
            let (task, number) = ((word >> 32) as u32, word as u32);
            (TaskId::new(task as usize), number)
        })
    }

    /// Whether they have.
    pub fn is_told(&self, task: TaskId) -> bool {
        let word = self.told_word(task, 0);
        word.is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// What each worker leaves behind of the tasks that it has passed; whoever runs tasks knows what that means. A new runner
    /// finds it as the one before has left it.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = &'static [AtomicU64]> + use<> {
        let tracks = &self.words[SEATS + self.seats * STRIDE..][..self.workers * self.track];
        tracks.chunks_exact(self.track)
    }

    fn tried_words(&self) -> &[AtomicU64] {
        let from = SEATS + self.seats * STRIDE + self.workers * self.track;
        &self.words[from..][..TRIED_MOST]
    }

    /// Where the mark of a task stands, of those that begin so many words behind the first.
    fn told_word(&self, task: TaskId, behind: usize) -> Option<(&AtomicU64, u64)> {
        let from = SEATS + self.seats * STRIDE + self.workers * self.track + TRIED_MOST;
        let words = &self.words[from + behind..][..TOLD_MOST / 64];
        let word = words.get(task.index() / 64)?;
        Some((word, 1 << (task.index() % 64)))
    }

    /// The supervisor has seen that the runner was stopped, now; or that it goes on.
    pub fn stop_clock(&self, is_stopped: bool) {
        let (paused, since) = (&self.words[PAUSED], &self.words[STOPPED]);
        let so_far = paused.load(Ordering::Relaxed);
        match (is_stopped, so_far & STOPS != 0) {
            (true, false) => {
                since.store(process::monotonic(), Ordering::Relaxed);
                paused.store(so_far | STOPS, Ordering::Release);
            }
            (false, true) => {
                let more = process::monotonic().saturating_sub(since.load(Ordering::Relaxed));
                paused.store((so_far & !STOPS) + more, Ordering::Release);
            }
            _ => {}
        }
    }

    /// For how many nanoseconds of those up to `now` the runner was stopped. Where it goes on, and the supervisor has not seen
    /// that yet, it still is.
    pub fn paused(&self, now: u64) -> u64 {
        let paused = self.words[PAUSED].load(Ordering::Acquire);
        if paused & STOPS == 0 {
            return paused;
        }
        let since = self.words[STOPPED].load(Ordering::Relaxed);
        (paused & !STOPS) + now.saturating_sub(since)
    }
}

/// Where a thread notes which task it calls.
pub struct Seat {
    taken: &'static AtomicU64,
    task: &'static AtomicU64,
}

impl Seat {
    /// It calls this one from now on.
    pub fn begin(&self, task: TaskId) {
        self.task.store(task.index() as u64 + 1, Ordering::Relaxed);
    }

    /// The call is over.
    pub fn end(&self) {
        self.task.store(0, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end();
        self.taken.store(0, Ordering::Release);
    }
}

fn task(word: u64) -> Option<TaskId> {
    let index = word.checked_sub(1)?;
    usize::try_from(index).ok().map(TaskId::new)
}

fn encode(end: End) -> u64 {
    match end {
        End::Again => AGAIN,
        End::Exit(Exit::Signal(signal)) => ENDED | 1 << 32 | u64::from(signal.cast_unsigned()),
        End::Exit(exit) => ENDED | u64::from(exit.code().cast_unsigned()),
    }
}

fn decode(word: u64) -> Option<End> {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let number = (word as u32).cast_signed();
    let plain = [
        Exit::Passed,
        Exit::Failed,
        Exit::Usage,
        Exit::Bug,
        Exit::Output,
    ];
    match word {
        0 => None,
        AGAIN => Some(End::Again),
        _ if word >> 32 & 1 != 0 => Some(End::Exit(Exit::Signal(number))),
        _ => {
            let exit = plain.into_iter().find(|exit| exit.code() == number);
            Some(End::Exit(exit.unwrap_or(Exit::Bug)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runner_notes_can_be_read_when_it_is_gone() {
        let b = BlackBox::new(1, 20).unwrap();
        assert_eq!(b.tracks().map(<[_]>::len).collect::<Vec<_>>(), [32]);
        b.begin();
        assert_eq!(
            (b.ended(), b.phase(), b.hook(), b.last()),
            (None, Phase::Starting, None, None)
        );
        for phase in [Phase::Loading(0), Phase::Loading(3), Phase::Running] {
            b.enter(phase);
            assert_eq!(b.phase(), phase);
        }
        let hook = Hook {
            is_setup: true,
            library: LibraryId(7),
        };
        b.calls(Some(hook));
        assert_eq!(b.hook(), Some(hook));
        b.calls(None);

        let (one, two) = (b.seat().unwrap(), b.seat().unwrap());
        one.begin(TaskId::new(5));
        two.begin(TaskId::new(0));
        assert_eq!(b.running(), [TaskId::new(0), TaskId::new(5)]);
        drop(two);
        assert_eq!(b.running(), [TaskId::new(5)]);
        assert!(b.is_running(TaskId::new(5)) && !b.is_running(TaskId::new(0)));

        let call = LastWords::Call(Call::Exit(Some(-1)));
        b.note_last(call, Some(TaskId::new(5)));
        b.note_last(LastWords::Signal(11), None);
        assert_eq!(
            b.last(),
            Some((call, Some(TaskId::new(5)))),
            "the first words count"
        );

        assert!(!b.is_told(TaskId::new(70)));
        b.tell(TaskId::new(70));
        assert!(b.is_told(TaskId::new(70)) && !b.is_told(TaskId::new(6)));
        b.tell(TaskId::new(usize::try_from(u32::MAX).unwrap()));

        b.begin();
        assert_eq!((b.last(), b.running()), (None, vec![]));
        assert!(b.is_told(TaskId::new(70)));
        assert!(b.end(End::Exit(Exit::Signal(15))) && b.end(End::Again));
        assert_eq!(
            b.ended(),
            Some(End::Exit(Exit::Signal(15))),
            "the first end counts"
        );
    }

    #[test]
    fn ends_can_be_told_apart() {
        for exit in [
            Exit::Passed,
            Exit::Failed,
            Exit::Usage,
            Exit::Bug,
            Exit::Output,
            Exit::Signal(64),
        ] {
            assert_eq!(decode(encode(End::Exit(exit))), Some(End::Exit(exit)));
        }
        assert_eq!(decode(encode(End::Again)), Some(End::Again));
        assert_eq!(decode(0), None);
    }
}
