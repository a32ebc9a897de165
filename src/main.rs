//! tdrun: the story in a handful of statements, and the one place that prints an error and ends the process.
//!
//! Two processes: the supervisor, which the user has started, and the runner, which it forks; see `supervise`.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, LazyLock};

use tdrun::blackbox::{self, BlackBox, End, LastWords, Phase};
use tdrun::cli::{self, Command, Options};
use tdrun::error::Error;
use tdrun::event::Summary;
use tdrun::exit::Exit;
use tdrun::graph::{Graph, Links};
use tdrun::isolate::{self, Apart, Hidden, Setting, Under, Which};
use tdrun::library::{self, Files, Shelf};
use tdrun::plan::Rules;
use tdrun::process::{self, end};
use tdrun::record::{Journal, News};
use tdrun::report::{Reporters, ShowOutput};
use tdrun::run::{self, Ear, Limits, Run};
use tdrun::select::Request;
use tdrun::start::journal::Journals;
use tdrun::state::State;
use tdrun::stream::{self, Stream};
use tdrun::supervise::{self, Crash, How, Next, Round};
use tdrun::target::Target;
use tdrun::task::{Catalog, LibraryId, TaskId, TaskRef};
use tdrun::{interrupt, look, select, start};

/// Where `say` speaks: taken before a library can close or move it.
static STDERR: LazyLock<Stream> = LazyLock::new(Stream::stderr);

fn main() {
    panic::set_hook(Box::new(leave_as_bug));
    LazyLock::force(&STDERR);
    interrupt::survive_full_files();
    match supervised().unwrap_or_else(|error| report(&error)) {
        Exit::Signal(signal) => end::end_by(signal),
        exit => end::leave(exit.code(), false, None),
    }
}

/// From the words of the command line to the status of the process, which has everything else done in another one.
fn supervised() -> anyhow::Result<Exit> {
    if let Some(hidden) = Hidden::find(std::env::args_os()) {
        return Err(hidden.run(library::load_one, library::coverage).into());
    }
    supervise::prepare();
    let options = match cli::parse(std::env::args_os())? {
        Command::Print(text) => {
            print(Stream::stdout(), |out| out.write_all(text.as_bytes()))?;
            return Ok(Exit::Passed);
        }
        Command::Run(options) => *options,
    };
    warn(&options.warnings);
    start::program(&options)?;
    // Read once: it may come out of a pipe.
    let state = Cell::new(start::state(&options)?);
    let workers = run::most_workers(options.workers);
    let black_box = blackbox::open(workers, run::TRACK)
        .map_err(|error| Error::new("run.process", format!("cannot map memory: {error}")))?;
    let journals = start::journal::open(&options)?;
    let mut run = |round: Round<'_>| {
        let runner = Runner {
            options: &options,
            journals: &journals,
            round,
            is_first: !black_box.has_begun(),
        };
        let done = runner.story(state.take());
        let done = done.unwrap_or_else(|error| Done::at(runner.give_up(&error)));
        leave(done.exit, done.abandoned)
    };
    let exit = supervise::supervise(
        black_box,
        options.look.is_none(),
        &mut run,
        &mut |crashes| after(&options, &journals, crashes),
    );
    Ok(exit?)
}

/// The process that loads and runs.
struct Runner<'a> {
    options: &'a Options,
    journals: &'a Journals,
    round: Round<'a>,
    /// No earlier one has come to run anything: nothing is recorded.
    is_first: bool,
}

/// What is to run, or to be looked at.
struct Chosen {
    catalog: Catalog,
    links: Links,
    graph: Arc<Graph>,
    limits: Limits,
    files: Files,
    /// Runs tasks in processes of their own.
    apart: Option<Arc<Apart>>,
}

