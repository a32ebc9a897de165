//! What the user typed → options. Arguments as typed and options as resolved are two types; the program sees only these.
//!
//! Only this room knows clap. It reads no file and loads nothing.

mod args;
mod limits;
mod words;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use args::Args;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use crate::error::{Error, Result};
use crate::graph::{GraphFormat, ListFormat};
use crate::isolate::{Isolation, Under, Which};
use crate::plan::Rules;
use crate::report::{Display, ShowOutput, View};
use crate::run::Limits;
use crate::stream::ColorChoice;
use crate::target::Target;

/// What is to be done.
pub enum Command {
    /// Print this and be done.
    Print(String),
    /// Run, or look.
    Run(Box<Options>),
}

/// The options, checked and resolved.
pub struct Options {
    /// Never empty.
    pub targets: Vec<Target>,
    /// Only tasks that carry all of these.
    pub tags: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
    /// And what they come after.
    pub with_deps: bool,
    /// State keys of the command line, those of `--set` last; the later ones win.
    pub state: Vec<(String, String)>,
    /// A file with more.
    pub state_file: Option<PathBuf>,
    /// Tasks with the results given for them.
    pub results: Vec<(String, String)>,
    /// What gives state and results, as typed, for commands to type again.
    pub typed: Vec<String>,
    /// How many threads; none means as many as are useful.
    pub workers: Option<NonZeroUsize>,
    /// When to skip and when to stop.
    pub rules: Rules,
    /// How long things may take, and how often they are tried.
    pub limits: Limits,
    /// Which tasks run in processes of their own, and how those are started.
    pub isolation: Isolation,
    /// Where the journal of the run is kept.
    pub journal: Option<PathBuf>,
    /// The journal of a run to take up.
    pub resume: Option<Resume>,
    /// What to look at instead of running.
    pub look: Option<Look>,
    /// What to show of the run.
    pub view: View,
    /// What is worth a word, but no error.
    pub warnings: Vec<String>,
}

/// A run to take up.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Its journal.
    pub path: PathBuf,
    /// What has changed since runs again; otherwise it is refused.
    pub changed: bool,
}

/// Ways to look that run nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// `--graph`
    Graph(GraphFormat),
    /// `--list`
    List(ListFormat),
    /// `--dry-run`
    Order,
}

/// More threads than this are taken for a slip.
const WORKERS_LIMIT: usize = 1024;

/// Reads the command line, program name first. Errors: `usage.…` and `state.reserved`.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let command = Args::command();
    let (rest, mut assignments) = words::sort(words, &option_names(&command))?;
    let args = match command
        .try_get_matches_from(rest)
        .and_then(|mut matches| Args::from_arg_matches_mut(&mut matches))
    {
        Ok(args) => args,
        Err(error) => return from_clap(&error),
    };
    for word in &args.set {
        assignments.take_set(word)?;
    }
    if let Some(path) = &args.state_file {
        assignments
            .typed
            .push(format!("--state-file={}", path.display()));
    }
    refuse_detached(&args)?;
    let targets = args
        .targets
        .iter()
        .map(|word| Target::parse(word))
        .collect::<Result<_>>()?;
    let max_fail = args.max_fail.as_deref().map(max_fail).transpose()?;
    Ok(Command::Run(Box::new(Options {
        targets,
        tags: words_of(&args.tags),
        exclude: words_of(&args.exclude),
        with_deps: args.with_deps,
        workers: args.workers.as_deref().map(workers).transpose()?,
        limits: limits::limits(&args)?,
        rules: Rules {
            skip_deps: !args.no_skip_deps,
            max_fail: if args.fail_fast {
                Some(NonZeroUsize::MIN)
            } else {
                max_fail
            },
            retries: args.retries.as_deref().map(limits::retries).transpose()?,
            once: None,
        },
        isolation: isolation(&args)?,
        journal: args.journal.clone(),
        resume: args.resume.clone().map(|path| Resume {
            path,
            changed: args.resume_changed,
        }),
        look: look(&args),
        view: view(&args),
        state_file: args.state_file,
        state: assignments.state,
        results: assignments.results,
        typed: assignments.typed,
        warnings: assignments.warnings,
    })))
}

/// The long names that are options; `--KEY` and `--result-NAME` stand in the help only.
fn option_names(command: &clap::Command) -> Vec<String> {
    let args = command.get_arguments();
    let longs = args.flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default());
    let names = longs.filter(|name| !matches!(*name, "KEY" | "result-NAME"));
    names
        .chain(["help", "version"])
        .map(str::to_owned)
        .collect()
}

