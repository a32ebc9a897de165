//! From options to what a run needs: the request for tasks, the state and the given results.
//!
//! Reads the state file, and nothing else from outside.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cli::Options;
use crate::error::{Error, Result};
use crate::select::Request;
use crate::state::{Results, State, read_file};
use crate::task::{Catalog, Json, LibraryId, TaskId};

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
/// Errors: `usage.result` for a name that no loaded library has, or several have.
pub fn results(
    options: &Options,
    catalog: &Catalog,
    planned: &[TaskId],
) -> Result<(Results, Vec<String>)> {
    let (results, mut warnings) = (Results::default(), Vec::new());
    if options.results.is_empty() {
        return Ok((results, warnings));
    }
    let mut by_name: HashMap<&str, Vec<TaskId>> = HashMap::new();
    for id in catalog.ids() {
        by_name.entry(&catalog.task(id).name).or_default().push(id);
    }
    for (name, value) in &options.results {
        let task = find(catalog, &by_name, name)?;
        results.set(task, string(value));
        if planned.contains(&task) {
            let warning =
                format!("`{name}` runs itself: its result replaces that of `--result-{name}`");
            warnings.push(warning);
        }
    }
    Ok((results, warnings))
}

fn find(catalog: &Catalog, by_name: &HashMap<&str, Vec<TaskId>>, name: &str) -> Result<TaskId> {
    let plain = by_name.get(name).map_or(&[][..], Vec::as_slice);
    let qualified = name.split_once("::").and_then(|(library, name)| {
        let mut ids = by_name.get(name)?.iter().copied();
        ids.find(|id| catalog.library(*id).name == library)
    });
    match (plain, qualified) {
        (&[id], _) | ([], Some(id)) => Ok(id),
        ([], None) => {
            let error = Error::new("usage.result", format!("`--result-{name}` names no task"));
            Err(error.suggest(name, by_name.keys().copied()))
        }
        ([first, ..], _) => {
            let message = format!("`--result-{name}` names a task of several libraries");
            let hint = format!("write `--result-{}=VALUE`", catalog.name(*first));
            Err(Error::new("usage.result", message).hint(hint))
        }
    }
}

/// A string as JSON.
fn string(text: &str) -> Json {
    Arc::from(serde_json::Value::from(text).to_string())
}
