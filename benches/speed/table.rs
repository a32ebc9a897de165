//! How the figures are laid out.

use crate::process::Row;
use crate::spread::{Spread, digits};

/// The contenders, in the order of the columns. Each starts at edges and ends at the last outcome.
pub(crate) const RUNS: [&str; 5] = ["tdrun", "floor-rec", "queue", "rayon", "oneTBB"];

pub(crate) fn head(workers: usize) -> String {
    let groups = format!(
        "{:18}│ {:68}│ {:25}│ whole process",
        format!("{workers} workers"),
        "run: ns a task",
        "before it: ns a task"
    );
    let [tdrun, floor, queue, rayon, flow] = RUNS;
    let names = format!(
        "{:8}{:>9} │{tdrun:>12}{floor:>12}{:>8}{queue:>12}{rayon:>12}{flow:>12} │{:>12}{:>13} │{:>12}{:>15}",
        "shape", "tasks", "ratio", "load", "graph", "bytes/task", "ms"
    );
    format!("{groups}\n{names}")
}

pub(crate) fn row(shape: &str, size: usize, row: &Row) -> String {
    let per_task = |name: &str| {
        let nanos = row.nanos.get(name)?;
        Some(Spread::of(nanos.iter().copied()).per(size as f64))
    };
    let [tdrun, floor, queue, rayon, flow] = RUNS.map(per_task);
    let ratio = tdrun.zip(floor).map(|(tdrun, floor)| of(tdrun, floor));
    format!(
        "{shape:8}{size:>9} │{:>12}{:>12}{:>8}{:>12}{:>12}{:>12} │{:>12}{:>13} │{:>12.0}{:>15}",
        cell(tdrun),
        cell(floor),
        cell(ratio),
        cell(queue),
        cell(rayon),
        cell(flow),
        cell(per_task("load")),
        cell(per_task("graph")),
        row.bytes_per_task,
        row.whole.per(1e6),
    )
}

/// What was not measured is left out.
fn cell(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| figure.to_string())
}

pub(crate) fn pairs_head(unit: &str) -> String {
    format!("{unit:44}{:>16}{:>16}{:>8}", "tdrun", "floor", "ratio")
}

/// A thing that tdrun and a floor program do.
pub(crate) fn pair(what: &str, tdrun: Spread, floor: Spread) -> String {
    pair_of(what, tdrun, floor, 1e6)
}

/// The same, where so many nanoseconds are one of what is shown.
pub(crate) fn pair_of(what: &str, tdrun: Spread, floor: Spread, unit: f64) -> String {
    let (tdrun, floor) = (tdrun.per(unit), floor.per(unit));
    let ratio = of(tdrun, floor);
    format!("{what:44}{tdrun:>16}{floor:>16}{ratio:>8}")
}

fn of(tdrun: Spread, floor: Spread) -> String {
    let ratio = tdrun.median / floor.median;
    format!("{ratio:.0$}", digits(ratio))
}
