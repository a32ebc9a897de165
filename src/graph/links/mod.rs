//! Names to ids: resolves what every task declared to come after, before or with.
//!
//! Looks at the whole catalog, selected or not, so that a misspelt name is found before anything runs. Makes the tasks of
//! templates that are named. Ignorant of cycles.

mod ask;
mod resolve;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::Adjacency;
use super::names::Names;
use super::naming::{Owner, Via};
use super::rules::Rules;
use crate::error::{Error, Result};
use crate::task::{Catalog, LibraryId, TaskId};

/// The usual [`Links::made_max`].
const MADE_MAX: usize = 1_000_000;

/// The declared dependencies of all tasks, and the way from names to tasks. Grows with the catalog.
pub struct Links {
    names: Names,
    /// By task that was loaded: those that it comes after by name; sorted.
    named: Arc<Adjacency>,
    /// By task that comes after more than those, or was made: all that it comes after by its own word; sorted.
    after: Edges,
    /// The names of so many tasks are resolved.
    settled: usize,
    /// Those that were loaded and declare more than names of tasks that were too; in their order.
    wordy: Vec<TaskId>,
    /// By task: those that say that they come before it.
    befores: Edges,
    /// By task: those that it takes along.
    thens: Edges,
    /// By task: those that take it along.
    leaders: Edges,
    rules: Rules,
    /// Words that have to match something in the end.
    open: Vec<Open>,
    /// Some task has the condition `no_failures`.
    has_last: bool,
    /// How many tasks templates may come to when something is named, before it is called a mistake.
    made_max: usize,
}

type Edges = HashMap<TaskId, Vec<TaskId>, foldhash::fast::FixedState>;

/// A word of an owner, with its rules: in its own library, and in another one that the word may name.
struct Open {
    owner: Owner,
    via: Via,
    word: Box<str>,
    rules: Vec<usize>,
    /// Why a template does not make what matches.
    problem: Option<Error>,
}

impl Links {
    /// Resolves all names, and makes the tasks that they ask of templates. A dependency that is named twice counts once.
    ///
    /// Errors: `graph.duplicate`; `graph.unknown` with the nearest name; `graph.self`; `graph.syntax`; `graph.choice`,
    /// `graph.value` and `graph.param` for what does not fit a template, `graph.ambiguous` for what fits two; `graph.limit`
    /// where templates make ever more tasks.
    pub fn resolve(catalog: &Catalog) -> Result<Self> {
        Self::resolve_within(catalog, MADE_MAX)
    }

    /// The same, with a limit of tasks that templates may make of one thing that is named.
    pub(super) fn resolve_within(catalog: &Catalog, made_max: usize) -> Result<Self> {
        if let Some((one, other)) = catalog.duplicate() {
            return Err(resolve::duplicate(catalog, one, other));
        }
        let (named, wordy) = resolve::named(catalog);
        let mut links = Self {
            names: Names::new(catalog),
            named: Arc::new(named),
            after: Edges::default(),
            settled: 0,
            wordy,
            befores: Edges::default(),
            thens: Edges::default(),
            leaders: Edges::default(),
            rules: Rules::default(),
            open: Vec::new(),
            has_last: false,
            made_max,
        };
        links.declare_templates(catalog)?;
        links.settle(catalog, catalog.len())?;
        Ok(links)
    }

