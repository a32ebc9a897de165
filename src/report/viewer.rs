//! `--viewer`: a line for each worker with its task and since when, and the totals.
//!
//! A pure picture of the board; knows nothing of terminals but their size.

use std::time::Duration;

use crate::report::board::{Board, Running};
use crate::report::live::Picture;
use crate::report::text::{clock, fit};

/// The viewer.
pub(super) struct Viewer;

impl Picture for Viewer {
    fn template(&self) -> &'static str {
        "{msg}"
    }

    fn draw(&self, board: &Board, now: Duration, columns: usize, rows: usize) -> String {
        let shown = shown(board.workers.len(), rows);
        let digits = board.workers.len().saturating_sub(1).max(1).ilog10() as usize + 1;
        let workers = board.workers.iter().take(shown).enumerate();
        let mut lines: Vec<_> = workers
            .map(|(worker, running)| worker_line(board, worker, digits, running.as_ref(), now))
            .collect();
        if shown < board.workers.len() {
            lines.push(format!("… and {} more", board.workers.len() - shown));
        }
        let done = board.counts.total();
        lines.push(format!("{done}/{}: {}", board.planned, board.totals(now)));
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
    board: &Board,
    worker: usize,
    digits: usize,
    running: Option<&Running>,
    now: Duration,
) -> String {
    match running {
        Some(running) => {
            let elapsed = clock(now.saturating_sub(running.since));
            let label = board.label(running);
            format!("thread_{worker:<digits$} {elapsed:>6} {label}")
        }
        None => format!("thread_{worker:<digits$} ░"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{End, briefing, progress, started};

    #[test]
    fn each_worker_has_a_line() {
        let briefing = briefing(&["a", "b", "c"]);
        let mut board = Board::new(&briefing);
        board.note(&started(0, 0));
        board.note(&End::passed(0, 1).event());
        board.note(&started(1, 1));
        let now = Duration::from_millis(1_510);
        assert_eq!(
            Viewer.draw(&board, now, 80, 24),
            "thread_0 ░\nthread_1   1.5s b\n1/3: 1 passed, 0 failed, 0 skipped, 1.5s, about 3.0s left"
        );
    }

    #[test]
    fn progress_is_cut_where_the_terminal_ends() {
        let briefing = briefing(&["a"]);
        let mut board = Board::new(&briefing);
        board.note(&started(0, 0));
        board.note(&progress(0, 2, 5, "copying"));
        let picture = Viewer.draw(&board, Duration::ZERO, 26, 24);
        assert_eq!(picture.lines().next(), Some("thread_0   0.0s a 40% cop…"));
    }

    #[test]
    fn more_workers_than_rows_are_counted() {
        let mut briefing = briefing(&["a"]);
        briefing.workers = 12;
        let board = Board::new(&briefing);
        for (rows, workers) in [(14, 12), (13, 10), (5, 2), (2, 0), (0, 0)] {
            let picture = Viewer.draw(&board, Duration::ZERO, 80, rows);
            let shown = picture.lines().filter(|line| line.starts_with("thread_"));
            assert_eq!(shown.count(), workers, "{rows}");
            let rest = format!("… and {} more\n", 12 - workers);
            assert_eq!(picture.contains(&rest), workers < 12, "{rows}: {picture}");
        }
        assert!(
            Viewer
                .draw(&board, Duration::ZERO, 80, 24)
                .contains("thread_3  ░\n")
        );
    }
}