/// `--isolate auto`: the value of an option that needs none stands behind a `=`, else it is taken for a library.
fn refuse_detached(args: &Args) -> Result<()> {
    let choices: [(bool, &str, &[&str]); 3] = [
        (args.isolate.is_some(), "isolate", &["all", "auto", "never"]),
        (
            args.graph.is_some(),
            "graph",
            &["text", "dot", "mermaid", "json"],
        ),
        (args.list.is_some(), "list", &["text", "json"]),
    ];
    for (_, option, values) in choices.iter().filter(|(is_given, ..)| *is_given) {
        let mut targets = args.targets.iter().filter_map(|target| target.to_str());
        if let Some(value) = targets.find(|target| values.contains(target)) {
            let message = format!("`{value}` stands where a library is expected");
            let error = Error::new("usage.value", message);
            return Err(error.hint(format!(
                "write `--{option}={value}`, or `./{value}` for a library"
            )));
        }
    }
    Ok(())
}

/// clap's help is a text to print; its errors become one of ours, with the first line of what it says.
fn from_clap(error: &clap::Error) -> Result<Command> {
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Ok(Command::Print(text));
    }
    let (id, message) = match error.kind() {
        ErrorKind::MissingRequiredArgument => ("usage.target", "no library to run".to_owned()),
        ErrorKind::ArgumentConflict => ("usage.conflict", first_line(&text)),
        ErrorKind::UnknownArgument => ("usage.option", first_line(&text)),
        _ => ("usage.value", first_line(&text)),
    };
    let values = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("[possible values: "));
    let error = Error::new(id, message);
    let error = match values {
        Some(values) => error.hint(format!("it takes {}", values.trim_end_matches(']'))),
        None => error,
    };
    Err(error
        .hint("usage: tdrun [OPTIONS] [--KEY=VALUE]... <LIBRARY[::SELECTOR]>...")
        .hint("`tdrun -h` shows the options"))
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.replace('\'', "`").replace("; possible values:", "")
}

fn workers(word: &str) -> Result<NonZeroUsize> {
    let number = word
        .parse()
        .ok()
        .filter(|n: &NonZeroUsize| n.get() <= WORKERS_LIMIT);
    number.ok_or_else(|| {
        let message = format!("`--workers` takes a number from 1 to {WORKERS_LIMIT}, not `{word}`");
        Error::new("usage.workers", message)
    })
}

fn max_fail(word: &str) -> Result<NonZeroUsize> {
    word.parse().map_err(|_| {
        let message = format!("`--max-fail` takes a number from 1 on, not `{word}`");
        Error::new("usage.max-fail", message)
    })
}

fn words_of(list: &[String]) -> Vec<String> {
    let words = list.iter().map(|word| word.trim());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn isolation(args: &Args) -> Result<Isolation> {
    if args.isolate == Some(args::Isolate::Never) && args.run_under.is_some() {
        let message = "the argument `--isolate=never` cannot be used with `--run-under`";
        return Err(Error::new("usage.conflict", message)
            .hint("a command can only stand before tasks that have processes of their own"));
    }
    let which = match args.isolate {
        None if args.run_under.is_some() => Which::All,
        None => Which::Asking,
        Some(args::Isolate::All) => Which::All,
        Some(args::Isolate::Auto) => Which::Auto,
        Some(args::Isolate::Never) => Which::Never,
    };
    let under = match (&args.run_under, &args.debugger) {
        (Some(text), _) => Some(Under::Prefix(command(text, "--run-under")?)),
        (None, Some(text)) => Some(Under::Debugger(command(text, "--debugger")?)),
        (None, None) => None,
    };
    Ok(Isolation { which, under })
}

/// A command and its arguments, never empty.
fn command(text: &str, option: &str) -> Result<Vec<String>> {
    let words = shlex::split(text).filter(|words| !words.is_empty());
    words.ok_or_else(|| {
        let message = format!("`{option}` takes a command, as in a shell, not `{text}`");
        Error::new("usage.command", message)
    })
}

fn look(args: &Args) -> Option<Look> {
    let graph = args.graph.map(|format| {
        Look::Graph(match format {
            args::Graph::Text => GraphFormat::Text,
            args::Graph::Dot => GraphFormat::Dot,
            args::Graph::Mermaid => GraphFormat::Mermaid,
            args::Graph::Json => GraphFormat::Json,
        })
    });
    let list = args.list.map(|format| {
        Look::List(match format {
            args::List::Text => ListFormat::Text,
            args::List::Json => ListFormat::Json,
        })
    });
    graph.or(list).or(args.dry_run.then_some(Look::Order))
}

fn view(args: &Args) -> View {
    View {
        display: match (args.progress, args.viewer) {
            (true, _) => Display::Progress,
            (_, true) => Display::Viewer,
            _ => Display::Lines,
        },
        verbose: args.verbose,
        quiet: args.quiet,
        color: match args.color {
            args::Color::Auto => ColorChoice::Auto,
            args::Color::Always => ColorChoice::Always,
            args::Color::Never => ColorChoice::Never,
        },
        output: match (args.no_capture, args.show_output) {
            (true, _) => ShowOutput::Live,
            (false, args::ShowOutput::Failed) => ShowOutput::Failed,
            (false, args::ShowOutput::All) => ShowOutput::All,
            (false, args::ShowOutput::Never) => ShowOutput::Never,
        },
        log: args.log,
        junit: args.junit.clone(),
        events: args.events.clone(),
    }
}
