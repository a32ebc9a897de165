//! The command that reruns just one task, with what it needs from the run that was.
//!
//! Knows the command line's spelling and the shell's; not whether anybody types it.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::error::escape;
use crate::event::Briefing;
use crate::task::{Json, LibraryId, TaskId};

/// Longer results are not kept for commands.
const RESULT_LIMIT: usize = 200;
/// A command longer than this lets the dependencies run again instead.
const COMMAND_LIMIT: usize = 500;

/// What the tasks of a run returned, as far as a command can carry it.
#[derive(Default)]
pub(super) struct Results(HashMap<TaskId, Option<Json>>);

impl Results {
    /// Keeps a result, or that it is too long.
    pub(super) fn keep(&mut self, task: TaskId, result: &Json) {
        let fits = result.len() <= RESULT_LIMIT;
        self.0.insert(task, fits.then(|| result.clone()));
    }
}

/// Finds tasks by what stands in `after`. Built once, at the end of a run with failures.
pub(super) struct Reruns<'a> {
    briefing: &'a Briefing,
    results: &'a Results,
    /// Made when it is first asked for: most tasks come after none.
    by_name: OnceCell<HashMap<(LibraryId, &'a str), TaskId>>,
}

impl<'a> Reruns<'a> {
    pub(super) fn new(briefing: &'a Briefing, results: &'a Results) -> Self {
        Self {
            briefing,
            results,
            by_name: OnceCell::new(),
        }
    }

    fn find(&self, library: LibraryId, name: &str) -> Option<TaskId> {
        let by_name = self.by_name.get_or_init(|| {
            let catalog = &self.briefing.catalog;
            let named = catalog.ids().map(|id| {
                let task = catalog.task(id);
                ((task.library(), task.name()), id)
            });
            named.collect()
        });
        by_name.get(&(library, name)).copied()
    }

    /// `tdrun lib.so::task --env=dev --result-x=1`, quoted for a shell and escaped for a terminal.
    pub(super) fn command(&self, task: TaskId) -> String {
        let mut words = vec!["tdrun".to_owned(), self.target(task)];
        let state = &self.briefing.state_arguments;
        if let Some(results) = self.results_for(task) {
            let command = quote(&[&words[..], state, &results].concat());
            if command.len() <= COMMAND_LIMIT {
                return command;
            }
        }
        words.extend(self.elsewhere(task));
        words.extend_from_slice(state);
        words.push("--with-deps".to_owned());
        quote(&words)
    }

    fn target(&self, task: TaskId) -> String {
        let catalog = &self.briefing.catalog;
        format!(
            "{}::{}",
            catalog.library(task).path,
            catalog.task(task).name()
        )
    }

    /// The arguments that stand for the direct dependencies, unless one has to run again.
    fn results_for(&self, task: TaskId) -> Option<Vec<String>> {
        let mut arguments = Vec::new();
        for name in self.briefing.catalog.task(task).after() {
            match self.need(task, name) {
                Need::Nothing => {}
                Need::Argument(argument) => arguments.push(argument),
                Need::Run => return None,
            }
        }
        Some(arguments)
    }

    /// The direct dependencies in other libraries, which the command has to name to have them loaded.
    fn elsewhere(&self, task: TaskId) -> impl Iterator<Item = String> {
        let after = self.briefing.catalog.task(task).after().into_iter();
        after.filter_map(move |name| match self.resolve(task, name) {
            Some((dependency, false)) => Some(self.target(dependency)),
            Some((_, true)) => None,
            None => {
                let (library, name) = self.split(name).filter(|_| is_glob(name))?;
                let own = self.briefing.catalog.task(task).library();
                let path = &self.briefing.catalog.libraries[library.index()].path;
                (library != own).then(|| format!("{path}::{name}"))
            }
        })
    }

    /// What stands for one dependency.
    fn need(&self, task: TaskId, name: &str) -> Need {
        let flag = format!("--result-{name}=");
        let given = &self.briefing.state_arguments;
        match self.resolve(task, name) {
            // Which tasks match is not known here; whether any task has left something to match is.
            None if is_glob(name) && !self.results.0.is_empty() => Need::Run,
            None => Need::Nothing,
            // What stands behind the first `=` would be the value.
            Some(_) if name.contains('=') => Need::Run,
            Some((_, false)) => Need::Run,
            Some(_) if given.iter().any(|argument| argument.starts_with(&flag)) => Need::Nothing,
            Some((dependency, true)) => match self.results.0.get(&dependency) {
                None => Need::Nothing,
                Some(None) => Need::Run,
                Some(Some(result)) => argument(flag, result),
            },
        }
    }

    /// The task that a name in `after` means, and whether it is of the same library.
    fn resolve(&self, task: TaskId, name: &str) -> Option<(TaskId, bool)> {
        let catalog = &self.briefing.catalog;
        let own = catalog.task(task).library();
        if let Some(id) = self.find(own, name) {
            return Some((id, true));
        }
        let (library, name) = self.split(name)?;
        let id = self.find(library, name)?;
        Some((id, library == own))
    }

    /// The library that a name begins with, and the rest.
    fn split<'n>(&self, name: &'n str) -> Option<(LibraryId, &'n str)> {
        let (library, name) = name.split_once("::")?;
        let mut libraries = self.briefing.catalog.libraries.iter();
        let index = libraries.position(|known| known.name == library)?;
        Some((LibraryId::new(index), name))
    }
}

