//! What a run that is taken up keeps of the one before: how tasks ended, which tasks were added, what state they made.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use foldhash::fast::FixedState;

use super::Ended;
use super::read::{Recorded, id};
use crate::event::{Hook, Stop};
use crate::task::{Failure, Json, LibraryId, Observed, Outcome, Record, TaskId};

/// What stays as it was recorded. Nothing, where a run is a new one.
#[derive(Debug, Default)]
pub struct Kept {
    /// By id.
    plain: Vec<Option<Plain>>,
    stood: HashMap<TaskId, Stood, FixedState>,
    added: Vec<TaskId>,
    /// The first that has, or had, another id.
    moved: Option<TaskId>,
    changes: Vec<Change>,
    told: Told,
    /// So many attempts of a task that is tried again were told.
    tried: HashMap<TaskId, u32, FixedState>,
    /// The next attempt of these was told to have begun.
    begun: HashSet<TaskId>,
    seen: HashMap<TaskId, Vec<(u32, Seen)>, FixedState>,
    hooks: Vec<(Hook, LibraryId, Failure)>,
    is_idle: bool,
    stopped: Option<String>,
}

/// A run that nobody can go on with. Its tasks have ids of their own here, in the order of libraries and names.
#[derive(Default)]
pub struct Concluded {
    /// Name, path, and the names of tasks, as far as they are known.
    pub libraries: Vec<(String, PathBuf, Vec<String>)>,
    /// The ids that these tasks had.
    pub before: Vec<TaskId>,
    /// How they ended.
    pub kept: Kept,
    /// Their outcomes, where they got them without running.
    pub idle: Vec<Option<Outcome>>,
    /// The outcomes of tasks of which the names are not known.
    pub nameless: Vec<Outcome>,
    /// How many were planned.
    pub planned: usize,
}

/// What was heard or seen of an attempt, and belongs to what is told at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It said this.
    Said(Record),
    /// Its process did this.
    Observed(Observed),
}

/// A task that passed at once and returned nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Its worker,
    pub worker: u32,
    /// when it began, in nanoseconds since the start of that run,
    pub start: u64,
    /// and how long it ran.
    pub took: u64,
}

/// A task of which more is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stood {
    /// From the first one on.
    pub attempts: Vec<Ended>,
    /// No other one follows.
    pub is_done: bool,
}

/// A change of a state key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Box<str>,
    /// Its value; none where it was removed.
    pub value: Option<Json>,
    /// The number that was there before.
    pub was: Option<i64>,
}

/// Whose end people have been told already.
#[derive(Debug)]
enum Told {
    All,
    Some(HashSet<TaskId, FixedState>),
}

impl Default for Told {
    fn default() -> Self {
        Self::Some(HashSet::default())
    }
}

impl Change {
    /// The value of the key, over what it holds now. Where that is not what it was, as a change before this one does not count
    /// any more, numbers change by as much as they did; one that is not there is 0.
    pub fn over(&self, now: Option<&Json>) -> Option<Json> {
        let number = |json: &Json| json.parse::<i64>().ok();
        let now = now.map_or(Some(0), number);
        let value = self.value.as_ref().and_then(number);
        if let (Some(was), Some(now), Some(value)) = (self.was, now, value)
            && let Some(sum) = value
                .checked_sub(was)
                .and_then(|more| now.checked_add(more))
        {
            return Some(sum.to_string().into());
        }
        self.value.clone()
    }
}

