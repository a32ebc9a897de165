//! `make bench`: what tdrun takes for tasks that do nothing, beside what the same graphs take elsewhere.
//!
//! Each row of the table is a process of its own, in which all contenders run in turn, round after round; the columns of whole
//! processes come from the real binary. `README.md` says how to read it.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::struct_excessive_bools, reason = "switches")]

#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod foreign;
mod process;
mod row;
mod spread;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;

use common::SHAPES;
use process::Programs;

/// Options: `make bench ARGS='--sizes=1000 --workers=4'`.
#[derive(Parser)]
struct Options {
    /// Ten million tasks too.
    #[arg(long)]
    huge: bool,
    /// Only these shapes.
    #[arg(long, value_delimiter = ',', value_parser = SHAPES, default_values = SHAPES)]
    shapes: Vec<String>,
    /// Only these numbers of tasks.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
    /// Threads that run tasks, for every contender.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Rounds of each row; by default at least five, and more for three seconds.
    #[arg(long)]
    rounds: Option<usize>,
    /// The rows only, without the six tasks and the million lines below them.
    #[arg(long)]
    rows_only: bool,
    /// Only what a process per task takes, beside the floor of that.
    #[arg(long)]
    isolated: bool,
    /// What a row's own process does: the library of shapes.
    #[arg(long, hide = true)]
    row: Option<PathBuf>,
    /// In a row's process: oneTBB.
    #[arg(long, hide = true)]
    flow: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.row {
        Some(library) => row::measure(library, &options),
        None => compare(&options),
    }
}

fn compare(options: &Options) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let programs = Programs::build(options)?;
    if options.isolated {
        writeln!(out, "{}", table::pairs_head("µs a task"))?;
        for workers in [2, 8] {
            writeln!(out, "{}", programs.isolated(workers)?)?;
        }
        match programs.nextest() {
            Ok(line) => writeln!(out, "{line}")?,
            Err(why) => writeln!(out, "cargo-nextest is left out: {}", first_line(&why))?,
        }
        return Ok(());
    }
    if let Err(why) = &programs.flow {
        writeln!(out, "oneTBB is left out: {}", first_line(why))?;
    }
    writeln!(out, "{}", table::head(options.workers))?;
    let small = programs.small_peak()?;
    let huge = options.huge.then_some(10_000_000);
    for shape in &options.shapes {
        for size in options.sizes.iter().copied().chain(huge) {
            let row = programs.row(shape, size, small)?;
            writeln!(out, "{}", table::row(shape, size, &row))?;
        }
    }
    if !options.rows_only {
        writeln!(out, "\n{}", table::pairs_head("ms"))?;
        writeln!(out, "{}", programs.six_tasks()?)?;
        writeln!(out, "{}", programs.million_lines()?)?;
    }
    Ok(())
}

/// What a compiler has to say first is what is missing.
fn first_line(error: &anyhow::Error) -> String {
    let text = error.to_string();
    let told = text.lines().find(|line| line.contains("error"));
    told.unwrap_or(&text).to_owned()
}
