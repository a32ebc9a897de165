//! Which tasks stay when a run is taken up again: passed is passed, as long as the code is the same.

use std::collections::HashSet;

use super::kept::Kept;
use super::read::{Known, Recorded};
use super::{Library, Planned};
use crate::error::{Error, Result};
use crate::task::{LibraryId, Outcome, TaskId};

/// The run that takes another one up.
pub struct Now<'a> {
    /// As the user named the journal.
    pub shown: &'a str,
    /// In the order of their ids.
    pub libraries: &'a [Library],
    /// The planned tasks, each after its dependencies.
    pub order: &'a [TaskId],
    /// Run again what has changed, and what comes after it.
    pub changed: bool,
}

/// What becomes of it.
#[derive(Debug)]
pub struct Resumed {
    /// What stays.
    pub kept: Kept,
    /// The tasks that stay, in the order of `order`.
    pub stays: Vec<TaskId>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// The last that is recorded of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It had no turn, or was kept from running.
    Nothing,
    /// It has begun and not ended.
    Started,
    /// An attempt has ended, and another one was to come.
    Tried,
    /// It has its outcome, by its own doing.
    Ended(Outcome),
}

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It stays.
    Stays,
    /// It runs.
    Runs,
    /// It would stay, but it is another one by now.
    Changed,
}

/// What becomes of a task, by what is recorded of it, and whether its code and what it declares are the same as then.
fn decide(last: Last, same_code: bool, same_definition: bool) -> Decision {
    match last {
        Last::Ended(Outcome::Passed | Outcome::Skipped) if same_code && same_definition => {
            Decision::Stays
        }
        Last::Ended(Outcome::Passed | Outcome::Skipped) => Decision::Changed,
        Last::Nothing | Last::Started | Last::Tried | Last::Ended(_) => Decision::Runs,
    }
}

impl Known {
    fn last(&self) -> Last {
        match self.attempts.last() {
            _ if self.is_started => Last::Started,
            _ if self.plain.is_some() => Last::Ended(Outcome::Passed),
            Some(ended) if self.is_done => Last::Ended(ended.outcome),
            Some(_) => Last::Tried,
            None => Last::Nothing,
        }
    }
}

/// As many are named in one message.
const NAMED: usize = 3;

