//! `--progress`: a bar, the counts with an estimate, and the tasks that run.
//!
//! A pure picture of the board; knows nothing of terminals but their size.

use unicode_width::UnicodeWidthStr as _;

use crate::report::board::Board;
use crate::report::live::Picture;
use crate::report::text::fit;

/// The bar.
pub(super) struct Progress;

impl Picture for Progress {
    fn template(&self) -> &'static str {
        "[{wide_bar}] {pos}/{len}\n{msg}"
    }

    fn draw(&self, board: &Board<'_>, columns: usize, _: usize) -> String {
        let totals = board.totals();
        let running = running(board, columns);
        format!("{}\n{running}", fit(&totals, columns))
    }
}

/// `running: a 40% copying, b`, or with `… and 3 more`: as many as fit.
fn running(board: &Board<'_>, columns: usize) -> String {
    let running = board.now.workers.iter().flatten();
    let names: Vec<String> = running.map(|running| board.label(running)).collect();
    let line = |shown: usize| {
        let list = names[..shown].join(", ");
        let space = if shown == 0 { "" } else { " " };
        format!("running:{space}{list}{}", more(names.len() - shown))
    };
    // A row is never longer than a thousand columns, and a name never shorter than one and its comma.
    let fitting = (0..=names.len().min(columns / 2)).rev();
    let mut lines = fitting.map(line).filter(|line| line.width() <= columns);
    match lines.next() {
        _ if names.is_empty() => String::new(),
        Some(line) => line,
        None => fit("running: …", columns).into_owned(),
    }
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        _ => format!(" … and {count} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{briefing, moment};

    #[test]
    fn as_many_running_tasks_are_named_as_fit() {
        let briefing = briefing(&["alpha", "beta", "gamma"]);
        let running = |tasks: &[Option<usize>], columns| {
            let (briefing, now) = (&briefing, &moment(&briefing, tasks));
            running(&Board { briefing, now }, columns)
        };
        assert_eq!(running(&[None], 80), "");
        for (columns, expected) in [
            (80, "running: alpha, beta, gamma"),
            (27, "running: alpha, beta, gamma"),
            (26, "running: … and 3 more"),
            (10, "running: …"),
            (1, "…"),
            (0, ""),
        ] {
            let line = running(&[Some(0), None, Some(1), Some(2)], columns);
            assert_eq!(line, expected, "{columns}");
        }
    }

    #[test]
    fn a_picture_is_never_wider_than_the_terminal() {
        let briefing = briefing(&["a\u{1b}[31m", "日本語"]);
        let (briefing, now) = (&briefing, &moment(&briefing, &[Some(0), Some(1)]));
        let board = Board { briefing, now };
        for columns in 0..100 {
            let picture = Progress.draw(&board, columns, 24);
            assert!(!picture.contains('\u{1b}'));
            assert_eq!(picture.matches('\n').count(), 1);
            assert!(
                picture.lines().all(|line| line.width() <= columns),
                "{picture:?}"
            );
        }
    }
}