impl Runner<'_> {
    /// Tells why it cannot go on, and what has come of the run so far.
    fn give_up(&self, error: &anyhow::Error) -> Exit {
        match error.downcast_ref::<Error>() {
            Some(error) if !self.is_first => {
                conclude(self.options, self.journals, self.round.crashes, error)
            }
            _ => report(error),
        }
    }

    fn story(&self, state: State) -> anyhow::Result<Done> {
        let terminal = match self.options.isolation.under {
            Some(Under::Debugger(_)) => Some(process::standard_streams()?),
            _ => None,
        };
        stream::silence_stdin();
        let (out, err) = (Stream::stdout(), Stream::stderr());
        end::guard(note_exit);
        process::on_fatal_signal(note_signal);
        let chosen = self.choose(self.load()?, terminal)?;
        if let Some(what) = self.options.look {
            let Chosen { catalog, graph, .. } = chosen;
            print(out, |out| look::look(out, &catalog, &graph, what))?;
            return Ok(Done::at(Exit::Passed));
        }
        self.run(chosen, state, (&out, &err))
    }

    fn load(&self) -> anyhow::Result<Shelf> {
        let level = self.options.view.level();
        let loading = |target| enter(Phase::Loading(target));
        let loaded = library::load_all(&self.options.targets, level, &loading)?;
        enter(Phase::Starting);
        if self.is_first {
            warn(&loaded.warnings);
        }
        Ok(loaded)
    }

    /// Selects, checks, and starts what runs tasks in processes: as early as can be, while there is little else in memory.
    fn choose(&self, loaded: Shelf, terminal: Option<[OwnedFd; 3]>) -> anyhow::Result<Chosen> {
        let options = self.options;
        let (mut catalog, mut limits) = (loaded.catalog, options.limits);
        let suspects = start::journal::names(self.journals, &catalog, self.round.suspects)?;
        let mut apart = match (options.look, &terminal) {
            (None, None) => start_apart(&mut catalog, options, None, suspects.clone())?,
            _ => None,
        };
        let mut links = Links::resolve(&catalog)?;
        let request = start::request(options, &loaded.targets);
        let mut selection = select::select(&catalog, &mut links, &request)?;
        if let (None, Some(terminal)) = (options.look, terminal) {
            // Only the one that is looked into has to be known before.
            let task = start::looked_into(&catalog, &selection)?;
            limits.untimed = Some(task);
            apart = start_apart(&mut catalog, options, Some((task, terminal)), suspects)?;
            let with_deps = true;
            selection = select::select(
                &catalog,
                &mut links,
                &Request {
                    with_deps,
                    ..request
                },
            )?;
        }
        if options.view.verbose && self.is_first {
            note_dropped(&catalog, &links.dropped(&selection));
        }
        let graph = Arc::new(Graph::new(&catalog, &links, selection)?);
        Ok(Chosen {
            catalog,
            links,
            graph,
            limits,
            files: loaded.files,
            apart,
        })
    }

    fn run(
        &self,
        chosen: Chosen,
        state: State,
        (out, err): (&Stream, &Stream),
    ) -> anyhow::Result<Done> {
        let (options, journals) = (self.options, self.journals);
        let Chosen {
            catalog,
            mut links,
            graph,
            limits,
            files,
            apart,
        } = chosen;
        if self.is_first {
            note_aborting(&catalog, graph.planned(), options.isolation.which);
        }
        let libraries = start::journal::libraries(&catalog, &files, journals);
        let taken = if self.is_first {
            let known = (&catalog, &mut links, &*graph);
            start::journal::resume(options, journals, &libraries, known)?
        } else {
            let lost = self.round.crashes.iter().map(Crash::record).collect();
            start::journal::go_on(journals, lost, &libraries, (&catalog, &mut links))?
        };
        warn(&taken.warnings);
        if !taken.note.is_empty() && !options.view.quiet {
            say(&format!("{}\n", tdrun::error::escape(&taken.note)));
        }
        let (results, replaced) = start::results(options, &catalog, &mut links, graph.planned())?;
        let mut reporters = Reporters::open(&options.view, out, err, self.is_first)?;
        let requests = interrupt::listen(self.round.stopped_by)?;
        if self.is_first {
            warn(&replaced);
            start::journal::begin(
                journals,
                &taken,
                &libraries,
                (&catalog, &graph),
                options.view.junit.is_some(),
            );
            if let Some(black_box) = blackbox::get() {
                black_box.note_begun();
            }
        }
        let run = Run {
            journal: journals.journal.clone(),
            kept: taken.kept,
            lost: taken.crashes,
            catalog: Arc::new(catalog),
            links,
            graph,
            state: Arc::new(state),
            results: Arc::new(results),
            rules: Rules {
                once: limits.untimed,
                ..options.rules
            },
            workers: options.workers,
            limits,
            state_arguments: options.typed.clone(),
            last_words: Box::new(move || files.changed()),
        };
        enter(Phase::Running);
        let summary = run.execute(&mut reporters, &requests, connect);
        library::listen(None);
        if let Some(apart) = apart.filter(|_| summary.abandoned == 0) {
            apart.leave();
        }
        let exit = match summary.exit() {
            Exit::Passed if !reporters.errors().is_empty() => Exit::Output,
            exit => exit,
        };
        Ok(Done {
            exit: finish(journals.journal.as_deref(), &summary, exit),
            abandoned: summary.abandoned > 0,
        })
    }
}

