//! tdrun itself, through the crate: the steps of `main`, with the clock between them.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tdrun::cli::{self, Command};
use tdrun::event::{Briefing, Event, Summary};
use tdrun::exit::Exit;
use tdrun::graph::{Graph, Links};
use tdrun::interrupt::Abort;
use tdrun::record::Kept;
use tdrun::report::{Interest, Reporter, Reporters};
use tdrun::run::Run;
use tdrun::stream::Stream;
use tdrun::{library, select, start};

/// What each step took.
pub(crate) struct Steps {
    /// Opening the library, checking its table and copying it.
    pub(crate) load: Duration,
    /// From that to a plan of the run.
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
    let mut reporters = Timed {
        reporters: Reporters::open(&options.view, &out, &out, true)?,
        began: None,
        took: Duration::ZERO,
    };

    let begin = Instant::now();
    let shelf = library::load_all(&options.targets, options.view.level(), &|_| ())?;
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
        journal: None,
        kept: Kept::default(),
        lost: Vec::new(),
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
    ensure!(summary.exit() == Exit::Passed, "tdrun did not pass");
    let planned = reporters
        .began
        .map_or(Duration::ZERO, |began| began - begin);
    Ok(Steps {
        load,
        graph: graph_took + planned,
        run: reporters.took,
    })
}

/// Takes the time from the first word to the last.
struct Timed {
    reporters: Reporters,
    began: Option<Instant>,
    took: Duration,
}

impl Reporter for Timed {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        self.began = Some(Instant::now());
        self.reporters.begin(briefing)
    }

    fn wants(&self) -> Interest {
        self.reporters.wants()
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        self.reporters.event(briefing, event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reporters.flush()
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        let finished = self.reporters.finish(briefing, summary);
        self.took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        finished
    }
}
