//! The command line as typed. clap's derive is the one text behind `-h`, `--help` and the parser.
//!
//! Knows nothing of what the words lead to.

// The doc comments are the help's text, where backticks would only stand in the way; and switches are bools.
#![allow(clippy::doc_markdown, clippy::struct_excessive_bools)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

const SELECT: &str = "Select";
const STATE: &str = "State and results";
const RUN: &str = "Run";
const TIME: &str = "Retries and time";
const PROCESSES: &str = "Processes";
const LOOK: &str = "Look, run nothing";
const SHOW: &str = "Show";

/// Run the tasks of a shared library as a dependency graph, in parallel
///
/// tdrun loads shared libraries, reads the tables of tasks that they export, and runs the tasks on a pool of threads: a task
/// after those that it names, and only if they passed.
#[derive(Parser, Debug)]
#[command(
    name = "tdrun",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    override_usage = "tdrun [OPTIONS] [--KEY=VALUE]... <LIBRARY[::SELECTOR]>...",
    after_help = "Exit status: 0 all passed, 1 something did not, 2 bad command line, 128+n signal n. More: --help",
    after_long_help = "\
Examples:
  tdrun target.so                                run everything
  tdrun lib.so::fn_b --result-fn_a=x             one task, the result of its dependency made up
  tdrun lib.so::'test_*' --with-deps             the tasks of a glob, and all that they come after
  tdrun lib.so --tags=smoke --env=dev            a filter, and state for the library's setup
  tdrun lib.so --graph                           look before you run

While it runs:
  Ctrl-C stops in order, a second one leaves within a second, a third one at once. Ctrl-Z stops it for a while.
  `t` on a terminal, or SIGUSR1, shows what runs.

Exit status:
  0      the run reached its end, every selected task passed or skipped itself, every output was written
  1      something asked for did not succeed: a task, a library, the graph, a state file; or nothing matched
  2      the command line is wrong; nothing was run
  70     a bug in tdrun
  74     an output could not be written; all tasks passed, or none was started
  128+n  stopped by signal n (130: Ctrl-C)"
)]
pub(super) struct Args {
    /// Libraries, each with a task's name or a glob over names: lib.so, lib.so::name, lib.so::'test_*'
    ///
    /// What stands behind the first `::` selects tasks by their name, or by a glob (`*`, `?`, `[ab]`, `{a,b}`). Several
    /// targets add up. A selected task runs without its dependencies, unless they are selected too; see --with-deps. A
    /// selector that matches nothing is an error.
    #[arg(value_name = "LIBRARY[::SELECTOR]", required = true)]
    pub(super) targets: Vec<OsString>,

    /// Only tasks that carry all of these tags
    ///
    /// Applied before selectors. Dependencies on tasks without the tags are dropped.
    #[arg(long, value_name = "TAG,...", value_delimiter = ',', help_heading = SELECT)]
    pub(super) tags: Vec<String>,

    /// Not the tasks of these names or globs
    #[arg(long, value_name = "GLOB,...", value_delimiter = ',', help_heading = SELECT)]
    pub(super) exclude: Vec<String>,

    /// Also all that the selected tasks come after
    ///
    /// Pulls in dependencies, and theirs, whatever tags they carry; not those that --exclude names.
    #[arg(long, help_heading = SELECT)]
    pub(super) with_deps: bool,

    /// Set a state key to a string
    ///
    /// Any --KEY=VALUE that is no option of tdrun sets the state key KEY, for example --env=dev. Tasks and the library's
    /// setup read it. Values are strings; a task that wants a number or an object finds it inside the string. For keys that
    /// collide with an option there is --set. Keys that begin with `_`, and `results`, are reserved.
    // Only for the help: these words are taken out before clap sees them.
    #[arg(long = "KEY", value_name = "VALUE", require_equals = true, help_heading = STATE)]
    pub(super) key: Option<String>,

    /// Set a state key whose name is also an option's
    #[arg(long, value_name = "KEY=VALUE", help_heading = STATE, hide_short_help = true)]
    pub(super) set: Vec<OsString>,

