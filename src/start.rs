//! From options to what a run needs: the request for tasks, the state and the given results.
//!
//! Reads the state file, opens the journal, looks whether programs are there, and asks nothing else from outside.

pub mod journal;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::cli::Options;
use crate::error::{Error, Result};
use crate::graph::Links;
use crate::isolate::Under;
use crate::select::Request;
use crate::state::{Results, State, read_file};
use crate::task::{Catalog, Json, LibraryId, TaskId, TaskRef};

/// The selection that the options ask for; `libraries` are those of the targets, in their order.
pub fn request(options: &Options, libraries: &[LibraryId]) -> Request {
    let targets = libraries.iter().zip(&options.targets);
    Request {
        targets: targets
            .map(|(library, target)| (*library, target.selector.clone()))
            .collect(),
        tags: options.tags.clone(),
        exclude: options.exclude.clone(),
        with_deps: options.with_deps,
    }
}

/// The task of a selection that is to be looked into.
///
/// Errors: `usage.debugger` where there are several, or it runs a program.
pub fn looked_into(catalog: &Catalog, selection: &[TaskId]) -> Result<TaskId> {
    let error = |message| Error::new("usage.debugger", message);
    match *selection {
        [task] if catalog.task(task).is_program() => {
            let name = catalog.name(task);
            let message = format!("`--debugger` looks into functions, and `{name}` runs a program");
            Err(error(message))
        }
        [task] => Ok(task),
        _ => {
            let count = selection.len();
            let message = format!("`--debugger` looks into one task, and {count} are selected");
            Err(error(message).hint("select it by its name: `lib.so::task`"))
        }
    }
}

/// Looks whether the program is there that tasks are to be run under.
///
/// Errors: `usage.program`. Later, each task would fail.
pub fn program(options: &Options) -> Result<()> {
    let (option, words) = match &options.isolation.under {
        Some(Under::Prefix(words)) => ("--run-under", words),
        Some(Under::Debugger(words)) => ("--debugger", words),
        None => return Ok(()),
    };
    let (Some(program), Some(path)) = (words.first(), std::env::var_os("PATH")) else {
        return Ok(());
    };
    let is_program = |file: &Path| {
        let file = file.metadata().ok().filter(std::fs::Metadata::is_file);
        file.is_some_and(|file| file.permissions().mode() & 0o111 != 0)
    };
    let is_there = if program.contains('/') {
        is_program(Path::new(program))
    } else {
        std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
    };
    if is_there {
        return Ok(());
    }
    let message = format!("there is no program `{program}` for `{option}`");
    Err(Error::new("usage.program", message).hint("is it installed, and in PATH?"))
}

/// The state before setup: the file's, and over it the command line's, whose values are strings.
pub fn state(options: &Options) -> Result<State> {
    let state = State::default();
    if let Some(path) = &options.state_file {
        for (key, value) in read_file(path)? {
            let set = state.set(&key, Some(value));
            debug_assert!(set.is_ok(), "reserved keys were refused");
        }
    }
    for (key, value) in &options.state {
        state.give(key, string(value));
    }
    Ok(state)
}

/// The results given with `--result-NAME=VALUE`, and warnings of those that will be replaced because the task itself runs.
///
/// Makes the tasks of templates that are named. Errors: `usage.result` for a name that no loaded library has, or several
/// have, or that does not fit its template.
pub fn results(
    options: &Options,
    catalog: &Catalog,
    links: &mut Links,
    planned: &[TaskId],
) -> Result<(Results, Vec<String>)> {
    let (results, mut warnings) = (Results::default(), Vec::new());
    if options.results.is_empty() {
        return Ok((results, warnings));
    }
    for (name, value) in &options.results {
        let task = find(catalog, links, name)?;
        results.set(task, string(value));
        if planned.binary_search(&task).is_ok() {
            let warning =
                format!("`{name}` runs itself: its result replaces that of `--result-{name}`");
            warnings.push(warning);
        }
    }
    Ok((results, warnings))
}

