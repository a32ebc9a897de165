//! Whole processes: the real binary from its start to its end, its peak of memory, and the floor program beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Options;
use crate::common::{TDRUN, compile, shaped, shapes_library};
use crate::foreign;
use crate::row::Measured;
use crate::spread::Spread;
use crate::table::{pair, pair_of};

/// Rounds go on for so long, but there are at least three.
const ENOUGH: Duration = Duration::from_secs(2);
const ROUNDS: [usize; 2] = [3, 50];

const LINES: usize = 1_000_000;
const PROCESSES: usize = 2_000;
const TESTS: usize = 1_000;

/// All that is started.
pub(crate) struct Programs<'a> {
    options: &'a Options,
    shapes: PathBuf,
    floor: PathBuf,
    /// oneTBB, or why it is not there.
    pub(crate) flow: anyhow::Result<PathBuf>,
}

/// The figures of a row.
pub(crate) struct Row {
    pub(crate) nanos: BTreeMap<String, Vec<f64>>,
    pub(crate) bytes_per_task: f64,
    pub(crate) whole: Spread,
}

/// One run of a program.
struct Ended {
    nanos: f64,
    /// The most memory that it ever had.
    peak: usize,
    /// What it wrote to stderr.
    written: u64,
}

impl<'a> Programs<'a> {
    pub(crate) fn build(options: &'a Options) -> anyhow::Result<Self> {
        let flow = compile(
            "c++",
            &["-std=c++17", "-shared", "-fPIC"],
            "benches/speed/contenders/onetbb.cpp",
            "libonetbb.so",
            &["-ltbb"],
        );
        Ok(Self {
            options,
            shapes: shapes_library()?,
            floor: compile("cc", &["-pthread"], "benches/speed/floor.c", "floor", &[])?,
            flow,
        })
    }

    /// The memory that tdrun takes where there is only a task for each worker.
    pub(crate) fn small_peak(&self) -> anyhow::Result<f64> {
        let [small] = rounds([&mut || self.tdrun("chain", self.options.workers, true)])?;
        Ok(peak(&small))
    }

    pub(crate) fn row(&self, shape: &str, size: usize, small_peak: f64) -> anyhow::Result<Row> {
        let measured = self.measured(shape, size)?;
        let [whole] = rounds([&mut || self.tdrun(shape, size, true)])?;
        let bytes = peak(&whole) - small_peak - measured.table_bytes as f64;
        Ok(Row {
            bytes_per_task: bytes / size as f64,
            whole: nanos(&whole),
            nanos: measured.nanos,
        })
    }

    /// What happens inside of one process, for all contenders.
    fn measured(&self, shape: &str, size: usize) -> anyhow::Result<Measured> {
        let mut command = shaped(std::env::current_exe()?, shape, size);
        command.arg("--row").arg(&self.shapes);
        command.arg(format!("--workers={}", self.options.workers));
        if let Some(rounds) = self.options.rounds {
            command.arg(format!("--rounds={rounds}"));
        }
        if let Ok(flow) = &self.flow {
            command.arg("--flow").arg(flow);
        }
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "{shape} of {size}: {}",
            output.status
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    pub(crate) fn six_tasks(&self) -> anyhow::Result<String> {
        let [tdrun, floor] =
            rounds([&mut || self.tdrun("tree", 6, true), &mut || self.floor(&[])])?;
        Ok(pair(
            "six tasks, whole process",
            nanos(&tdrun),
            nanos(&floor),
        ))
    }

    /// A process per task, so many at a time.
    pub(crate) fn isolated(&self, workers: usize) -> anyhow::Result<String> {
        let forks = compile("cc", &[], "benches/speed/forks.c", "forks", &[])?;
        let tdrun = || self.processes(PROCESSES, workers);
        let floor = || {
            let mut command = shaped(&forks, "wide", PROCESSES);
            command.arg(&self.shapes);
            command.args([PROCESSES, workers].map(|number| number.to_string()));
            end(command)
        };
        let [tdrun, floor] = rounds([&mut { tdrun }, &mut { floor }])?;
        let label = format!("{PROCESSES} processes, {workers} at a time");
        let unit = 1e3 * PROCESSES as f64;
        Ok(pair_of(&label, nanos(&tdrun), nanos(&floor), unit))
    }

    fn processes(&self, size: usize, workers: usize) -> anyhow::Result<Ended> {
        let mut command = shaped(TDRUN, "wide", size);
        command.arg(&self.shapes).args(["--isolate", "--quiet"]);
        command.arg(format!("--workers={workers}"));
        end(command)
    }

    /// As many empty tests under cargo-nextest, built before.
    pub(crate) fn nextest(&self) -> anyhow::Result<String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nextest");
        fs::create_dir_all(folder.join("src"))?;
        let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n";
        fs::write(folder.join("Cargo.toml"), manifest)?;
        let tests = (0..TESTS).map(|number| format!("#[test]\nfn t{number}() {{}}\n"));
        fs::write(folder.join("src/lib.rs"), tests.collect::<String>())?;
        let command = |option: &str| {
            let mut command = Command::new("cargo");
            command.args(["nextest", "run", "--offline", option]);
            command
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            command
        };
        let built = command("--no-run").output()?;
        let why = String::from_utf8_lossy(&built.stderr);
        anyhow::ensure!(built.status.success(), "{why}");
        let [tdrun, nextest] = rounds([&mut || self.processes(TESTS, 2), &mut || {
            end(command("--test-threads=2"))
        }])?;
        let label = format!("{TESTS} empty tests (floor: cargo-nextest)");
        let (tdrun, nextest) = (nanos(&tdrun), nanos(&nextest));
        let times = nextest.median / tdrun.median;
        let pair = pair_of(&label, tdrun, nextest, 1e3 * TESTS as f64);
        Ok(format!(
            "{pair}\n  cargo-nextest takes {times:.1} times as long"
        ))
    }

