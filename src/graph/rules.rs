//! Declarations that hold for all tasks of some names, also for those that are yet to be made.
//!
//! Remembers what matched; what follows from it stands in `links`.

use std::collections::HashMap;

use super::heads::Heads;
use super::naming::{Owner, Via};
use super::word::Word;
use crate::task::{Catalog, LibraryId, TaskId};

/// All rules.
#[derive(Default)]
pub(super) struct Rules {
    all: Vec<Rule>,
    /// Words that many tasks declare are one rule.
    by_text: HashMap<(LibraryId, Box<str>), usize>,
    /// By library.
    heads: HashMap<LibraryId, Heads>,
}

/// A word, and what depends on it.
pub(super) struct Rule {
    pub(super) library: LibraryId,
    pub(super) word: Word,
    pub(super) owners: Vec<(Owner, Via)>,
    /// The tasks that match, so far.
    pub(super) matched: Vec<TaskId>,
}

impl Rules {
    pub(super) fn get(&self, index: usize) -> &Rule {
        &self.all[index]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds an owner to the rule of that word; its index. A new rule is matched with the `known` tasks.
    pub(super) fn add(
        &mut self,
        catalog: &Catalog,
        library: LibraryId,
        word: Word,
        owner: (Owner, Via),
        known: impl Iterator<Item = TaskId>,
    ) -> usize {
        let index = *self
            .by_text
            .entry((library, word.text().into()))
            .or_insert(self.all.len());
        if index == self.all.len() {
            let heads = self.heads.entry(library).or_default();
            heads.add(word.shape(), index);
            let is_match = |id: &TaskId| {
                let task = catalog.task(*id);
                task.library() == library && word.matches(task.name())
            };
            let matched = known.filter(is_match).collect();
            self.all.push(Rule {
                library,
                word,
                owners: Vec::new(),
                matched,
            });
        }
        self.all[index].owners.push(owner);
        index
    }

    /// Notes a new task; the rules that it matches.
    pub(super) fn meet(&mut self, catalog: &Catalog, id: TaskId) -> Vec<usize> {
        let task = catalog.task(id);
        let Some(heads) = self.heads.get(&task.library()) else {
            return Vec::new();
        };
        let mut met = heads.of(task.name());
        met.retain(|index| {
            let rule = &mut self.all[*index];
            let matches = rule.word.matches(task.name());
            rule.matched.extend(matches.then_some(id));
            matches
        });
        met
    }

    /// Forgets the rules from `len` on, and in the others all of the tasks from `first` on.
    pub(super) fn truncate(&mut self, len: usize, first: TaskId) {
        self.all.truncate(len);
        self.by_text.retain(|_, index| *index < len);
        for heads in self.heads.values_mut() {
            heads.truncate(len);
        }
        for rule in &mut self.all {
            rule.matched.retain(|id| *id < first);
            rule.owners
                .retain(|(owner, _)| !matches!(owner, Owner::Task(id) if *id >= first));
        }
    }
}