    /// The task of that name in a library, or of `library::task` in any. Makes none.
    pub fn find(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Option<TaskId> {
        self.names.find(catalog, library, name)
    }

    /// What a task comes after by its own word, planned or not; sorted.
    pub fn after(&self, task: TaskId) -> &[TaskId] {
        match self.after.get(&task) {
            Some(row) => row,
            None if task.index() < self.named.ids() => self.named.of(task),
            None => &[],
        }
    }

    /// Those that say that they come before a task, and run wherever it does.
    pub fn befores(&self, task: TaskId) -> &[TaskId] {
        targets(&self.befores, task)
    }

    /// Those that a task takes along, and that come after it.
    pub fn thens(&self, task: TaskId) -> &[TaskId] {
        targets(&self.thens, task)
    }

    /// All that a task comes after where both are planned: by its own word, or theirs; sorted.
    pub fn dependencies(&self, task: TaskId) -> Vec<TaskId> {
        let mut all = self.after(task).to_vec();
        let others = [&self.befores, &self.leaders].map(|edges| targets(edges, task));
        if others.iter().any(|other| !other.is_empty()) {
            all.extend(others.iter().copied().flatten());
            all.sort_unstable();
            all.dedup();
        }
        all
    }

    /// How a dependency came to be one.
    pub(super) fn via(&self, dependency: TaskId, dependent: TaskId) -> Via {
        if self.after(dependent).binary_search(&dependency).is_ok() {
            Via::After
        } else if self.befores(dependent).contains(&dependency) {
            Via::Before
        } else {
            Via::Then
        }
    }

    /// The task of that name in a library. Makes none.
    pub fn get(&self, catalog: &Catalog, library: LibraryId, name: &str) -> Option<TaskId> {
        self.names.get(catalog, library, name)
    }

    /// Where nobody declared `before` or `then`, all dependencies are plain.
    pub(super) fn is_plain(&self) -> bool {
        self.befores.is_empty() && self.thens.is_empty()
    }

    /// Some task, planned or not, starts only where there are no failures.
    pub(super) fn has_last(&self) -> bool {
        self.has_last
    }

    /// The tasks of a selection that come after something outside of it, each with that.
    pub fn dropped(&self, planned: &[TaskId]) -> Vec<(TaskId, TaskId)> {
        let is_planned = self.marked(planned);
        let dropped = |&task: &TaskId| {
            let outside = self.after(task).iter();
            let outside = outside.filter(|dependency| !is_planned[dependency.index()]);
            outside
                .map(move |dependency| (task, *dependency))
                .collect::<Vec<_>>()
        };
        planned.iter().flat_map(dropped).collect()
    }

    /// The dependencies among the given tasks; the others have none.
    pub(super) fn among(&self, planned: &[TaskId]) -> Arc<Adjacency> {
        let all = self.settled == self.named.ids() && planned.len() == self.settled;
        if all && self.after.is_empty() && self.is_plain() {
            return Arc::clone(&self.named);
        }
        let (is_planned, is_plain) = (self.marked(planned), self.is_plain());
        let mut among = Adjacency::with_capacity(self.settled);
        for task in (0..self.settled).map(TaskId::new) {
            let all: Cow<'_, [TaskId]> = match is_planned[task.index()] {
                false => Cow::Borrowed(&[]),
                true if is_plain => self.after(task).into(),
                true => self.dependencies(task).into(),
            };
            among.push_row(all.iter().copied().filter(|end| is_planned[end.index()]));
        }
        Arc::new(among)
    }

    /// By task: it is among the given ones.
    fn marked(&self, tasks: &[TaskId]) -> Vec<bool> {
        let mut marked = vec![false; self.settled];
        for task in tasks {
            marked[task.index()] = true;
        }
        marked
    }

    fn link(&mut self, id: TaskId, via: Via, target: TaskId) {
        match via {
            Via::After => {
                if self.after(id).binary_search(&target).is_ok() {
                    return;
                }
                // A glob may link a task to all others, one after the other: the row is copied only once.
                if !self.after.contains_key(&id) {
                    let row = self.after(id).to_vec();
                    self.after.insert(id, row);
                }
                insert(self.after.entry(id).or_default(), target);
            }
            Via::Before => insert(self.befores.entry(target).or_default(), id),
            Via::Then => {
                insert(self.thens.entry(id).or_default(), target);
                insert(self.leaders.entry(target).or_default(), id);
            }
        }
    }
}

fn targets(edges: &Edges, task: TaskId) -> &[TaskId] {
    edges.get(&task).map_or(&[], Vec::as_slice)
}

/// Into a sorted row, once.
fn insert(row: &mut Vec<TaskId>, id: TaskId) {
    if let Err(place) = row.binary_search(&id) {
        row.insert(place, id);
    }
}
