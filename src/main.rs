//! tdrun: the story in a handful of statements, and the one place that prints an error and ends the process.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, LazyLock};

use tdrun::cli::{self, Command};
use tdrun::error::Error;
use tdrun::exit::Exit;
use tdrun::graph::{Graph, Links};
use tdrun::library::{self, exit};
use tdrun::report::Reporters;
use tdrun::run::{Alarm, Run};
use tdrun::stream::{self, Stream};
use tdrun::task::{Catalog, TaskId};
use tdrun::{interrupt, look, select, start};

/// Where `say` speaks: taken before a library can close or move it.
static STDERR: LazyLock<Stream> = LazyLock::new(Stream::stderr);

fn main() {
    panic::set_hook(Box::new(leave_as_bug));
    LazyLock::force(&STDERR);
    let end = story().unwrap_or_else(|error| End::at(report(&error)));
    exit::leave(end.exit, end.abandoned)
}

/// From the words of the command line to the status of the process.
fn story() -> anyhow::Result<End> {
    let options = match cli::parse(std::env::args_os())? {
        Command::Print(text) => {
            return print(Stream::stdout(), |out| out.write_all(text.as_bytes()));
        }
        Command::Run(options) => *options,
    };
    warn(&options.warnings);
    let state = start::state(&options)?;
    stream::silence_stdin();
    let (out, err) = (Stream::stdout(), Stream::stderr());

    exit::guard(|call| say(&format!("tdrun: {}\n", exited_while_loading(call))));
    let level = options.view.level();
    let library::Shelf {
        catalog,
        targets,
        warnings,
        files,
        ..
    } = library::load_all(&options.targets, level)?;
    warn(&warnings);

    let mut links = Links::resolve(&catalog)?;
    let selection = select::select(&catalog, &mut links, &start::request(&options, &targets))?;
    if options.view.verbose {
        note_dropped(&catalog, &links.dropped(&selection));
    }
    let graph = Arc::new(Graph::new(&catalog, &links, selection)?);
    if let Some(what) = options.look {
        return print(out, |out| look::look(out, &catalog, &graph, what));
    }

    let (results, replaced) = start::results(&options, &catalog, &mut links, graph.planned())?;
    warn(&replaced);
    let mut reporters = Reporters::open(&options.view, &out, &err)?;
    let requests = interrupt::listen()?;
    let run = Run {
        catalog: Arc::new(catalog),
        links,
        graph,
        state: Arc::new(state),
        results: Arc::new(results),
        rules: options.rules,
        workers: options.workers,
        limits: options.limits,
        state_arguments: options.typed,
        last_words: Box::new(move || files.changed()),
    };
    let summary = run.execute(&mut reporters, &requests, connect);
    library::listen(None);
    let exit = match summary.exit() {
        Exit::Passed if !reporters.errors().is_empty() => Exit::Output,
        exit => exit,
    };
    Ok(End {
        exit,
        abandoned: summary.abandoned > 0,
    })
}

/// Leads what libraries do outside of tasks and hooks into the run.
fn connect(alarm: Alarm) {
    let alarm = Arc::new(alarm);
    let bell = Arc::clone(&alarm);
    exit::guard(move |call| bell.ring(&call.to_string()));
    library::listen(Some(Arc::new(move |record| alarm.hear(record))));
}

/// How the process ends.
struct End {
    exit: Exit,
    /// Threads of tasks may still run.
    abandoned: bool,
}

impl End {
    fn at(exit: Exit) -> Self {
        Self {
            exit,
            abandoned: false,
        }
    }
}

/// Prints to stdout what the user asked for. A reader who has seen enough is no error.
fn print(
    mut out: Stream,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<End> {
    write(&mut out)
        .and_then(|()| out.flush())
        .map_err(|error| {
            Error::new(
                "io.output",
                format!("cannot write to standard output: {error}"),
            )
        })?;
    Ok(End::at(Exit::Passed))
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

fn exited_while_loading(call: exit::EarlyExit) -> Error {
    Error::new(
        "load.exit",
        format!("a library called `{call}` while it was being loaded"),
    )
}

/// What tdrun itself gets wrong must not look like a failure of a task, and must not hang.
fn leave_as_bug(panic: &PanicHookInfo<'_>) {
    let bug = Error::new("internal", format!("this is a bug in tdrun: {panic}"));
    say(&format!("tdrun: {bug}\n"));
    exit::leave(Exit::Bug, true)
}

/// Where stderr cannot be written, there is nobody left to tell.
fn say(text: &str) {
    let _ = STDERR.print_now(text);
}