/// A task of that name in one library, or `library::task`; also one that a template makes.
fn find(catalog: &Catalog, links: &mut Links, name: &str) -> Result<TaskId> {
    let qualified = name.split_once("::").and_then(|(library, name)| {
        let library = catalog.libraries.iter().position(|l| l.name == library)?;
        Some((LibraryId::new(library), name))
    });
    let libraries = || (0..catalog.libraries.len()).map(LibraryId::new);
    let by_name = libraries().filter_map(|library| links.get(catalog, library, name));
    let mut found: Vec<_> = by_name.collect();
    if found.is_empty() {
        let task = qualified.and_then(|(library, name)| links.find(catalog, library, name));
        found.extend(task);
    }
    if found.is_empty() {
        let all = libraries().map(|library| (library, name));
        found = made(catalog, links, all.chain(qualified))?;
    }
    match *found {
        [id] => Ok(id),
        [] => {
            let error = Error::new("usage.result", format!("`--result-{name}` names no task"));
            Err(error.suggest(name, catalog.tasks().map(TaskRef::name)))
        }
        [first, ..] => {
            let message = format!("`--result-{name}` names a task of several libraries");
            let (library, task) = (&catalog.library(first).name, catalog.task(first).name());
            let hint = format!("write `--result-{library}::{task}=VALUE`");
            Err(Error::new("usage.result", message).hint(hint))
        }
    }
}

/// The tasks that templates make of a name in some libraries; where there are none, what is wrong with the name.
fn made<'a>(
    catalog: &Catalog,
    links: &mut Links,
    names: impl Iterator<Item = (LibraryId, &'a str)>,
) -> Result<Vec<TaskId>> {
    let (mut made, mut wrong) = (Vec::new(), None);
    for (library, name) in names {
        match links.given(catalog, library, name) {
            Ok(task) => made.extend(task),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    match wrong {
        Some(error) if made.is_empty() => Err(error),
        _ => Ok(made),
    }
}

/// A string as JSON.
fn string(text: &str) -> Json {
    Arc::from(serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sketch;

    fn found(libraries: &[(&str, &str)], name: &str) -> String {
        let catalog = sketch::catalog_of(libraries);
        let mut links = Links::resolve(&catalog).unwrap();
        match find(&catalog, &mut links, name) {
            Ok(id) => format!("{}::{}", catalog.library(id).name, catalog.task(id).name()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_given_result_belongs_to_a_task_that_is_there_or_can_be_made() {
        let one = [("x", "a p::[n:u8] e::[n=1|2] y::b"), ("y", "b c")];
        for (name, expected) in [
            ("a", "x::a"),
            ("c", "y::c"),
            ("x::a", "x::a"),
            ("p::1", "x::p::1"),
            ("x::p::1", "x::p::1"),
            ("e::2", "x::e::2"),
            // The whole name first.
            ("y::b", "x::y::b"),
            (
                "aa",
                "error[usage.result]: `--result-aa` names no task\n  did you mean `a`?",
            ),
            (
                "p::z",
                "error[usage.result]: `--result-p::z`: `n` of `p::[n]` wants u8, not `z`: invalid digit found in string",
            ),
            (
                "e::3",
                "error[usage.result]: `--result-e::3`: `n` of `e::[n]` cannot be `3`\n  its choices are `1`, `2`",
            ),
        ] {
            assert_eq!(found(&one, name), expected);
        }
        let two = [("x", "a p::[n]"), ("y", "a p::[n]")];
        for (name, expected) in [
            ("y::p::1", "y::p::1"),
            (
                "a",
                "error[usage.result]: `--result-a` names a task of several libraries\n  write `--result-x::a=VALUE`",
            ),
            (
                "p::1",
                "error[usage.result]: `--result-p::1` names a task of several libraries\n  write `--result-x::p::1=VALUE`",
            ),
        ] {
            assert_eq!(found(&two, name), expected);
        }
    }
}
