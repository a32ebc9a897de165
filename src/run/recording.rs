//! What a run tells its journal, and what it keeps of an earlier one.
//!
//! Where there is neither, all of this is a look at an empty option.

use std::sync::Arc;
use std::time::Duration;

use super::time::nanos;
use crate::event::{Attempt, Cause, Hook, Stop};
use crate::interrupt;
use crate::record::{Begun, Ended, Journal, Kept, Seen};
use crate::task::{Failure, Json, LibraryId, Observed, Outcome, Record, TaskId};

/// The journal, and what stays.
#[derive(Clone, Default)]
pub(super) struct Recording {
    journal: Option<Arc<Journal>>,
    kept: Option<Arc<Kept>>,
    /// What tasks say is reported at the end.
    keeps_words: bool,
}

/// An attempt that ended in an earlier process.
pub(super) struct Stands {
    pub(super) worker: Option<usize>,
    pub(super) took: Duration,
    /// Those before it that are not told one by one.
    pub(super) earlier: Vec<Attempt>,
}

/// How an attempt ended, as far as an earlier process knows.
pub(super) enum Found {
    /// It passed and returned nothing.
    Plain,
    /// More is known.
    End(Ended, Stands),
}

impl Recording {
    /// `keeps_words` where what tasks say is reported at the end, whatever they come to.
    pub(super) fn new(
        journal: Option<Arc<Journal>>,
        kept: Option<Arc<Kept>>,
        keeps_words: bool,
    ) -> Self {
        Self {
            journal,
            kept,
            keeps_words,
        }
    }

