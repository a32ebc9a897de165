//! `make bench-instructions`: how many instructions small cases take, beside `counts.txt`, so that a change for the worse is seen
//! where clocks are too noisy to tell.
//!
//! Whole runs of the real binary under callgrind, with one worker: who wakes whom is then nearly always the same, and two runs
//! differ by less than 1 %. The counts belong to a compiler and a C library: with others, `--bless` first.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, ensure};
use clap::Parser;

use common::{SHAPES, TDRUN, shaped, shapes_library};

const COUNTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/instructions/counts.txt"
);

/// Tasks of each shape.
const SIZE: usize = 2_000;

/// One run of tdrun.
struct Case {
    name: String,
    shape: &'static str,
    size: usize,
    /// What stands behind the library.
    selector: &'static str,
    option: &'static str,
}

/// What is done with each shape.
const STEPS: [(&str, &str, &str); 3] = [
    ("load", "::t0000", "--quiet"),
    ("list", "", "--list"),
    ("run", "", "--quiet"),
];

/// Options: `make bench-instructions ARGS=--bless`.
#[derive(Parser)]
struct Options {
    /// Write the counts down instead of comparing them.
    #[arg(long)]
    bless: bool,
    /// By how many percent a count may differ.
    #[arg(long, default_value_t = 5.0)]
    tolerance: f64,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut out = io::stdout().lock();
    let library = shapes_library()?;
    let known = fs::read_to_string(COUNTS).unwrap_or_default();
    let (mut counts, mut passed) = (String::new(), true);
    for case in cases() {
        let count = case.count(&library)?;
        let line = format!("{:14}{count:>12}", case.name);
        writeln!(counts, "{line}")?;
        let (word, fine) = verdict(count, case.known(&known), options.tolerance);
        passed &= fine;
        writeln!(out, "{line}  {word}")?;
    }
    if options.bless {
        fs::write(COUNTS, counts)?;
    }
    Ok(if passed || options.bless {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn cases() -> Vec<Case> {
    let start = Case {
        name: "start".to_owned(),
        shape: "tree",
        size: 6,
        selector: "",
        option: "--quiet",
    };
    let mut cases = vec![start];
    for shape in SHAPES {
        cases.extend(STEPS.map(|(step, selector, option)| Case {
            name: format!("{step} {shape}"),
            shape,
            size: SIZE,
            selector,
            option,
        }));
    }
    cases
}

impl Case {
    /// The instructions of a process, from its start to its end.
    fn count(&self, library: &Path) -> anyhow::Result<u64> {
        let mut command = shaped("valgrind", self.shape, self.size);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", TDRUN]);
        command.arg(format!("{}{}", library.display(), self.selector));
        command.args([self.option, "--workers=1"]);
        let ended = command.stderr(Stdio::piped()).output();
        let ended = ended.context("cannot start valgrind")?;
        let told = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "{command:?}: {told}");
        let counted = told
            .lines()
            .find_map(|line| line.split_once("Collected : "));
        let (_, count) = counted.with_context(|| format!("no count in {told}"))?;
        Ok(count.trim().parse()?)
    }

    /// Its count in the text of `counts.txt`.
    fn known(&self, text: &str) -> Option<u64> {
        let mut counts = text
            .lines()
            .filter_map(|line| line.strip_prefix(&self.name));
        counts.next()?.trim().parse().ok()
    }
}

/// How a count compares with the one that is written down; and whether that is fine.
fn verdict(count: u64, known: Option<u64>, tolerance: f64) -> (String, bool) {
    let Some(known) = known else {
        return ("new".to_owned(), false);
    };
    let percent = (count as f64 / known as f64 - 1.0) * 100.0;
    let word = match percent {
        _ if percent > tolerance => "  WORSE",
        _ if percent < -tolerance => "  better",
        _ => "",
    };
    (format!("{percent:+.1} %{word}"), percent <= tolerance)
}
