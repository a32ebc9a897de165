//! `--viewer`: a line for each worker with its task and since when, and the totals.
//!
//! A pure picture of the board; knows nothing of terminals but their size.

use crate::event::Running;
use crate::report::board::Board;
use crate::report::live::Picture;
use crate::report::text::{clock, fit};

/// The viewer.
pub(super) struct Viewer;

impl Picture for Viewer {
    fn template(&self) -> &'static str {
        "{msg}"
    }

    fn draw(&self, board: &Board<'_>, columns: usize, rows: usize) -> String {
        let workers = &board.now.workers;
        let shown = shown(workers.len(), rows);
        let digits = workers.len().saturating_sub(1).max(1).ilog10() as usize + 1;
        let lines = workers.iter().take(shown).enumerate();
        let mut lines: Vec<_> = lines
            .map(|(worker, running)| worker_line(board, worker, digits, running.as_ref()))
            .collect();
        if shown < workers.len() {
            lines.push(format!("… and {} more", workers.len() - shown));
        }
        let (done, planned) = (board.now.counts.total(), board.now.planned);
        lines.push(format!("{done}/{planned}: {}", board.totals()));
        let lines = lines.iter().map(|line| fit(line, columns));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// How many workers fit: a row stays free, one is for the totals, and one for those that do not fit.
fn shown(workers: usize, rows: usize) -> usize {
    let room = rows.saturating_sub(2);
    if workers <= room {
        workers
    } else {
        room.saturating_sub(1)
    }
}

/// `thread_0    1.2s name 40% copying`, or `thread_0 ░`.
fn worker_line(
    board: &Board<'_>,
    worker: usize,
    digits: usize,
    running: Option<&Running>,
) -> String {
    match running {
        Some(running) => {
            let elapsed = clock(board.now.at.saturating_sub(running.since));
            let label = board.label(running);
            format!("thread_{worker:<digits$} {elapsed:>6} {label}")
        }
        None => format!("thread_{worker:<digits$} ░"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Briefing, Moment};
    use crate::report::fixture::{briefing, moment};
    use crate::task::{Outcome, Progress};
    use std::time::Duration;

    fn draw(briefing: &Briefing, now: &Moment, columns: usize, rows: usize) -> String {
        Viewer.draw(&Board { briefing, now }, columns, rows)
    }

    #[test]
    fn each_worker_has_a_line() {
        let briefing = briefing(&["a", "b", "c"]);
        let mut now = moment(&briefing, &[None, Some(1)]);
        now.at = Duration::from_millis(1_510);
        now.counts.add(Outcome::Passed);
        assert_eq!(
            draw(&briefing, &now, 80, 24),
            "thread_0 ░\nthread_1   1.5s b\n1/3: 1 passed, 0 failed, 0 skipped, 1.5s, about 3.0s left"
        );
    }

    #[test]
    fn progress_is_cut_where_the_terminal_ends() {
        let briefing = briefing(&["a"]);
        let mut now = moment(&briefing, &[Some(0)]);
        now.workers[0].as_mut().unwrap().progress = Some(Progress {
            done: 2,
            total: 5,
            what: "copying".into(),
        });
        let picture = draw(&briefing, &now, 26, 24);
        assert_eq!(picture.lines().next(), Some("thread_0   0.0s a 40% cop…"));
    }

    #[test]
    fn more_workers_than_rows_are_counted() {
        let briefing = briefing(&["a"]);
        let now = moment(&briefing, &[None; 12]);
        for (rows, workers) in [(14, 12), (13, 10), (5, 2), (2, 0), (0, 0)] {
            let picture = draw(&briefing, &now, 80, rows);
            let shown = picture.lines().filter(|line| line.starts_with("thread_"));
            assert_eq!(shown.count(), workers, "{rows}");
            let rest = format!("… and {} more\n", 12 - workers);
            assert_eq!(picture.contains(&rest), workers < 12, "{rows}: {picture}");
        }
        assert!(draw(&briefing, &now, 80, 24).contains("thread_3  ░\n"));
    }
}