    /// Both without what the process takes that writes nothing.
    pub(crate) fn million_lines(&self) -> anyhow::Result<String> {
        let written = self.tdrun("layered", LINES, false)?.written;
        let line = written / LINES as u64;
        let arguments = [LINES.to_string(), line.to_string()];
        let [loud, quiet, lines, nothing] = rounds([
            &mut || self.tdrun("layered", LINES, false),
            &mut || self.tdrun("layered", LINES, true),
            &mut || self.floor(&arguments),
            &mut || self.floor(&[]),
        ])?;
        let without = |runs: &[Ended], other: &[Ended]| {
            let other = nanos(other).median;
            Spread::of(runs.iter().map(|run| run.nanos - other))
        };
        let (tdrun, floor) = (without(&loud, &quiet), without(&lines, &nothing));
        Ok(pair("a million done lines into a pipe", tdrun, floor))
    }

    fn tdrun(&self, shape: &str, size: usize, quiet: bool) -> anyhow::Result<Ended> {
        let mut command = shaped(TDRUN, shape, size);
        command.arg(&self.shapes);
        command.arg(format!("--workers={}", self.options.workers));
        command.args(quiet.then_some("--quiet"));
        end(command)
    }

    fn floor(&self, arguments: &[String]) -> anyhow::Result<Ended> {
        let mut command = shaped(&self.floor, "", 0);
        command.arg(&self.shapes).args(arguments);
        end(command)
    }
}

/// Runs a program to its end, and reads what it writes.
fn end(mut command: Command) -> anyhow::Result<Ended> {
    let begin = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().expect("it is piped");
    let written = discard(stderr)?;
    let peak = foreign::peak_of(&child)?;
    let nanos = begin.elapsed().as_secs_f64() * 1e9;
    Ok(Ended {
        nanos,
        peak,
        written,
    })
}

fn discard(mut pipe: impl Read) -> io::Result<u64> {
    let (mut buffer, mut written) = (vec![0; 1 << 16], 0);
    loop {
        match pipe.read(&mut buffer)? {
            0 => return Ok(written),
            bytes => written += bytes as u64,
        }
    }
}

/// All of them in turn, again and again; the first round is not counted.
fn rounds<const N: usize>(
    mut all: [&mut dyn FnMut() -> anyhow::Result<Ended>; N],
) -> anyhow::Result<[Vec<Ended>; N]> {
    let mut ended = [const { Vec::new() }; N];
    for run in &mut all {
        run()?;
    }
    let (begin, [least, most]) = (Instant::now(), ROUNDS);
    for round in 0..most {
        if round >= least && begin.elapsed() > ENOUGH {
            break;
        }
        for (run, ended) in all.iter_mut().zip(&mut ended) {
            ended.push(run()?);
        }
    }
    Ok(ended)
}

fn nanos(runs: &[Ended]) -> Spread {
    Spread::of(runs.iter().map(|run| run.nanos))
}

fn peak(runs: &[Ended]) -> f64 {
    Spread::of(runs.iter().map(|run| run.peak as f64)).median
}