impl Kept {
    /// Nothing stays.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.stood.is_empty() && self.added.is_empty()
    }

    /// How a task passed that passed at once and returned nothing.
    pub fn plain(&self, task: TaskId) -> Option<Plain> {
        self.plain.get(task.index()).copied().flatten()
    }

    /// How other tasks ended, as far as they did.
    pub fn stood(&self, task: TaskId) -> Option<&Stood> {
        self.stood.get(&task)
    }

    /// The task has its outcome, or some of its attempts have ended.
    pub fn knows(&self, task: TaskId) -> bool {
        self.plain(task).is_some() || self.stood(task).is_some()
    }

    /// The task has its outcome.
    pub fn stays(&self, task: TaskId) -> bool {
        self.plain(task).is_some() || self.stood(task).is_some_and(|stood| stood.is_done)
    }

    /// That attempt does not run again.
    pub fn has(&self, task: TaskId, attempt: u32) -> bool {
        self.stays(task)
            || self
                .stood(task)
                .is_some_and(|stood| stood.attempts.len() >= attempt as usize)
    }

    /// People know how the task ended.
    pub fn is_told(&self, task: TaskId) -> bool {
        self.stays(task)
            && match &self.told {
                Told::All => true,
                Told::Some(told) => told.contains(&task),
            }
    }

    /// People have been told an outcome of the task that follows from those of others, and is not kept.
    pub fn was_told(&self, task: TaskId) -> bool {
        matches!(&self.told, Told::Some(told) if told.contains(&task))
    }

    /// Of how many tasks people know the outcome.
    pub fn count_told(&self) -> usize {
        match &self.told {
            Told::All => {
                let done = self.stood.values().filter(|stood| stood.is_done);
                self.plain.iter().flatten().count() + done.count()
            }
            Told::Some(told) => told.len(),
        }
    }

    /// People know how that attempt ended.
    pub fn is_attempt_told(&self, task: TaskId, attempt: u32) -> bool {
        self.is_told(task) || self.tried.get(&task).is_some_and(|told| *told >= attempt)
    }

    /// People have been told that an attempt began, of which nobody has told them how it ended.
    pub fn has_begun(&self, task: TaskId) -> bool {
        self.begun.contains(&task)
    }

    /// People have been told how these ended, how these attempts ended that others follow (number 0 is that a task was
    /// added), and that these began.
    pub fn told(
        &mut self,
        tasks: impl IntoIterator<Item = TaskId>,
        attempts: impl IntoIterator<Item = (TaskId, u32)>,
        begun: impl IntoIterator<Item = TaskId>,
    ) {
        self.begun = begun.into_iter().collect();
        self.told = Told::Some(tasks.into_iter().collect());
        for (task, number) in attempts {
            let most = self.tried.entry(task).or_default();
            *most = number.max(*most);
        }
    }

    /// What was heard and seen of an attempt, in that order.
    pub fn seen(&self, task: TaskId, attempt: u32) -> impl Iterator<Item = &Seen> {
        let seen = self.seen.get(&task).into_iter().flatten();
        seen.filter_map(move |(number, seen)| (*number == attempt).then_some(seen))
    }

    /// Why a hook did not pass, which is not called again.
    pub fn hook(&self, hook: Hook, library: LibraryId) -> Option<&Failure> {
        let mut hooks = self.hooks.iter();
        let hook = hooks.find(|(which, of, _)| (*which, *of) == (hook, library));
        hook.map(|(.., failure)| failure)
    }

    /// Tasks that were added while the run went on.
    pub fn added(&self) -> &[TaskId] {
        &self.added
    }

    /// From this one on tasks that were added may have other ids than before.
    pub fn moved(&self) -> Option<TaskId> {
        self.moved
    }

    /// People have been told that the task was added.
    pub fn is_addition_told(&self, task: TaskId) -> bool {
        self.tried.contains_key(&task)
    }

    /// What tasks that stay have done to the state, in their order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Why nothing was started any more: the word of a [`crate::event::Stop`], and the number of one that has a number.
    pub fn stopped(&self) -> Option<(&str, Option<usize>)> {
        let stopped = self.stopped.as_deref()?;
        let (word, number) = stopped.split_once('(').unwrap_or((stopped, ""));
        Some((
            word,
            number.strip_suffix(')').and_then(|it| it.parse().ok()),
        ))
    }

    /// This has stopped the run.
    pub fn is_stopped_by(&self, why: Stop) -> bool {
        self.stopped
            .as_ref()
            .is_some_and(|stopped| *stopped == format!("{why:?}"))
    }

    /// Nothing is left to run.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    pub(super) fn all_told(&mut self) {
        self.told = Told::All;
    }

    pub(super) fn idle(&mut self, is_idle: bool) {
        self.is_idle = is_idle;
    }

    pub(super) fn add(&mut self, task: TaskId) {
        self.added.push(task);
    }

    pub(super) fn set_changes(&mut self, changes: Vec<Change>) {
        self.changes = changes;
    }

    pub(super) fn keep_plain(&mut self, task: TaskId, plain: Plain) {
        if self.plain.len() <= task.index() {
            self.plain.resize(task.index() + 1, None);
        }
        self.plain[task.index()] = Some(plain);
    }

    pub(super) fn keep_stood(&mut self, task: TaskId, stood: Stood) {
        self.stood.insert(task, stood);
    }
}

