//! Everything that was loaded: libraries, tasks, templates.
//!
//! Grows while a run goes on, as tasks are made of templates: at the end only, so that ids and references stay good.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::{
    Caller, Ending, Launcher, Library, LibraryId, Options, Task, TaskId, TaskRef, Tasks,
    TasksBuilder, Template,
};

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
    /// By library: its first id, and its tasks.
    loaded: Vec<(usize, Tasks)>,
    /// How many of the tasks were loaded.
    loaded_count: usize,
    /// The tasks behind those.
    made: boxcar::Vec<Task>,
    /// Names that stand in more than one library, and are therefore shown as `library::task`. Empty where none does. Those
    /// of templates too: what is made of them may clash.
    clashing: HashSet<Box<str>>,
    /// Runs tasks that do not run here.
    launcher: OnceLock<Arc<dyn Launcher>>,
}

impl Catalog {
    /// Adds a library with what it declares.
    ///
    /// # Panics
    /// As [`TasksBuilder::add`] does.
    pub fn add<D: Into<Declared>>(
        &mut self,
        library: Library,
        declared: impl IntoIterator<Item = D>,
    ) {
        let declared = declared.into_iter();
        let id = LibraryId::new(self.libraries.len());
        let mut tasks = TasksBuilder::new(id, None, declared.size_hint().0);
        declared.for_each(|declared| tasks.add(declared.into()));
        self.add_tasks(library, tasks.build());
    }

    /// Adds a library with its tasks and templates.
    ///
    /// # Panics
    /// Where tasks were made before.
    pub fn add_tasks(&mut self, library: Library, mut tasks: Tasks) {
        assert!(self.made.is_empty(), "libraries come before tasks of them");
        debug_assert_eq!(tasks.library().index(), self.libraries.len());
        let templates = std::mem::take(&mut tasks.templates);
        self.note_clashes(&tasks, &templates);
        self.libraries.push(library);
        self.templates.extend(templates);
        let first = self.loaded_count;
        self.loaded_count += tasks.len();
        self.loaded.push((first, tasks));
    }

    /// Adds a task; its id. Its name must be new in its library.
    pub fn push(&self, task: Task) -> TaskId {
        TaskId::new(self.loaded_count + self.made.push(task))
    }

    /// How many tasks there are so far.
    pub fn len(&self) -> usize {
        self.loaded_count + self.made.count()
    }