impl Recorded {
    /// What stays of the recorded runs in another one, which may have another selection. What comes after a task that has changed,
    /// or that did not pass and runs again, runs again too.
    ///
    /// `planned` tells of a task, `before` what it comes after among the planned ones, `find` gives the task of a library and
    /// name, which may be made for that.
    ///
    /// Errors: `resume.changed` where something would stay that is another one by now, unless that is to run again.
    pub fn resume<'a>(
        &self,
        now: &Now<'_>,
        planned: impl Fn(TaskId) -> Planned<'a>,
        before: impl Fn(TaskId) -> &'a [TaskId],
        mut find: impl FnMut(LibraryId, &str) -> Option<TaskId>,
    ) -> Result<Resumed> {
        let library = |name: &str| {
            now.libraries
                .iter()
                .position(|library| library.name == name)
        };
        let mut kept = Kept::default();
        let mut warnings = Vec::new();
        let mut order = now.order.to_vec();
        let mut known: HashSet<_> = match self.added.len() {
            0 => HashSet::new(),
            _ => order.iter().copied().collect(),
        };
        for (name, task, _) in &self.added {
            let id = library(name).and_then(|library| find(LibraryId::new(library), task));
            if let Some(id) = id
                && known.insert(id)
            {
                kept.add(id);
                order.push(id);
            }
        }
        let (mut changed_libraries, mut changed_tasks) = (Vec::new(), Vec::new());
        let (mut stays, mut places) = (Vec::new(), HashSet::new());
        // Tasks of which there will be another end than those that come after them have seen.
        let mut new = HashSet::new();
        for task in order {
            let planned = planned(task);
            let own = &now.libraries[planned.library.index()];
            let mut is_new = before(task).iter().any(|other| new.contains(other));
            let names = self.by_name.get(&*own.name);
            if let Some(&place) = names.and_then(|names| names.get(planned.name)) {
                let known = &self.tasks[place];
                let (last, same_code) = (known.last(), self.same_code(known, own));
                // Tasks that were added are not in the plan.
                let same_definition =
                    known.definition == 0 || known.definition == planned.definition;
                match decide(last, same_code, same_definition) {
                    Decision::Stays if is_new => {}
                    Decision::Stays => {
                        places.insert(place);
                        stays.push(task);
                        self.keep(&mut kept, place, task);
                    }
                    // Who passed after one that is not known to have ended did so in spite of that: its record was lost.
                    Decision::Runs if matches!(last, Last::Nothing | Last::Started) => {
                        is_new |= !(same_code && same_definition);
                    }
                    Decision::Runs => is_new = true,
                    Decision::Changed => {
                        is_new = true;
                        if same_code {
                            changed_tasks.push(planned.name.to_owned());
                        } else if !changed_libraries.contains(&planned.library) {
                            changed_libraries.push(planned.library);
                        }
                    }
                }
            }
            if is_new {
                new.insert(task);
            }
        }
        if !now.changed && (!changed_libraries.is_empty() || !changed_tasks.is_empty()) {
            return Err(changed(now, &changed_libraries, &changed_tasks));
        }
        self.gone(now, &mut find, &mut warnings);
        kept.idle(stays.len() == now.order.len() + kept.added().len());
        kept.all_told();
        kept.set_changes(self.changes(|task| places.contains(&task)));
        Ok(Resumed {
            kept,
            stays,
            warnings,
        })
    }

    /// The library has the code that the recorded task had.
    fn same_code(&self, known: &Known, own: &Library) -> bool {
        let libraries = self.runs.get(known.run);
        let then = libraries.and_then(|all| all.iter().find(|then| then.name == own.name));
        then.is_some_and(|then| then.is_same(own))
    }

    /// Warns of recorded tasks that changed libraries do not have any more.
    fn gone(
        &self,
        now: &Now<'_>,
        find: &mut impl FnMut(LibraryId, &str) -> Option<TaskId>,
        warnings: &mut Vec<String>,
    ) {
        for (at, own) in now.libraries.iter().enumerate() {
            let Some(names) = self.by_name.get(&*own.name) else {
                continue;
            };
            let mut gone = Vec::new();
            for (name, task) in names {
                let known = &self.tasks[*task];
                if known.last() != Last::Nothing
                    && !self.same_code(known, own)
                    && find(LibraryId::new(at), name).is_none()
                {
                    gone.push(name.to_string());
                }
            }
            if !gone.is_empty() {
                gone.sort_unstable();
                let (library, are) = (&own.name, if gone.len() == 1 { "is" } else { "are" });
                warnings.push(format!(
                    "{} of `{library}` {are} no longer there",
                    listed(&gone)
                ));
            }
        }
    }
}

fn changed(now: &Now<'_>, libraries: &[LibraryId], tasks: &[String]) -> Error {
    let libraries = libraries.iter().map(|id| &now.libraries[id.index()]);
    let libraries: Vec<_> = libraries.map(|it| it.path.display().to_string()).collect();
    let what = if libraries.is_empty() {
        let have = if tasks.len() == 1 { "is" } else { "are" };
        format!("{} {have} declared otherwise", listed(tasks))
    } else {
        let have = if libraries.len() == 1 { "has" } else { "have" };
        format!("{} {have} changed", listed(&libraries))
    };
    let message = format!("{what} since the run of `{}`", now.shown);
    Error::new("resume.changed", message)
        .hint("to run what has changed again, and all that comes after it: --resume-changed")
        .hint(format!("to run everything: without --resume={}", now.shown))
}

fn listed(names: &[String]) -> String {
    let some: Vec<_> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let some = some.join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{some} and {more} more"),
        _ => some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table that do not say "runs".
    fn oracle(last: &str, same: bool) -> &'static str {
        let rows = [
            ("Ended(Passed)", true, "Stays"),
            ("Ended(Skipped)", true, "Stays"),
            ("Ended(Passed)", false, "Changed"),
            ("Ended(Skipped)", false, "Changed"),
        ];
        let row = rows.iter().find(|row| row.0 == last && row.1 == same);
        row.map_or("Runs", |row| row.2)
    }

    #[test]
    fn every_case_has_its_decision() {
        let ended = Outcome::ALL.map(Last::Ended);
        let all = [Last::Nothing, Last::Started, Last::Tried].into_iter();
        let mut cases = 0;
        for last in all.chain(ended) {
            for (code, definition) in [(true, true), (true, false), (false, true), (false, false)] {
                let decided = format!("{:?}", decide(last, code, definition));
                let expected = oracle(&format!("{last:?}"), code && definition);
                assert_eq!(decided, expected, "{last:?} {code} {definition}");
                cases += 1;
            }
        }
        assert_eq!(cases, 40);
    }
}