/// A name that stands for several, as selectors do.
fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

enum Need {
    /// It had no result, or the user gave one.
    Nothing,
    /// Its result.
    Argument(String),
    /// It itself: its result cannot be typed.
    Run,
}

/// A string goes as it is, everything else as JSON.
fn argument(flag: String, result: &str) -> Need {
    let value = serde_json::from_str(result).unwrap_or_else(|_| result.to_owned());
    if value.contains(char::is_control) {
        return Need::Run;
    }
    Need::Argument(flag + &value)
}

fn quote(words: &[String]) -> String {
    let quoted = words.iter().map(|word| match shlex::try_quote(word) {
        Ok(quoted) if !is_plain(word) => escape(&quoted).into_owned(),
        _ => escape(word).into_owned(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// No shell sees more in this argument than its letters. The quoting crate is more careful with `=` than readable.
fn is_plain(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    !word.is_empty() && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{briefing, briefing_of};

    /// The command for the last task, where the others returned these.
    fn command(briefing: &Briefing, results: &[&str]) -> String {
        let mut kept = Results::default();
        for (index, result) in results.iter().enumerate() {
            kept.keep(TaskId::new(index), &Json::from(*result));
        }
        let last = TaskId::new(briefing.catalog.len() - 1);
        Reruns::new(briefing, &kept).command(last)
    }

    #[test]
    fn results_of_direct_dependencies_become_arguments() {
        let long = format!("{:?}", "x".repeat(300));
        for (result, expected) in [
            ("\"x\"", "--result-a=x"),
            ("\"two words\"", "'--result-a=two words'"),
            ("\"it's\"", "\"--result-a=it's\""),
            ("\"\"", "--result-a="),
            ("7", "--result-a=7"),
            ("{\"id\":1}", "'--result-a={\"id\":1}'"),
            ("\"a\\nb\"", "--with-deps"),
            (&*long, "--with-deps"),
        ] {
            let expected = format!("tdrun lib.so::b {expected}");
            assert_eq!(command(&briefing(&["a", "b < a"]), &[result]), expected);
        }
    }

    #[test]
    fn dependencies_without_a_result_need_nothing() {
        assert_eq!(
            command(&briefing(&["a", "b < a gone"]), &[]),
            "tdrun lib.so::b"
        );
        assert_eq!(command(&briefing(&["a", "b"]), &["1"]), "tdrun lib.so::b");
    }

    #[test]
    fn tasks_of_templates_are_named_as_they_are() {
        for (after, results, expected) in [
            (
                "build::dev",
                &["1"][..],
                "tdrun lib.so::deploy::dev --result-build::dev=1",
            ),
            ("build::*", &["1"], "tdrun lib.so::deploy::dev --with-deps"),
            ("build::*", &[], "tdrun lib.so::deploy::dev"),
        ] {
            let briefing = briefing(&["build::dev", &format!("deploy::dev < {after}")]);
            assert_eq!(command(&briefing, results), expected);
        }
        let briefing = briefing_of(&[("one", &["a::x"]), ("two", &["b < one::a::*"])]);
        assert_eq!(
            command(&briefing, &["1"]),
            "tdrun two.so::b 'one.so::a::*' --with-deps"
        );
    }

    #[test]
    fn a_name_that_would_end_in_the_middle_lets_its_task_run_again() {
        let briefing = briefing(&["build::a=b", "c < build::a=b"]);
        assert_eq!(command(&briefing, &["1"]), "tdrun lib.so::c --with-deps");
    }

    #[test]
    fn a_task_that_came_later_is_found_by_its_name() {
        let briefing = briefing(&["a"]);
        crate::report::fixture::added(&briefing, "late < a");
        assert_eq!(
            command(&briefing, &["1"]),
            "tdrun lib.so::late --result-a=1"
        );
    }

    #[test]
    fn state_and_names_are_quoted() {
        let mut briefing = briefing(&["it's $HOME"]);
        briefing.state_arguments = vec!["--env=dev".into(), "--who=a b".into()];
        assert_eq!(
            command(&briefing, &[]),
            "tdrun \"lib.so::it's \"'$HOME' --env=dev '--who=a b'"
        );
    }

    #[test]
    fn what_the_user_gave_is_not_given_twice() {
        let mut briefing = briefing(&["a", "b < a"]);
        briefing.state_arguments = vec!["--result-a=mine".into()];
        assert_eq!(
            command(&briefing, &["1"]),
            "tdrun lib.so::b --result-a=mine"
        );
    }

    #[test]
    fn a_long_command_lets_the_dependencies_run_again() {
        let value = format!("{:?}", "x".repeat(190));
        let briefing = briefing(&["a", "b", "c", "d < a b c"]);
        assert_eq!(
            command(&briefing, &[&value, &value, &value]),
            "tdrun lib.so::d --with-deps"
        );
    }

    #[test]
    fn a_dependency_in_another_library_is_named_as_a_target() {
        let briefing = briefing_of(&[("one", &["a"]), ("two", &["b < one::a"])]);
        assert_eq!(
            command(&briefing, &["1"]),
            "tdrun two.so::b one.so::a --with-deps"
        );
    }
}