    /// There is no task, so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task of that id.
    pub fn task(&self, id: TaskId) -> TaskRef<'_> {
        if let Some(made) = id.index().checked_sub(self.loaded_count) {
            return TaskRef::from(&self.made[made]);
        }
        let (first, tasks) = &self.loaded[self.library_of(id)];
        tasks.get(id.index() - first)
    }

    /// What a task declares besides name, dependencies and labels, as [`TaskRef::declared`] tells; a shorter way, for those
    /// who ask all tasks.
    pub fn declared(&self, id: TaskId) -> Option<&Arc<Options>> {
        if id.index() >= self.loaded_count {
            return self.task(id).declared();
        }
        let (first, tasks) = &self.loaded[self.library_of(id)];
        tasks.declared(id.index() - first)
    }

    /// Gives back most of its memory: for those who call tasks by their ids. From here on loaded tasks are not found by their
    /// names, which only [`TaskRef::name_in_source`] tells.
    pub fn keep_calls_only(&mut self) {
        for (_, tasks) in &mut self.loaded {
            tasks.keep_calls_only();
        }
    }

    /// From here on this one runs the tasks that it takes. The first that is set stays.
    pub fn set_launcher(&self, launcher: Arc<dyn Launcher>) {
        let _ = self.launcher.set(launcher);
    }

    /// A task does not run on the thread that calls it, and ends when it is given up.
    pub fn is_apart(&self, id: TaskId) -> bool {
        let launcher = self.launcher.get();
        launcher.is_some_and(|launcher| launcher.takes(self.task(id)))
    }

    /// Runs a task where it is to run.
    pub fn call(&self, id: TaskId, caller: &Caller<'_>) -> Option<Box<Ending>> {
        if let Some(launcher) = self.launcher.get() {
            let task = self.task(id);
            if launcher.takes(task) {
                return launcher.call(id, task, caller);
            }
        }
        self.call_here(id, caller)
    }

    /// Runs a task on this thread, as [`TaskRef::call`] does; a shorter way.
    pub fn call_here(&self, id: TaskId, caller: &Caller<'_>) -> Option<Box<Ending>> {
        if id.index() >= self.loaded_count {
            return self.task(id).call(caller);
        }
        let (first, tasks) = &self.loaded[self.library_of(id)];
        tasks.call(id.index() - first, caller)
    }

    /// The place of the library of a loaded task.
    fn library_of(&self, id: TaskId) -> usize {
        match self.loaded.len() {
            1 => 0,
            _ => {
                self.loaded
                    .partition_point(|(first, _)| *first <= id.index())
                    - 1
            }
        }
    }

    /// The task, to change it.
    ///
    /// # Panics
    /// Where there is no such task, or it stays in the table of its library.
    pub fn task_mut(&mut self, id: TaskId) -> &mut Task {
        let task = if let Some(made) = id.index().checked_sub(self.loaded_count) {
            self.made.get_mut(made)
        } else {
            let library = self.library_of(id);
            let (first, tasks) = &mut self.loaded[library];
            tasks.own_mut(id.index() - *first)
        };
        task.expect("a task of that id, of our own")
    }

    /// All tasks so far, in the order of their ids.
    pub fn tasks(&self) -> impl Iterator<Item = TaskRef<'_>> {
        self.ids().map(|id| self.task(id))
    }

    /// The library of a task.
    pub fn library(&self, id: TaskId) -> &Library {
        &self.libraries[self.task(id).library().index()]
    }

    /// All ids so far, in declaration order; what other tasks have called into being stands behind.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TaskId> + use<> {
        (0..self.len()).map(TaskId::new)
    }

    /// All ids so far of the tasks of a library, in their order.
    pub fn all_of(&self, library: LibraryId) -> impl Iterator<Item = TaskId> {
        let made = (self.loaded_count..self.len()).map(TaskId::new);
        let own = made.filter(move |id| self.task(*id).library() == library);
        self.ids_of(library).chain(own)
    }

    /// The ids of the tasks of a library that were loaded.
    pub fn ids_of(&self, library: LibraryId) -> impl ExactSizeIterator<Item = TaskId> + use<> {
        let (first, tasks) = &self.loaded[library.index()];
        (*first..first + tasks.len()).map(TaskId::new)
    }

    /// The task of that name in a library, among those that were loaded.
    pub fn find(&self, library: LibraryId, name: &str) -> Option<TaskId> {
        let (first, tasks) = &self.loaded[library.index()];
        tasks.find(name).map(|place| TaskId::new(first + place))
    }

    /// The same of many names.
    pub fn find_all(&self, library: LibraryId, names: &[&str], found: &mut Vec<Option<TaskId>>) {
        let (first, tasks) = &self.loaded[library.index()];
        let mut places = Vec::with_capacity(names.len());
        tasks.find_all(names, &mut places);
        let ids = places.into_iter();
        found.extend(ids.map(|place| place.map(|place| TaskId::new(first + place))));
    }

    /// The first two tasks of one library that were loaded with one name.
    pub fn duplicate(&self) -> Option<(TaskRef<'_>, TaskRef<'_>)> {
        let mut loaded = self.loaded.iter();
        loaded.find_map(|(_, tasks)| tasks.duplicate())
    }

    /// The name to show: `task`, or `library::task` where libraries clash.
    pub fn name(&self, id: TaskId) -> Cow<'_, str> {
        // The shorter way, which most names take: each line that people read begins with one.
        if self.clashing.is_empty() && id.index() < self.loaded_count {
            let (first, tasks) = &self.loaded[self.library_of(id)];
            return tasks.name(id.index() - first).into();
        }
        let task = self.task(id);
        let name = task.name();
        if self.is_clashing(task) {
            format!("{}::{name}", self.library(id).name).into()
        } else {
            name.into()
        }
    }

    fn is_clashing(&self, task: TaskRef<'_>) -> bool {
        if self.clashing.is_empty() {
            return false;
        }
        self.clashing.contains(task.name()) || self.is_of_clashing_template(task)
    }

    fn is_of_clashing_template(&self, task: TaskRef<'_>) -> bool {
        task.arguments().iter().next().is_some()
            && self.templates.iter().any(|template| {
                let pattern = &*template.task.name;
                task.arguments().fill(pattern) == task.name() && self.clashing.contains(pattern)
            })
    }

    fn note_clashes(&mut self, added: &Tasks, templates: &[Template]) {
        if self.loaded.is_empty() {
            return;
        }
        let patterns: HashSet<&str> = self.templates.iter().map(|t| &*t.task.name).collect();
        let is_known = |name: &str| {
            let mut loaded = self.loaded.iter();
            loaded.any(|(_, tasks)| tasks.find(name).is_some()) || patterns.contains(name)
        };
        let names = added.iter().map(TaskRef::name);
        let names = names.chain(templates.iter().map(|t| &*t.task.name));
        let clashing: Vec<Box<str>> = names.filter(|n| is_known(n)).map(Into::into).collect();
        self.clashing.extend(clashing);
    }
}
