//! Names to tasks: those that are there, and those that a template can make.
//!
//! Changes nothing but its own index: who makes the tasks stands in `links`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::heads::Heads;
use super::word::shape;
use crate::task::{Catalog, LibraryId, Misfit, Task, TaskId, TaskRef};

/// All names of a catalog.
pub(super) struct Names {
    /// By library: the tasks that are made. Those that were loaded the catalog knows.
    made: Vec<HashMap<Box<str>, TaskId>>,
    /// By library: its templates.
    templates: Vec<Heads>,
    /// By library: the first parts of its names that have several. Only globs and patterns ask.
    firsts: OnceLock<Vec<HashSet<Box<str>>>>,
}

/// What a name stands for.
pub(super) enum Found {
    /// A task.
    Task(TaskId),
    /// One that a template makes of it.
    Made(Box<Task>),
    /// Nothing, because the arguments do not fit the template.
    Misfit(usize, Misfit),
    /// Nothing, because two templates make it.
    Two(usize, usize),
    /// Nothing.
    Nothing,
}

impl Names {
    /// All that were loaded.
    pub(super) fn new(catalog: &Catalog) -> Self {
        let libraries = catalog.libraries.iter();
        let mut templates: Vec<_> = libraries.map(|_| Heads::default()).collect();
        for (index, template) in catalog.templates.iter().enumerate() {
            let shape = shape(template.pattern());
            templates[template.task.library.index()].add(shape, index);
        }
        Self {
            made: vec![HashMap::new(); catalog.libraries.len()],
            templates,
            firsts: OnceLock::new(),
        }
    }

    /// Where to look for what a glob or a pattern matches: in its own library, and in another one where it is
    /// `library::…`. Not so where the own library has names that begin like that: one that is called as some of its tasks
    /// are would else stand for all of them.
    pub(super) fn scopes<'a>(
        &self,
        catalog: &Catalog,
        library: LibraryId,
        word: &'a str,
    ) -> impl Iterator<Item = (LibraryId, &'a str)> + use<'a> {
        let first = word.split("::").next().unwrap_or_default();
        let other = qualified(catalog, word);
        let firsts = || &self.firsts.get_or_init(|| firsts(catalog))[library.index()];
        let other = other.filter(|_| !firsts().contains(first));
        [(library, word)].into_iter().chain(other)
    }

    /// Enters a task that is made; or finds the other one of that name.
    pub(super) fn enter(&mut self, catalog: &Catalog, id: TaskId) -> Result<(), TaskId> {
        let task = catalog.task(id);
        if let Some(other) = catalog.find(task.library(), task.name()) {
            return Err(other);
        }
        match self.made[task.library().index()].entry(task.name().into()) {
            Entry::Vacant(entry) => {
                entry.insert(id);
                Ok(())
            }
            Entry::Occupied(entry) => Err(*entry.get()),
        }
    }

    /// The task is the one of its name; not so one that a mistake has left behind.
    pub(super) fn has(&self, catalog: &Catalog, id: TaskId) -> bool {
        let task = catalog.task(id);
        self.get(catalog, task.library(), task.name()) == Some(id)
    }

    /// Forgets a task that was made.
    pub(super) fn remove(&mut self, task: TaskRef<'_>) {
        self.made[task.library().index()].remove(task.name());
    }

    /// The task of that name in a library.
    pub(super) fn get(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Option<TaskId> {
        let made = &self.made[library.index()];
        let loaded = catalog.find(library, name);
        loaded.or_else(|| made.get(name).copied())
    }

    /// The task of that name in a library, or of `library::task` in any.
    pub(super) fn find(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Option<TaskId> {
        self.get(catalog, library, name).or_else(|| {
            let (library, name) = qualified(catalog, name)?;
            self.get(catalog, library, name)
        })
    }

    /// What a name stands for in a library, or else `library::task` in any.
    pub(super) fn look_up(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Found {
        let own = self.look_into(catalog, library, name);
        if !matches!(own, Found::Nothing | Found::Misfit(..)) {
            return own;
        }
        let Some((library, name)) = qualified(catalog, name) else {
            return own;
        };
        match (own, self.look_into(catalog, library, name)) {
            (own @ Found::Misfit(..), Found::Nothing | Found::Misfit(..)) => own,
            (_, other) => other,
        }
    }

    /// What a name stands for in a library. A task is found before what templates make; a template that the name fits,
    /// before those whose parameters have other values.
    pub(super) fn look_into(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Found {
        if let Some(task) = self.get(catalog, library, name) {
            return Found::Task(task);
        }
        let mut found = Found::Nothing;
        let mut by = None;
        for index in self.templates[library.index()].of(name) {
            let template = &catalog.templates[index];
            let Some(arguments) = template.pattern().matches(name) else {
                continue;
            };
            match (template.instance(arguments), by, &found) {
                (Ok(_), Some(other), _) => return Found::Two(other, index),
                (Ok(task), None, _) => {
                    by = Some(index);
                    found = Found::Made(Box::new(task));
                }
                (Err(misfit), _, Found::Nothing) => found = Found::Misfit(index, misfit),
                (Err(_), ..) => {}
            }
        }
        found
    }
}

/// By library: what stands before the first `::` in the names of its tasks and templates that were loaded.
fn firsts(catalog: &Catalog) -> Vec<HashSet<Box<str>>> {
    let mut firsts = vec![HashSet::new(); catalog.libraries.len()];
    let loaded = (0..firsts.len()).flat_map(|library| catalog.ids_of(LibraryId::new(library)));
    let tasks = loaded.map(|id| catalog.task(id));
    let patterns = catalog.templates.iter().map(|t| TaskRef::from(&t.task));
    for task in tasks.chain(patterns) {
        if let Some((first, _)) = task.name().split_once("::") {
            let firsts = &mut firsts[task.library().index()];
            if !firsts.contains(first) {
                firsts.insert(first.into());
            }
        }
    }
    firsts
}

/// `library::task` taken apart, where there is such a library.
pub(super) fn qualified<'a>(catalog: &Catalog, name: &'a str) -> Option<(LibraryId, &'a str)> {
    let (library, name) = name.split_once("::")?;
    let index = catalog.libraries.iter().position(|l| l.name == library)?;
    Some((LibraryId::new(index), name))
}