/// Records the end of the run; the exit status, which is another one where the journal is not whole.
fn finish(journal: Option<&Journal>, summary: &Summary, exit: Exit) -> Exit {
    let Some(journal) = journal else {
        return exit;
    };
    journal.fin(summary, exit.code());
    for news in journal.news() {
        match news {
            News::Off(error) => drop(report(&error.into())),
            News::Warning(warning) => warn(&[warning]),
        }
    }
    match exit {
        Exit::Passed if journal.trouble().is_some() => Exit::Output,
        exit => exit,
    }
}

/// Starts what runs tasks in processes of their own, where there are such tasks.
fn start_apart(
    catalog: &mut Catalog,
    options: &Options,
    looked_into: Option<(TaskId, [OwnedFd; 3])>,
    suspects: HashSet<(LibraryId, Box<str>)>,
) -> anyhow::Result<Option<Arc<Apart>>> {
    let supervisor = process::parent();
    let setting = Setting {
        has_timeout: options.limits.timeout.is_some(),
        live: options.view.output == ShowOutput::Live,
        level: options.view.level(),
        looked_into,
        warm_up: |caller| {
            // The server has no part in it, nor has what a task overwrites by accident.
            if let Some(black_box) = blackbox::get() {
                black_box.disown();
            }
            library::warm_up(caller);
        },
        at_end: library::coverage(),
        suspects,
        on_gone: Box::new(move || {
            if process::parent() != supervisor {
                return; // all are being killed, and this process ends when they have
            }
            if let Some(black_box) = blackbox::get() {
                black_box.end(End::Again);
                black_box.let_write();
            }
            process::vanish();
        }),
    };
    let started = isolate::start(catalog, &options.isolation, setting)?;
    Ok(started.map(|started| {
        if let Some(note) = started.note {
            say(&format!("tdrun: note: {}\n", tdrun::error::escape(&note)));
        }
        started.apart
    }))
}

/// Leads what libraries say outside of tasks and hooks into the run.
fn connect(ear: Ear) {
    // Again: what was registered last runs first, before destructors of the libraries that have been loaded since.
    end::guard(note_exit);
    library::listen(Some(Arc::new(move |record| ear.hear(record))));
}

/// How a runner is done.
struct Done {
    exit: Exit,
    /// Threads of tasks may still run.
    abandoned: bool,
}

impl Done {
    fn at(exit: Exit) -> Self {
        Self {
            exit,
            abandoned: false,
        }
    }
}

/// Ends the runner: all is told.
fn leave(exit: Exit, abandoned: bool) -> ! {
    if let Some(black_box) = blackbox::get()
        && black_box.end(End::Exit(exit))
    {
        supervise::announce_end();
    }
    let at_once = abandoned || matches!(exit, Exit::Signal(_));
    // Destructors would write it otherwise.
    let last = at_once.then_some(library::write_coverage as fn());
    end::leave(exit.code(), at_once, last)
}

fn enter(phase: Phase) {
    if let Some(black_box) = blackbox::get() {
        black_box.enter(phase);
    }
}

fn note_exit(call: end::Call) {
    note_last(LastWords::Call(call));
}

fn note_signal(signal: i32) {
    note_last(LastWords::Signal(signal));
}

/// May be called in the handler of a signal.
fn note_last(words: LastWords) {
    if let Some(black_box) = blackbox::get() {
        // What has a process of its own does not speak here.
        let task = run::current().filter(|task| black_box.is_running(*task));
        black_box.note_last(words, task);
    }
}

/// What follows the crash of a runner. Once one has begun the run, there is something to be taken up, also where the next one
/// was lost on the way there.
fn after(options: &Options, journals: &Journals, crashes: &[Crash]) -> Next {
    let Some(crash) = crashes.last() else {
        return Next::Again;
    };
    let is_recorded = blackbox::get().is_some_and(BlackBox::is_recorded);
    let has_begun = blackbox::get().is_some_and(BlackBox::has_begun);
    let error = match crash.phase {
        _ if has_begun && !crash.is_hopeless && is_recorded => return Next::Again,
        Phase::Loading(target) => crashed_while_loading(&options.targets[target], &crash.how),
        Phase::Starting | Phase::Running => {
            let message = format!("the process that runs the tasks was lost: {}", crash.how);
            let error = Error::new("run.lost", message);
            if is_recorded {
                error
            } else {
                error.hint("no other one can go on, as what has happened could not be recorded")
            }
        }
    };
    if has_begun && is_recorded {
        return Next::End(conclude(options, journals, crashes, &error));
    }
    say(&format!("tdrun: {error}\n"));
    Next::End(Exit::Failed)
}

