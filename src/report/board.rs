//! What a live display shows, in words: how many tasks ended how, and what each worker does right now.
//!
//! Knows no terminal and no clock: the moment says what time it is.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::escape;
use crate::event::{Briefing, Moment, Running};
use crate::report::cause::signal_name;
use crate::report::text;

/// The run at one moment.
pub(super) struct Board<'a> {
    pub(super) briefing: &'a Briefing,
    pub(super) now: &'a Moment,
}

impl Board<'_> {
    /// `name`, `name (attempt 2) 40% copying`, `name (stopped by SIGTTIN)`.
    pub(super) fn label(&self, running: &Running) -> String {
        let mut label = text::name(self.briefing, running.task);
        if running.attempt > 1 {
            let _ = write!(label, " (attempt {})", running.attempt);
        }
        if let Some(progress) = &running.progress {
            let _ = write!(label, " {}", escape(&progress.to_string()));
        }
        if let Some(signal) = running.stopped {
            let _ = write!(label, " (stopped by {})", signal_name(signal));
        }
        label
    }

    /// How much longer it may take, judged by what is done; not at the start, and not at the end.
    fn remaining(&self) -> Option<Duration> {
        let done = self.now.counts.total();
        let left = self.now.planned.checked_sub(done)?;
        if done == 0 || left == 0 {
            return None;
        }
        let [done, left] = [done, left].map(u32::try_from);
        let seconds = self.now.at.as_secs_f64() / f64::from(done.ok()?) * f64::from(left.ok()?);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// `3 passed, 1 failed, 0 skipped, 12.0s, about 3.0s left`; before the time, how many tasks wait for others.
    pub(super) fn totals(&self) -> String {
        let mut totals = text::counts_text(&self.now.counts);
        if self.now.waiting > 0 {
            let _ = write!(totals, ", {} waiting", self.now.waiting);
        }
        let _ = write!(totals, ", {}", text::clock(self.now.at));
        if let Some(remaining) = self.remaining() {
            let _ = write!(totals, ", about {} left", text::clock(remaining));
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{briefing, moment};
    use crate::task::{Outcome, Progress, TaskId};

    #[test]
    fn an_estimate_follows_from_what_is_done() {
        let briefing = briefing(&["a", "b", "c", "d"]);
        let mut now = moment(&briefing, &[]);
        let totals = |now: &Moment| {
            let briefing = &briefing;
            Board { briefing, now }.totals()
        };
        now.at = Duration::from_secs(4);
        assert_eq!(totals(&now), "0 passed, 0 failed, 0 skipped, 4.0s");
        now.counts.add(Outcome::Passed);
        assert_eq!(
            totals(&now),
            "1 passed, 0 failed, 0 skipped, 4.0s, about 12.0s left"
        );
        now.counts.add_many(Outcome::Failed, 3);
        assert_eq!(totals(&now), "1 passed, 3 failed, 0 skipped, 4.0s");
        now.waiting = 2;
        assert_eq!(
            totals(&now),
            "1 passed, 3 failed, 0 skipped, 2 waiting, 4.0s"
        );
    }

    #[test]
    fn attempts_and_progress_stand_with_the_name() {
        let briefing = briefing(&["a"]);
        let now = moment(&briefing, &[]);
        let progress = |done, total, what: &str| {
            let what = what.into();
            Some(Progress { done, total, what })
        };
        for (attempt, progress, stopped, expected) in [
            (1, None, None, "a"),
            (
                1,
                progress(2, 5, "copy\x1bing"),
                None,
                "a 40% copy\\u{1b}ing",
            ),
            (2, None, None, "a (attempt 2)"),
            (2, progress(7, 0, ""), None, "a (attempt 2) 7"),
            (1, progress(7, 0, ""), Some(21), "a 7 (stopped by SIGTTIN)"),
        ] {
            let running = Running {
                progress,
                stopped,
                ..Running::new(TaskId::new(0), attempt, Duration::ZERO)
            };
            let board = Board {
                briefing: &briefing,
                now: &now,
            };
            assert_eq!(board.label(&running), expected);
        }
    }
}
