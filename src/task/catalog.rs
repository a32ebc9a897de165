//! Everything that was loaded: libraries, tasks, templates.
//!
//! Grows while a run goes on, as tasks are made of templates: at the end only, so that ids and references stay good.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Library, LibraryId, Task, TaskId, Template};

/// What a table declares, in its order.
pub enum Declared {
    /// A task.
    Task(Task),
    /// Something that tasks are made of.
    Template(Template),
}

impl From<Task> for Declared {
    fn from(task: Task) -> Self {
        Self::Task(task)
    }
}

impl From<Template> for Declared {
    fn from(template: Template) -> Self {
        Self::Template(template)
    }
}

/// The libraries, their tasks and their templates.
#[derive(Default)]
pub struct Catalog {
    /// Indexed by [`LibraryId`].
    pub libraries: Vec<Library>,
    /// In declaration order.
    pub templates: Vec<Template>,
    /// Indexed by [`TaskId`].
    tasks: boxcar::Vec<Task>,
    /// Names that stand in more than one library, and are therefore shown as `library::task`. Empty where none does. Those
    /// of templates too: what is made of them may clash.
    clashing: HashSet<Box<str>>,
}

impl Catalog {
    /// Adds a library with its tasks. A template that has choices for all parameters is there as all the tasks that they
    /// make.
    ///
    /// # Panics
    /// Where a choice does not pass the check of its own parameter; loading refuses such tables.
    pub fn add<D: Into<Declared>>(
        &mut self,
        library: Library,
        declared: impl IntoIterator<Item = D>,
    ) {
        let id = LibraryId::new(self.libraries.len());
        self.libraries.push(library);
        let (tasks, templates) = (self.tasks.count(), self.templates.len());
        for declared in declared {
            match declared.into() {
                Declared::Task(task) => drop(self.push(task)),
                Declared::Template(template) => {
                    for arguments in template.expand().into_iter().flatten() {
                        let task = template.instance(arguments);
                        self.push(task.unwrap_or_else(|misfit| panic!("a choice: {misfit:?}")));
                    }
                    self.templates.push(template);
                }
            }
        }
        if id.index() > 0 {
            self.note_clashes(tasks, templates);
        }
    }

    /// Adds a task; its id. Its name must be new in its library.
    pub fn push(&self, task: Task) -> TaskId {
        TaskId::new(self.tasks.push(task))
    }

    /// How many tasks there are so far.
    pub fn len(&self) -> usize {
        self.tasks.count()
    }

    /// There is no task, so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task of that id.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.index()]
    }

    /// The same, to change it.
    ///
    /// # Panics
    /// Where there is no such task.
    pub fn task_mut(&mut self, id: TaskId) -> &mut Task {
        self.tasks.get_mut(id.index()).expect("a task of that id")
    }

    /// All tasks so far, in the order of their ids.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.ids().map(|id| self.task(id))
    }

    /// The library of a task.
    pub fn library(&self, id: TaskId) -> &Library {
        &self.libraries[self.task(id).library.index()]
    }

    /// All ids so far, in declaration order; what other tasks have called into being stands behind.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TaskId> + use<> {
        (0..self.len()).map(TaskId::new)
    }

    /// The name to show: `task`, or `library::task` where libraries clash.
    pub fn name(&self, id: TaskId) -> Cow<'_, str> {
        let task = self.task(id);
        let name = &*task.name;
        if self.is_clashing(task) {
            format!("{}::{name}", self.library(id).name).into()
        } else {
            name.into()
        }
    }

    fn is_clashing(&self, task: &Task) -> bool {
        if self.clashing.is_empty() {
            return false;
        }
        self.clashing.contains(&task.name) || self.is_of_clashing_template(task)
    }

    fn is_of_clashing_template(&self, task: &Task) -> bool {
        task.arguments.iter().next().is_some()
            && self.templates.iter().any(|template| {
                let pattern = &*template.task.name;
                task.arguments.fill(pattern) == *task.name && self.clashing.contains(pattern)
            })
    }

    fn note_clashes(&mut self, tasks: usize, templates: usize) {
        let names = |from, to| (from..to).map(|index: usize| &self.tasks[index].name);
        let patterns = |templates: &'_ [Template]| -> Vec<Box<str>> {
            templates.iter().map(|t| t.task.name.clone()).collect()
        };
        let mut known: HashSet<Box<str>> = names(0, tasks).cloned().collect();
        known.extend(patterns(&self.templates[..templates]));
        let mut added: Vec<Box<str>> = names(tasks, self.len()).cloned().collect();
        added.extend(patterns(&self.templates[templates..]));
        added.retain(|name| known.contains(name));
        self.clashing.extend(added);
    }
}
