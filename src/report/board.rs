//! What a live display shows: how many tasks ended how, and what each worker does right now.
//!
//! Knows no terminal and no clock: who draws says what time it is.

use std::fmt::Write as _;
use std::time::Duration;

use crate::event::{Briefing, Counts, Event};
use crate::report::text;
use crate::task::TaskId;

/// The run at one moment. Times are measured from the start of the run.
#[derive(Default)]
pub(super) struct Board {
    pub(super) planned: usize,
    pub(super) counts: Counts,
    /// What each worker runs, and since when.
    pub(super) workers: Vec<Option<Running>>,
}

/// A task on a worker.
pub(super) struct Running {
    task: TaskId,
    /// To show: escaped.
    pub(super) name: String,
    pub(super) since: Duration,
}

impl Board {
    pub(super) fn new(briefing: &Briefing) -> Self {
        let mut board = Self {
            planned: briefing.planned.len(),
            ..Self::default()
        };
        board.workers.resize_with(briefing.workers, || None);
        board
    }

    pub(super) fn note(&mut self, briefing: &Briefing, event: &Event) {
        match event {
            Event::Started {
                task, worker, at, ..
            } => {
                if let Some(place) = self.workers.get_mut(*worker) {
                    *place = Some(Running {
                        task: *task,
                        name: text::name(briefing, *task),
                        since: *at,
                    });
                }
            }
            Event::Finished(finished) => {
                self.counts.add(finished.outcome);
                let place = finished
                    .worker
                    .and_then(|worker| self.workers.get_mut(worker));
                let ended = |running: &mut Running| running.task == finished.task;
                place.and_then(|place| place.take_if(ended));
            }
            _ => {}
        }
    }

    /// How much longer it may take, judged by what is done; not at the start, and not at the end.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        let done = u32::try_from(self.counts.total())
            .ok()
            .filter(|&done| done > 0)?;
        let left = u32::try_from(self.planned)
            .ok()?
            .checked_sub(done)
            .filter(|&left| left > 0)?;
        let seconds = now.as_secs_f64() / f64::from(done) * f64::from(left);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// `3 passed, 1 failed, 0 skipped, 12.0s, about 3.0s left`.
    pub(super) fn totals(&self, now: Duration) -> String {
        let mut totals = format!("{}, {}", text::counts_text(&self.counts), text::clock(now));
        if let Some(remaining) = self.remaining(now) {
            let _ = write!(totals, ", about {} left", text::clock(remaining));
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{End, briefing, started};

    #[test]
    fn an_estimate_follows_from_what_is_done() {
        let briefing = briefing(&["a", "b", "c", "d"]);
        let mut board = Board::new(&briefing);
        let now = Duration::from_secs(4);
        assert_eq!(board.totals(now), "0 passed, 0 failed, 0 skipped, 4.0s");
        board.note(&briefing, &End::passed(0, 1).event());
        assert_eq!(
            board.totals(now),
            "1 passed, 0 failed, 0 skipped, 4.0s, about 12.0s left"
        );
        for task in 1..4 {
            board.note(&briefing, &End::passed(task, 1).event());
        }
        assert_eq!(board.remaining(now), None);
    }

    #[test]
    fn a_worker_shows_its_task_until_that_ends() {
        let briefing = briefing(&["a", "b"]);
        let mut board = Board::new(&briefing);
        board.note(&briefing, &started(1, 0));
        assert_eq!(
            board.workers[0].as_ref().map(|running| &*running.name),
            Some("b")
        );
        board.note(&briefing, &End::passed(1, 1).event());
        assert!(board.workers[0].is_none());
        board.note(&briefing, &started(0, 99));
        assert!(board.workers.iter().all(Option::is_none));
    }
}