    pub(super) fn journal(&self) -> Option<&Journal> {
        // A copy of this process has it too.
        self.journal.as_deref().filter(|_| !interrupt::is_over())
    }

    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_deref()
    }

    /// The same, for others.
    pub(super) fn share_kept(&self) -> Option<Arc<Kept>> {
        self.kept.clone()
    }

    /// Nothing is left to run, so nothing need be prepared for it.
    pub(super) fn is_idle(&self) -> bool {
        self.kept().is_some_and(Kept::is_idle)
    }

    /// People know how the task ended.
    pub(super) fn is_told(&self, task: TaskId) -> bool {
        self.kept().is_some_and(|kept| kept.is_told(task))
    }

    /// People know how that attempt ended.
    pub(super) fn is_attempt_told(&self, task: TaskId, attempt: u32) -> bool {
        self.kept()
            .is_some_and(|kept| kept.is_attempt_told(task, attempt))
    }

    /// People know that an attempt has begun, which does not run again.
    pub(super) fn is_start_told(&self, task: TaskId, attempt: u32) -> bool {
        self.kept().is_some_and(|kept| {
            kept.is_attempt_told(task, attempt) || kept.has(task, attempt) && kept.has_begun(task)
        })
    }

    /// People know that these were added.
    pub(super) fn is_addition_told(&self, tasks: &[TaskId]) -> bool {
        self.kept()
            .is_some_and(|kept| tasks.iter().all(|task| kept.is_addition_told(*task)))
    }

    /// People know that the run was stopped for this.
    pub(super) fn is_stop_told(&self, why: Stop) -> bool {
        self.kept().is_some_and(|kept| kept.is_stopped_by(why))
    }

    /// It has its outcome, and got it without running.
    pub(super) fn never_ran(&self, task: TaskId) -> bool {
        let stood = self.kept().and_then(|kept| kept.stood(task));
        let last = stood.and_then(|stood| stood.attempts.last());
        last.is_some_and(|last| last.worker.is_none())
    }

    /// What was heard and seen of an attempt that does not run again.
    pub(super) fn seen(&self, task: TaskId, attempt: u32) -> impl Iterator<Item = &Seen> {
        let kept = self.kept().into_iter();
        kept.flat_map(move |kept| kept.seen(task, attempt))
    }

    /// Why a hook did not pass, which is not called again.
    pub(super) fn hook(&self, hook: Hook, library: LibraryId) -> Option<Failure> {
        self.kept()?.hook(hook, library).cloned()
    }

    /// People know which outcome the task got without its own doing.
    pub(super) fn was_told(&self, task: TaskId) -> bool {
        self.kept().is_some_and(|kept| kept.was_told(task))
    }

    /// How many tasks there are whose ends people know.
    pub(super) fn told(&self) -> usize {
        self.kept().map_or(0, Kept::count_told)
    }

    /// That attempt does not run again, and stands in the journal.
    pub(super) fn has(&self, task: TaskId, attempt: u32) -> bool {
        self.kept().is_some_and(|kept| kept.has(task, attempt))
    }

    /// How an attempt ended that does not run again.
    pub(super) fn find(&self, task: TaskId, attempt: u32) -> Option<Found> {
        let kept = self.kept()?;
        if kept.plain(task).is_some() {
            return Some(Found::Plain);
        }
        let stood = kept.stood(task)?;
        let last = stood.attempts.last()?;
        let is_fine = matches!(last.outcome, Outcome::Passed | Outcome::Skipped);
        let (ended, earlier) = if stood.is_done && is_fine {
            // However often it may be tried by now.
            (last, &stood.attempts[..stood.attempts.len() - 1])
        } else {
            (stood.attempts.get(attempt as usize - 1)?, &[][..])
        };
        let stands = Stands {
            worker: ended.worker,
            took: Duration::from_nanos(ended.took),
            earlier: earlier.iter().map(attempt_of).collect(),
        };
        Some(Found::End(ended.clone(), stands))
    }

    /// Where a task ran that passed at once in an earlier process, and for how long.
    pub(super) fn plain(&self, task: TaskId) -> Option<(usize, Duration)> {
        let plain = self.kept()?.plain(task)?;
        Some((plain.worker as usize, Duration::from_nanos(plain.took)))
    }

    /// An attempt begins that does not run on the lane.
    pub(super) fn start(&self, task: TaskId, attempt: u32, worker: usize, at: Duration) {
        if let Some(journal) = self.journal()
            && !self.has(task, attempt)
        {
            let at = nanos(at);
            journal.start(Begun {
                task,
                attempt,
                worker,
                at,
            });
        }
    }

    /// An attempt has said something.
    pub(super) fn said(&self, task: TaskId, attempt: u32, record: &Record) {
        if let Some(journal) = self.journal().filter(|_| self.keeps_words) {
            journal.said(task, attempt, record);
        }
    }

    /// Something was seen of the process of an attempt.
    pub(super) fn observed(&self, task: TaskId, attempt: u32, observed: &Observed) {
        let is_kept = self.keeps_words || !matches!(observed, Observed::Line(..));
        if let Some(journal) = self.journal().filter(|_| is_kept) {
            journal.observed(task, attempt, observed);
        }
    }

    /// An attempt has ended; or a task got its outcome without one.
    pub(super) fn end(
        &self,
        (task, attempt): (TaskId, u32),
        (outcome, cause, result): (Outcome, Option<&Cause>, Option<&Json>),
        (worker, at, took): (Option<usize>, Duration, Duration),
        last: bool,
    ) {
        let Some(journal) = self.journal() else {
            return;
        };
        // Of an attempt that is known, it may be new that no other one follows: after a crash that was for the plan to say.
        let is_known = self.has(task, attempt);
        let is_new = last && !self.kept().is_some_and(|kept| kept.stays(task));
        if is_known && !is_new {
            return;
        }
        // Once a lock has kept it from running, that stays so.
        let is_locked = matches!(cause, Some(Cause::Locked { .. }));
        if worker.is_none() && !is_known && !is_locked {
            journal.settled(task, outcome, nanos(at));
            return;
        }
        let ended = Ended {
            outcome,
            worker,
            at: nanos(at),
            took: nanos(took),
            result: result.cloned(),
            cause: cause.cloned(),
        };
        journal.end(task, attempt, &ended, last);
    }

    /// Plain tasks have passed on a worker.
    pub(super) fn ran(&self, worker: usize, tasks: impl Iterator<Item = (TaskId, u64, u64)>) {
        let Some(journal) = self.journal() else {
            return;
        };
        match self.kept() {
            None => journal.ran(worker, tasks),
            Some(kept) => journal.ran(worker, tasks.filter(|(task, ..)| !kept.stays(*task))),
        }
    }
}

/// As it is told of a task that has been tried again.
pub(super) fn attempt_of(ended: &Ended) -> Attempt {
    Attempt {
        outcome: ended.outcome,
        cause: ended
            .cause
            .clone()
            .unwrap_or_else(|| Cause::Skip("".into())),
        took: Duration::from_nanos(ended.took),
    }
}

#[cfg(test)]
mod tests;
