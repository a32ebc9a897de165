//! tdrun itself, through the crate: the steps of `main`, with the clock between them.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tdrun::cli::{self, Command};
use tdrun::exit::Exit;
use tdrun::graph::{Graph, Links};
use tdrun::interrupt::Abort;
use tdrun::report::Reporters;
use tdrun::run::Run;
use tdrun::stream::Stream;
use tdrun::{library, select, start};

/// What each step took.
pub(crate) struct Steps {
    /// Opening the library, checking its table and copying it.
    pub(crate) load: Duration,
    /// From that to a graph that can be planned.
    pub(crate) graph: Duration,
    /// From that to the summary: threads, tasks, events and reporters.
    pub(crate) run: Duration,
}

/// `tdrun LIBRARY --quiet --workers=N`.
pub(crate) fn run(path: &Path, workers: usize) -> anyhow::Result<Steps> {
    let words: [OsString; 4] = [
        "tdrun".into(),
        path.into(),
        "--quiet".into(),
        format!("--workers={workers}").into(),
    ];
    let Command::Run(options) = cli::parse(words)? else {
        bail!("the command line asks for no run");
    };
    let state = start::state(&options)?;
    let out = Stream::to(File::create("/dev/null")?);
    let mut reporters = Reporters::open(&options.view, &out, &out)?;

    let begin = Instant::now();
    let shelf = library::load_all(&options.targets, options.view.level())?;
    let load = begin.elapsed();

    let begin = Instant::now();
    let catalog = Arc::new(shelf.catalog);
    let mut links = Links::resolve(&catalog)?;
    let request = start::request(&options, &shelf.targets);
    let selection = select::select(&catalog, &mut links, &request)?;
    let graph = Arc::new(Graph::new(&catalog, &links, selection)?);
    let graph_took = begin.elapsed();

    let (results, _) = start::results(&options, &catalog, &mut links, graph.planned())?;
    let (_abort, requests) = Abort::new();
    let run = Run {
        catalog: Arc::clone(&catalog),
        links,
        graph: Arc::clone(&graph),
        state: Arc::new(state),
        results: Arc::new(results),
        rules: options.rules,
        workers: options.workers,
        limits: options.limits,
        state_arguments: options.typed,
        last_words: Box::new(Vec::new),
    };
    let begin = Instant::now();
    let summary = run.execute(&mut reporters, &requests, |_| {});
    let run = begin.elapsed();
    ensure!(summary.exit() == Exit::Passed, "tdrun did not pass");
    Ok(Steps {
        load,
        graph: graph_took,
        run,
    })
}