    /// Take state from a file that holds a JSON object
    ///
    /// Keys of the command line win over those of the file; what the library's setup sets wins over both.
    #[arg(long, value_name = "FILE", help_heading = STATE)]
    pub(super) state_file: Option<PathBuf>,

    /// Give the result of a task that does not run
    ///
    /// Dependents of NAME find VALUE where they look for its result. Where NAME is selected too, it runs, and what it
    /// returns replaces VALUE.
    // Only for the help, as --KEY is.
    #[arg(long = "result-NAME", value_name = "VALUE", require_equals = true, help_heading = STATE)]
    pub(super) result: Option<String>,

    /// How many tasks run at the same time
    ///
    /// By default the number of processors, of tasks, or 8, whichever is smallest. With 1 the order is exactly that of
    /// --dry-run.
    #[arg(short = 'j', long, visible_alias = "jobs", value_name = "N", allow_hyphen_values = true, help_heading = RUN)]
    pub(super) workers: Option<String>,

    /// Stop starting tasks after the first failure
    #[arg(short = 'x', long, conflicts_with = "max_fail", help_heading = RUN)]
    pub(super) fail_fast: bool,

    /// Stop starting tasks after N failures
    #[arg(long, value_name = "N", help_heading = RUN, hide_short_help = true)]
    pub(super) max_fail: Option<String>,

    /// Skip what comes after a task that did not pass: the default
    #[arg(long, overrides_with = "no_skip_deps", help_heading = RUN, hide_short_help = true)]
    pub(super) skip_deps: bool,

    /// Run what comes after a task that did not pass, too
    ///
    /// Without it such tasks are skipped, and what comes after them.
    #[arg(long, overrides_with = "skip_deps", help_heading = RUN)]
    pub(super) no_skip_deps: bool,

    /// Keep a journal of the run in FILE
    ///
    /// With it a run that did not come to its end can be taken up again: see --resume.
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub(super) journal: Option<PathBuf>,

    /// Take up the run of a journal where it stood
    ///
    /// Tasks that passed stay so, with their results; all others run. The journal goes on in the same file. Refused where a
    /// library or the graph is another one than then; see --resume-changed.
    #[arg(long, value_name = "FILE", conflicts_with = "journal", help_heading = RUN)]
    pub(super) resume: Option<PathBuf>,

    /// With --resume: what has changed runs again
    ///
    /// The tasks of libraries that are not the same any more, and what comes after them.
    #[arg(long, requires = "resume", help_heading = RUN, hide_short_help = true)]
    pub(super) resume_changed: bool,