/// Ends a run with which nobody can go on: all that is known of it is told.
fn conclude(options: &Options, journals: &Journals, crashes: &[Crash], error: &Error) -> Exit {
    let (out, err) = (Stream::stdout(), Stream::stderr());
    let lost = crashes.iter().map(Crash::record).collect();
    let journal = journals.journal.as_ref();
    let journal = journal.filter(|_| start::journal::record_last(journals, lost));
    let told = journal.is_some_and(|journal| {
        Reporters::open(&options.view, &out, &err, false)
            .is_ok_and(|mut reporters| run::conclude(journal, &mut reporters, error))
    });
    if !told {
        say(&format!("tdrun: {error}\n"));
    }
    Exit::Failed
}

fn crashed_while_loading(target: &Target, how: &How) -> Error {
    let path = target.path.to_string_lossy();
    match how {
        How::Words(LastWords::Call(call)) => {
            let message = format!("`{path}` called `{call}` while it was being loaded");
            Error::new("load.exit", message)
        }
        how => {
            let message = format!("`{path}` crashed while it was being loaded: {how}");
            Error::new("load.crash", message)
        }
    }
    .hint("its constructors run then, and those of the libraries that it needs")
}

/// Prints to stdout what the user asked for. A reader who has seen enough is no error.
fn print(
    mut out: Stream,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let printed = write(&mut out).and_then(|()| out.flush());
    printed.map_err(|error| {
        let message = format!("cannot write to standard output: {error}");
        Error::new("io.output", message).into()
    })
}

/// What the selection does not wait for, although its tasks say so.
fn note_dropped(catalog: &Catalog, dropped: &[(TaskId, TaskId)]) {
    const NAMED: usize = 10;
    for (task, dependency) in dropped.iter().take(NAMED) {
        let (task, dependency) = (catalog.name(*task), catalog.name(*dependency));
        let note = format!("`{task}` does not wait for `{dependency}`, which is not selected");
        say(&format!("tdrun: note: {}\n", tdrun::error::escape(&note)));
    }
    if let Some(more @ 1..) = dropped.len().checked_sub(NAMED) {
        say(&format!("tdrun: note: and {more} more\n"));
    }
}

/// Libraries whose panics end the process, where tasks of theirs run in it.
fn note_aborting(catalog: &Catalog, planned: &[TaskId], which: Which) {
    let runs_here = |task: TaskRef<'_>| match which {
        Which::All | Which::Auto => false,
        Which::Asking => !task.options().isolate,
        Which::Never => true,
    };
    for (index, library) in catalog.libraries.iter().enumerate() {
        let mut tasks = planned.iter().map(|&id| catalog.task(id));
        if library.aborts && tasks.any(|task| task.library().index() == index && runs_here(task)) {
            let path = tdrun::error::escape(&library.path);
            say(&format!(
                "tdrun: note: `{path}` was built with panic=abort: a panic in it ends the process; \
                 --isolate=auto runs its tasks in processes of their own\n"
            ));
        }
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        say(&format!(
            "tdrun: warning: {}\n",
            tdrun::error::escape(warning)
        ));
    }
}

/// Prints an error; the status that belongs to it.
fn report(error: &anyhow::Error) -> Exit {
    let Some(error) = error.downcast_ref::<Error>() else {
        let bug = Error::new("internal", format!("{error:#}"));
        say(&format!("tdrun: {bug}\n"));
        return Exit::Bug;
    };
    say(&format!("tdrun: {error}\n"));
    error.exit()
}

/// What tdrun itself gets wrong must not look like a failure of a task, and must not hang.
fn leave_as_bug(panic: &PanicHookInfo<'_>) {
    let bug = Error::new("internal", format!("this is a bug in tdrun: {panic}"));
    say(&format!("tdrun: {bug}\n"));
    leave(Exit::Bug, true)
}

/// Where stderr cannot be written, there is nobody left to tell.
fn say(text: &str) {
    let _ = STDERR.print_now(text);
}
