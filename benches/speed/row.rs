//! One row: a shape and a number of tasks, run by every contender in turn in this process.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Options;
use crate::contenders::{deques, queue, scope, tdrun};
use crate::foreign::{Flow, Shapes};
use crate::table::RUNS;

/// Rounds go on for so long, but there are at least five.
const ENOUGH: Duration = Duration::from_secs(3);
const ROUNDS: [usize; 2] = [5, 200];

/// What a row's process hands back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    /// What the library's own table takes.
    pub(crate) table_bytes: usize,
    /// By contender, or by step of tdrun: the nanoseconds of each round.
    pub(crate) nanos: BTreeMap<String, Vec<f64>>,
}

/// Measures the shape that the environment asks for, and prints it for the parent.
pub(crate) fn measure(library: &Path, options: &Options) -> anyhow::Result<()> {
    let workers = options.workers;
    let shapes = Shapes::load(library)?;
    let edges = shapes.edges();
    let mut flow = match &options.flow {
        Some(path) => Some(Flow::load(path, &edges, workers)?),
        None => None,
    };
    let mut nanos: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut round = || -> anyhow::Result<_> {
        let told = tdrun::run(library, workers)?;
        let mut all = vec![
            (RUNS[0], told.run),
            ("load", told.load),
            ("graph", told.graph),
            (RUNS[1], deques::run(&edges, workers)),
            (RUNS[2], queue::run(&edges, workers)),
            (RUNS[3], scope::run(&edges, workers)),
        ];
        all.extend(flow.as_mut().map(|flow| (RUNS[4], flow.run())));
        Ok(all)
    };
    // Pages, caches, the linker's work and the clock speed settle.
    round()?;
    let begin = Instant::now();
    let [least, most] = options.rounds.map_or(ROUNDS, |rounds| [rounds; 2]);
    for count in 0..most {
        if count >= least && begin.elapsed() > ENOUGH {
            break;
        }
        for (name, took) in round()? {
            nanos
                .entry(name.to_owned())
                .or_default()
                .push(took.as_secs_f64() * 1e9);
        }
    }
    let measured = Measured {
        table_bytes: shapes.bytes(),
        nanos,
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &measured)?;
    out.flush()?;
    Ok(())
}