    /// How often any task that fails is tried again
    ///
    /// Replaces what the tasks themselves declare; 0 means never. A task that passes only then is flaky: see --flaky.
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = TIME)]
    pub(super) retries: Option<String>,

    /// How a task counts that passes only after a retry [default: pass]
    ///
    /// It is named in any case. With `fail` the exit status is 1.
    #[arg(long, value_name = "pass|fail", default_value = "pass", hide_possible_values = true, hide_default_value = true, help_heading = TIME, hide_short_help = true)]
    pub(super) flaky: Flaky,

    /// How long a task may take that declares no timeout (30s, 1h30m)
    ///
    /// After it a task is asked to stop, and has timed out however it ends;
    /// see --grace. Times are written with units, for example 200ms, 30s, 2m or 1h30m.
    #[arg(long, value_name = "DUR", allow_hyphen_values = true, help_heading = TIME)]
    pub(super) timeout: Option<String>,

    /// How long the run may take
    ///
    /// After it no further task is started, those that run are asked to stop, and the exit status is 1.
    #[arg(long, value_name = "DUR", allow_hyphen_values = true, help_heading = TIME, hide_short_help = true)]
    pub(super) run_timeout: Option<String>,

    /// How long a task may take to stop when asked to [default: 10s]
    ///
    /// Then its process is killed, with all that it has started. A task in a thread is given up: its thread is left behind, and
    /// the locks that it holds are never given back. 0 means at once.
    #[arg(long, value_name = "DUR", allow_hyphen_values = true, help_heading = TIME)]
    pub(super) grace: Option<String>,

    /// Name tasks that run longer than DUR [default: 60s]
    ///
    /// Each is named again after each further DUR. 0 means never.
    #[arg(long, value_name = "DUR", allow_hyphen_values = true, help_heading = TIME, hide_short_help = true)]
    pub(super) slow: Option<String>,

    /// Run each task in a process of its own: all, auto or never
    ///
    /// Without a word it is `all`. `auto` means tasks that have a timeout, that ask for it, or whose library ends the process
    /// when it panics. `never` means none, also not those that ask. Without this option it is those that ask.
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "all", hide_possible_values = true, help_heading = PROCESSES)]
    pub(super) isolate: Option<Isolate>,

    /// Start each task's process with this command (valgrind, strace)
    ///
    /// The command and its arguments as in a shell, without variables and globs; what it starts is added to them. Means
    /// --isolate. What the task tells counts, and not the status of the command.
    #[arg(long, value_name = "COMMAND", conflicts_with = "debugger", help_heading = PROCESSES)]
    pub(super) run_under: Option<String>,

    /// Run the one selected task under a debugger ('gdb --args')
    ///
    /// First what it comes after, then it alone in a process under the debugger, with the terminal, and without a timeout.
    #[arg(long, value_name = "COMMAND", help_heading = PROCESSES)]
    pub(super) debugger: Option<String>,

    /// Print the graph: text, dot, mermaid or json
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text", hide_possible_values = true, help_heading = LOOK, group = "look")]
    pub(super) graph: Option<Graph>,

    /// Print the selected tasks: text or json
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text", hide_possible_values = true, help_heading = LOOK, group = "look")]
    pub(super) list: Option<List>,

    /// Print the order in which one worker would run the tasks
    #[arg(long, help_heading = LOOK, group = "look")]
    pub(super) dry_run: bool,

    /// Show a progress bar
    #[arg(long, conflicts_with_all = ["verbose", "viewer"], help_heading = SHOW)]
    pub(super) progress: bool,

    /// Show what each worker does, live
    #[arg(long, conflicts_with = "verbose", help_heading = SHOW)]
    pub(super) viewer: bool,

    /// Show more: starts, debug records, durations
    #[arg(short, long, conflicts_with = "quiet", help_heading = SHOW)]
    pub(super) verbose: bool,

    /// Show failures and the summary only
    #[arg(short, long, help_heading = SHOW)]
    pub(super) quiet: bool,

    /// Whose output to show: failed, all or never [default: failed]
    ///
    /// For tasks that run in processes of their own; the output of all others goes where tdrun's own goes. That of a task that
    /// did not pass stands with the failures at the end, that of others below their names: the last 200 lines. --junit
    /// has a mebibyte of it, --events all of it.
    #[arg(long, value_name = "WHOSE", default_value = "failed", hide_possible_values = true, hide_default_value = true, help_heading = SHOW)]
    pub(super) show_output: ShowOutput,

    /// Show the output of tasks as it comes, line by line
    ///
    /// As `[thread_0] name | text`, and with `!` for what goes to standard error. For tasks that run in processes of their own.
    #[arg(long, conflicts_with = "show_output", help_heading = SHOW)]
    pub(super) no_capture: bool,

    /// Colours: auto, always or never
    ///
    /// `auto` means on terminals, unless NO_COLOR is set; CLICOLOR_FORCE turns them on elsewhere.
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true, hide_default_value = true, help_heading = SHOW, hide_short_help = true)]
    pub(super) color: Color,

    /// Write log files too: tdrun_main.log, tdrun_thread_0.log, ...
    #[arg(long, action = ArgAction::SetTrue, help_heading = SHOW, hide_short_help = true)]
    pub(super) log: bool,

    /// Write a JUnit report
    #[arg(long, value_name = "FILE", help_heading = SHOW)]
    pub(super) junit: Option<PathBuf>,

    /// Write what happens as JSON Lines; `-` is stdout
    #[arg(long, value_name = "FILE", help_heading = SHOW)]
    pub(super) events: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolate {
    All,
    Auto,
    Never,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum ShowOutput {
    Failed,
    All,
    Never,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Graph {
    Text,
    Dot,
    Mermaid,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum List {
    Text,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaky {
    Pass,
    Fail,
}