impl Recorded {
    /// What a new process keeps that goes on with the same run: every task that has its outcome, whatever that is; of others
    /// the attempts that have ended. Nobody has been told anything, until the caller says so.
    ///
    /// `find` gives the task of a library and name; those that were added may have other ids by now.
    pub fn restart(&self, mut find: impl FnMut(&str, &str) -> Option<TaskId>) -> Kept {
        let mut kept = Kept::default();
        let mut ids: HashMap<usize, TaskId, FixedState> = HashMap::default();
        for (&number, &task) in &self.by_id {
            ids.insert(task, id(number));
        }
        let number = |task: &usize| ids.get(task).copied();
        let mut added: Vec<_> = self.added.iter().collect();
        // So that most get the same ids again.
        added.sort_by_key(|(.., task)| number(task));
        let added: Vec<_> = added
            .into_iter()
            .map(|(library, name, task)| (*task, find(library, name)))
            .collect();
        for (task, found) in added {
            let before = match found {
                Some(id) => {
                    kept.add(id);
                    ids.insert(task, id)
                }
                None => ids.remove(&task),
            };
            if before != found {
                let moved = [kept.moved, before, found];
                kept.moved = moved.into_iter().flatten().min();
            }
        }
        let mut order: Vec<_> = ids.iter().collect();
        order.sort_unstable_by_key(|(_, id)| **id);
        for (&task, &id) in order {
            self.keep(&mut kept, task, id);
        }
        kept.stopped.clone_from(&self.stopped);
        for (hook, library, failure) in &self.hooks {
            let library = self.libraries().iter().position(|it| it.name == *library);
            if let Some(library) = library {
                let failed = (*hook, LibraryId::new(library), failure.clone());
                kept.hooks.push(failed);
            }
        }
        kept.set_changes(self.changes(|task| ids.contains_key(&task)));
        kept
    }

    /// What is known of the last run where nobody can go on with it, as its libraries are not to be had.
    pub fn conclude(&self) -> Concluded {
        let mut names: HashMap<usize, (&str, &str), FixedState> = HashMap::default();
        for (library, tasks) in &self.by_name {
            let tasks = tasks.iter();
            names.extend(tasks.map(|(name, place)| (*place, (&**library, &**name))));
        }
        let mut all: Vec<_> = self.by_id.iter().collect();
        all.sort_unstable();
        let mut seen = HashSet::new();
        all.retain(|(_, place)| seen.insert(**place));
        let libraries = self.libraries().iter();
        let mut concluded = Concluded {
            libraries: libraries
                .map(|library| (library.name.clone(), library.path.clone(), Vec::new()))
                .collect(),
            planned: self.planned + self.added.len(),
            ..Concluded::default()
        };
        for at in 0..concluded.libraries.len() {
            for &(&number, &place) in &all {
                let Some((library, name)) = names.get(&place) else {
                    continue;
                };
                let (of, _, tasks) = &mut concluded.libraries[at];
                if *library == of.as_str() {
                    tasks.push((*name).to_owned());
                    let new = TaskId::new(concluded.before.len());
                    concluded.before.push(id(number));
                    self.keep(&mut concluded.kept, place, new);
                    concluded.idle.push(self.idle.get(&place).copied());
                }
            }
        }
        let nameless = all.iter().filter(|(_, place)| !names.contains_key(place));
        for &(_, &place) in nameless {
            let known = &self.tasks[place];
            let last = known.attempts.last();
            let plain = known.plain.map(|_| Outcome::Passed);
            let last = plain.or(last.map(|last| last.outcome));
            concluded
                .nameless
                .extend(last.or(self.idle.get(&place).copied()));
        }
        concluded
    }

    pub(super) fn keep(&self, kept: &mut Kept, task: usize, id: TaskId) {
        let known = &self.tasks[task];
        if let Some(plain) = known.plain {
            kept.keep_plain(id, plain);
        } else if !known.attempts.is_empty() {
            let stood = Stood {
                attempts: known.attempts.clone(),
                is_done: known.is_done,
            };
            kept.keep_stood(id, stood);
        }
        if let Some(seen) = self.seen.get(&task) {
            kept.seen.insert(id, seen.clone());
        }
    }

    /// Those that count, of tasks that stay.
    pub(super) fn changes(&self, stays: impl Fn(usize) -> bool) -> Vec<Change> {
        let made = self.changes.iter().filter(|made| {
            let known = &self.tasks[made.task];
            made.counts && made.life == known.life && stays(made.task)
        });
        made.map(|made| made.change.clone()).collect()
    }
}
