//! Names to ids: resolves what every task declared to come after.
//!
//! Looks at the whole catalog, selected or not, so that a misspelt name is found before anything runs. Ignorant of cycles.

use std::collections::{HashMap, HashSet};

use super::Adjacency;
use crate::error::{Error, Result, escape, nearest};
use crate::task::{Catalog, LibraryId, TaskId};

/// The declared dependencies of all tasks, and the way from names to tasks.
pub struct Links {
    /// By library.
    by_name: Vec<HashMap<Box<str>, TaskId>>,
    dependencies: Adjacency,
}

impl Links {
    /// Resolves all names. A dependency that is named twice counts once.
    ///
    /// Errors: `graph.unknown` with the nearest name, `graph.self`.
    pub fn resolve(catalog: &Catalog) -> Result<Self> {
        let mut by_name = vec![HashMap::new(); catalog.libraries.len()];
        for id in catalog.ids() {
            let task = catalog.task(id);
            by_name[task.library.index()].insert(task.name.clone(), id);
        }
        let mut links = Self {
            by_name,
            dependencies: Adjacency::from_rows([[]; 0]),
        };
        let rows: Vec<_> = catalog
            .ids()
            .map(|id| links.dependencies_of(catalog, id))
            .collect::<Result<_>>()?;
        links.dependencies = Adjacency::from_rows(rows);
        Ok(links)
    }

    /// The task of that name in a library, or of `library::task` in any.
    pub fn find(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Option<TaskId> {
        let own = self.by_name[library.index()].get(name);
        own.copied().or_else(|| {
            let (library, name) = name.split_once("::")?;
            let index = catalog.libraries.iter().position(|l| l.name == library)?;
            self.by_name[index].get(name).copied()
        })
    }

    /// The dependencies of a task, planned or not.
    pub fn dependencies(&self, task: TaskId) -> &[TaskId] {
        self.dependencies.of(task)
    }

    /// The tasks of a selection that come after something outside of it, each with that.
    pub fn dropped(&self, planned: &[TaskId]) -> Vec<(TaskId, TaskId)> {
        let is_planned: HashSet<_> = planned.iter().copied().collect();
        let dropped = |&task: &TaskId| {
            let outside = self.dependencies(task).iter();
            let outside = outside.filter(|dependency| !is_planned.contains(dependency));
            outside
                .map(move |dependency| (task, *dependency))
                .collect::<Vec<_>>()
        };
        planned.iter().flat_map(dropped).collect()
    }

    /// The dependencies among the given tasks; the others have none.
    pub(super) fn among(&self, planned: &[TaskId]) -> Adjacency {
        let mut is_planned = vec![false; self.dependencies.ids()];
        for task in planned {
            is_planned[task.index()] = true;
        }
        let is_planned = &is_planned;
        Adjacency::from_rows((0..self.dependencies.ids()).map(|index| {
            let all: &[TaskId] = if is_planned[index] {
                self.dependencies.of(TaskId::new(index))
            } else {
                &[]
            };
            all.iter().copied().filter(|end| is_planned[end.index()])
        }))
    }

    fn dependencies_of(&self, catalog: &Catalog, id: TaskId) -> Result<Vec<TaskId>> {
        let task = catalog.task(id);
        let mut found = Vec::with_capacity(task.after.len());
        for name in &task.after {
            let dependency = self
                .find(catalog, task.library, name)
                .ok_or_else(|| unknown(catalog, id, name))?;
            if dependency == id {
                let message = format!(
                    "`{}` comes after itself{}",
                    catalog.name(id),
                    at(catalog, id)
                );
                return Err(Error::new("graph.self", message));
            }
            found.push(dependency);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

fn unknown(catalog: &Catalog, id: TaskId, name: &str) -> Error {
    let task = catalog.task(id);
    let known = || catalog.tasks().filter(|t| t.library == task.library);
    let error = Error::new(
        "graph.unknown",
        format!(
            "`{}` comes after `{name}`, which is no task of `{}`{}",
            catalog.name(id),
            catalog.library(id).path,
            at(catalog, id),
        ),
    );
    let near = nearest(name, known().map(|task| &*task.name)).is_some();
    if !near && known().count() <= 10 {
        let names: Vec<_> = known().map(|t| format!("`{}`", escape(&t.name))).collect();
        return error.hint(format!("its tasks are {}", names.join(", ")));
    }
    error.suggest(name, known().map(|task| &*task.name))
}

/// ` (file:line)`, where it is known.
pub(super) fn at(catalog: &Catalog, id: TaskId) -> String {
    let place = catalog.task(id).place.as_ref();
    place.map_or_else(String::new, |place| format!(" ({place})"))
}

#[cfg(test)]
mod tests {
    use super::super::sketch;
    use super::*;

    #[test]
    fn names_resolve_forward_and_a_double_counts_once() {
        let catalog = sketch::catalog("b<a,a,c a c");
        let links = Links::resolve(&catalog).unwrap();
        let ids = [TaskId::new(1), TaskId::new(2)];
        assert_eq!(links.dependencies(TaskId::new(0)), ids);
    }

    #[test]
    fn a_qualified_name_reaches_another_library() {
        let mut catalog = sketch::catalog("a");
        let tasks = [
            sketch::task(1, "a", &["x::a"]),
            sketch::task(1, "b", &["a"]),
        ];
        catalog.add(sketch::library("y"), tasks);
        let links = Links::resolve(&catalog).unwrap();
        assert_eq!(links.dependencies(TaskId::new(1)), [TaskId::new(0)]);
        assert_eq!(links.dependencies(TaskId::new(2)), [TaskId::new(1)]);
    }

    #[test]
    fn names_that_lead_nowhere_are_errors_with_the_nearest_name() {
        for (tasks, expected) in [
            (
                "fetch mail<fetsh",
                "error[graph.unknown]: `mail` comes after `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
            ),
            (
                "fetch mail<deploy",
                "error[graph.unknown]: `mail` comes after `deploy`, which is no task of `libx.so`
  its tasks are `fetch`, `mail`",
            ),
            (
                "fetch mail<mail",
                "error[graph.self]: `mail` comes after itself",
            ),
        ] {
            let error = Links::resolve(&sketch::catalog(tasks)).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }
}
