//! What a live display shows: how many tasks ended how, and what each worker does right now.
//!
//! Knows no terminal and no clock: who draws says what time it is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::error::escape;
use crate::event::{Briefing, Counts, Event};
use crate::report::text;
use crate::task::{Catalog, Progress, TaskId};

/// The run at one moment. Times are measured from the start of the run.
///
/// There are far more events than drawings: what an event leaves here is put into words when it is drawn.
#[derive(Default)]
pub(super) struct Board {
    catalog: Arc<Catalog>,
    pub(super) planned: usize,
    pub(super) counts: Counts,
    /// What each worker runs, and since when.
    pub(super) workers: Vec<Option<Running>>,
    /// Tasks that wait for others, and keep no worker busy.
    paused: HashMap<TaskId, Running>,
}

/// A task on a worker.
pub(super) struct Running {
    task: TaskId,
    attempt: u32,
    pub(super) since: Duration,
    progress: Option<Progress>,
}

impl Board {
    pub(super) fn new(briefing: &Briefing) -> Self {
        let mut board = Self {
            catalog: Arc::clone(&briefing.catalog),
            planned: briefing.planned.len(),
            ..Self::default()
        };
        board.workers.resize_with(briefing.workers, || None);
        board
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Planned(tasks) => self.planned += tasks.len(),
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                let running = Running {
                    task: *task,
                    attempt: *attempt,
                    since: *at,
                    progress: None,
                };
                self.put(*worker, running);
            }
            Event::Retrying { task, worker, .. } => drop(self.take(*worker, *task)),
            Event::Paused { task, worker, .. } => {
                if let Some(running) = self.take(*worker, *task) {
                    self.paused.insert(*task, running);
                }
            }
            Event::Resumed { task, worker, .. } => {
                if let Some(running) = self.paused.remove(task) {
                    self.put(*worker, running);
                }
            }
            Event::Progress {
                task,
                worker,
                progress,
            } => {
                let place = self.workers.get_mut(*worker).and_then(Option::as_mut);
                if let Some(running) = place.filter(|running| running.task == *task) {
                    running.progress = Some(progress.clone());
                }
            }
            Event::Finished(finished) => {
                self.counts.add(finished.outcome);
                self.paused.remove(&finished.task);
                if let Some(worker) = finished.worker {
                    self.take(worker, finished.task);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, worker: usize, running: Running) {
        // There are more than at the start where tasks were added.
        if worker >= self.workers.len() {
            self.workers.resize_with(worker + 1, || None);
        }
        self.workers[worker] = Some(running);
    }

    /// Frees a worker, where it still runs that task.
    fn take(&mut self, worker: usize, task: TaskId) -> Option<Running> {
        let place = self.workers.get_mut(worker)?;
        place.take_if(|running| running.task == task)
    }

    /// `name`, `name (attempt 2) 40% copying`.
    pub(super) fn label(&self, running: &Running) -> String {
        let mut label = escape(&self.catalog.name(running.task)).into_owned();
        if running.attempt > 1 {
            let _ = write!(label, " (attempt {})", running.attempt);
        }
        if let Some(progress) = &running.progress {
            let _ = write!(label, " {}", escape(&progress.to_string()));
        }
        label
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

    /// `3 passed, 1 failed, 0 skipped, 12.0s, about 3.0s left`; before the time, how many tasks wait for others.
    pub(super) fn totals(&self, now: Duration) -> String {
        let mut totals = text::counts_text(&self.counts);
        if !self.paused.is_empty() {
            let _ = write!(totals, ", {} waiting", self.paused.len());
        }
        let _ = write!(totals, ", {}", text::clock(now));
        if let Some(remaining) = self.remaining(now) {
            let _ = write!(totals, ", about {} left", text::clock(remaining));
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{
        End, added, attempt, briefing, paused, progress, resumed, retrying, started, tried,
    };

    #[test]
    fn an_estimate_follows_from_what_is_done() {
        let briefing = briefing(&["a", "b", "c", "d"]);
        let mut board = Board::new(&briefing);
        let now = Duration::from_secs(4);
        assert_eq!(board.totals(now), "0 passed, 0 failed, 0 skipped, 4.0s");
        board.note(&End::passed(0, 1).event());
        assert_eq!(
            board.totals(now),
            "1 passed, 0 failed, 0 skipped, 4.0s, about 12.0s left"
        );
        for task in 1..4 {
            board.note(&End::passed(task, 1).event());
        }
        assert_eq!(board.remaining(now), None);
    }

    #[test]
    fn a_worker_shows_its_task_until_that_ends() {
        let briefing = briefing(&["a", "b"]);
        let mut board = Board::new(&briefing);
        board.note(&started(1, 0));
        assert_eq!(shown(&board), ["b", "-"]);
        board.note(&End::passed(0, 1).event());
        assert_eq!(
            shown(&board),
            ["b", "-"],
            "another task than that of the worker"
        );
        board.note(&End::passed(1, 1).event());
        board.note(&started(0, 2));
        assert_eq!(shown(&board), ["-", "-", "a"], "one that came later");
    }

    fn shown(board: &Board) -> Vec<String> {
        let label = |running: &Option<Running>| match running {
            Some(running) => board.label(running),
            None => "-".to_owned(),
        };
        board.workers.iter().map(label).collect()
    }

    #[test]
    fn attempts_and_progress_stand_with_the_name() {
        let briefing = briefing(&["a", "b"]);
        let mut board = Board::new(&briefing);
        for (event, expected) in [
            (started(0, 0), "a"),
            (progress(0, 2, 5, "copy\x1bing"), "a 40% copy\\u{1b}ing"),
            (progress(1, 1, 1, "not this one"), "a 40% copy\\u{1b}ing"),
            (retrying(0, 1, attempt("no")), "-"),
            (tried(0, 0, 2), "a (attempt 2)"),
            (progress(0, 7, 0, ""), "a (attempt 2) 7"),
        ] {
            board.note(&event);
            assert_eq!(shown(&board)[0], expected);
        }
    }

    #[test]
    fn a_task_that_waits_leaves_its_worker_and_comes_back_as_it_was() {
        let briefing = briefing(&["a", "b"]);
        let mut board = Board::new(&briefing);
        board.note(&started(0, 0));
        board.note(&progress(0, 1, 2, ""));
        board.note(&paused(0, 0));
        assert_eq!(shown(&board), ["-", "-"]);
        let now = Duration::from_secs(4);
        assert_eq!(
            board.totals(now),
            "0 passed, 0 failed, 0 skipped, 1 waiting, 4.0s"
        );
        board.note(&started(1, 0));
        board.note(&resumed(0, 1));
        assert_eq!(shown(&board), ["b", "a 50%"]);
        board.note(&paused(1, 0));
        board.note(&End::passed(1, 1).event());
        assert!(!board.totals(now).contains("waiting"));
    }

    #[test]
    fn added_tasks_are_planned_too() {
        let briefing = briefing(&["a"]);
        let mut board = Board::new(&briefing);
        board.note(&added(&briefing, "z"));
        assert_eq!(board.planned, 2);
    }
}
