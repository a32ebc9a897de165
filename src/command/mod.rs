//! External programs as actions: run one, keep what it writes, and end it with all that it has started.
//!
//! Knows processes, pipes and signals; of tdrun only what a task is and what it may ask of its host.

mod group;
mod kept;
mod launch;
#[cfg(test)]
mod tests;
mod watch;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use signal_hook::low_level::signal_name;

use crate::task::{Action, Ending, Failure, Host, Json};
use group::Group;
use launch::Launch;
use watch::watch;

/// The exit status of a program that skips itself.
const SKIP: i32 = 77;
/// What a failure shows of the output: so many lines at the end,
const LINES_SHOWN: usize = 20;
/// and not more than so many bytes of them.
const BYTES_SHOWN: usize = 4 << 10;
/// What a reason to skip may have, in bytes.
const REASON_MAX: usize = 1 << 10;

/// A program to run. `[x]` in all of its texts but the names of variables stands for the task's parameter of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to run.
    pub program: Program,
    /// Where it runs; relative to where tdrun was started, which is also where it runs where this is missing.
    pub cwd: Option<Box<str>>,
    /// Added to the environment of tdrun; without a value: taken out of it.
    pub env: Vec<(Box<str>, Option<Box<str>>)>,
    /// An exit status other than 0 is a failure.
    pub check: bool,
}

/// How a program is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// By its file, looked up in PATH where it has no slash, and its arguments. A relative path with a slash starts where the
    /// program runs.
    Exec(Vec<Box<str>>),
    /// By a text for `/bin/sh -c`. The values of parameters become part of the text as they are, not quoted.
    Shell(Box<str>),
}

/// Runs the program, on the thread of the call, until it has ended.
///
/// What it has started and left behind stays, and is not waited for, unless the task is asked to stop.
pub fn action(command: Command) -> Action {
    // Now, as a task may leave this folder later.
    let here = std::env::current_dir().ok();
    Arc::new(move |caller| run(&command, here.as_deref(), caller.host()))
}

fn run(command: &Command, here: Option<&Path>, host: &Arc<dyn Host>) -> Ending {
    let outcome = Launch::new(command, here, host.arguments())
        .and_then(|launch| execute(&launch, host).map(|ended| (launch, ended)));
    match outcome {
        Ok((launch, Some(ended))) => ending(&launch, ended, command.check),
        Ok((_, None)) => Ending::failed("stopped before it was started"),
        Err(why) => Ending::failed(why),
    }
}

/// A program that has ended.
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs it to its end; nothing where the task was asked to stop before.
fn execute(launch: &Launch, host: &Arc<dyn Host>) -> Result<Option<Ended>, String> {
    let lost = |error| format!("task.spawn: {}", launch::reason(&error));
    let group = Arc::new(Group::new().map_err(lost)?);
    let asked = Arc::clone(&group);
    host.when_cancelled(Box::new(move |cancel| asked.cancel(cancel)));
    let Some(spawned) = group.spawn(&mut launch.command(group.mark())) else {
        return Ok(None);
    };
    let mut child = spawned.map_err(|error| launch.explain(&error))?;
    let watched = watch(&mut child, &group, host.grace());
    if watched.is_err() {
        group.kill();
    }
    let status = group.reap(&mut child);
    let [stdout, stderr] = watched.map_err(lost)?;
    Ok(Some(Ended {
        // Where SIGCHLD is ignored, or a library waits for any child, it is gone.
        status: status.map_err(|_| "its exit status went to somebody else")?,
        stdout: stdout.into_text(),
        stderr: stderr.into_text(),
    }))
}

fn ending(launch: &Launch, ended: Ended, check: bool) -> Ending {
    let Ended {
        status,
        stdout,
        stderr,
    } = ended;
    let signal = status.signal();
    if status.code() == Some(SKIP) {
        return Ending::Skipped(
            first_line(&stderr)
                .or(first_line(&stdout))
                .unwrap_or_default(),
        );
    }
    let passed = status.success() || (signal.is_none() && !check);
    let message = (!passed).then(|| message(status, &stdout, &stderr));
    let result = result(launch, status, stdout, stderr);
    match message {
        None => Ending::Passed(Some(result)),
        Some(message) => Ending::Exited {
            crashed: signal.is_some(),
            failure: Failure {
                message: message.into(),
                place: None,
            },
            result: Some(result),
        },
    }
}

/// JSON text as it is compared: serde's maps are sorted.
fn result(launch: &Launch, status: ExitStatus, stdout: String, stderr: String) -> Json {
    let returncode = status.code().or(status.signal().map(|signal| -signal));
    let members = [
        ("command", launch.text().into()),
        ("cwd", launch.cwd().into()),
        ("returncode", returncode.into()),
        ("shell", launch.is_shell().into()),
        ("stderr", stderr.into()),
        ("stdout", stdout.into()),
    ];
    let members = members.map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value));
    serde_json::Value::Object(members.into_iter().collect())
        .to_string()
        .into()
}

/// How it ended, and the last that it said.
fn message(status: ExitStatus, stdout: &str, stderr: &str) -> String {
    let mut message = match status.signal() {
        None => format!("exited with status {}", status.code().unwrap_or_default()),
        Some(signal) => {
            let name = signal_name(signal).map_or(format!("signal {signal}"), str::to_owned);
            let core = if status.core_dumped() {
                " (core dumped)"
            } else {
                ""
            };
            format!("killed by {name}{core}")
        }
    };
    let said = [stderr, stdout].map(last_lines);
    if let Some(said) = said.iter().find(|said| !said.is_empty()) {
        message.push('\n');
        message.push_str(said);
    }
    message
}

/// The first line that is not blank.
fn first_line(text: &str) -> Option<Box<str>> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let fits = |at: &usize| line.is_char_boundary(*at);
    let end = (0..=REASON_MAX.min(line.len())).rev().find(fits)?;
    Some(line[..end].into())
}

/// The end of a text, from the beginning of a line on where one is short enough.
fn last_lines(text: &str) -> &str {
    let text = text.trim_end();
    let start = text.len().saturating_sub(BYTES_SHOWN);
    let fits = |at: &usize| text.is_char_boundary(*at);
    let start = (start..=text.len()).find(fits).unwrap_or_default();
    let mut shown = &text[start..];
    if start > 0 && !text[..start].ends_with('\n') {
        shown = shown.split_once('\n').map_or(shown, |(_, rest)| rest);
    }
    let line = shown.rmatch_indices('\n').nth(LINES_SHOWN - 1);
    line.map_or(shown, |(at, _)| &shown[at + 1..])
}
