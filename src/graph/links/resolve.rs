//! What tasks and templates declare: links them by it, and makes the tasks that they name, until nothing new comes.

use super::super::Adjacency;
use super::super::names::Found;
use super::super::naming::{By, Missing, Naming, Owner, Via};
use super::super::rules::Rule;
use super::super::word::{Chosen, Unreadable, Wild, Word, is_glob, over_choices};
use super::{Links, Open};
use crate::error::{Error, Result};
use crate::task::{
    Arguments, Catalog, Condition, LibraryId, NAME_MAX, Parameter, Pattern, Task, TaskId, TaskRef,
    Template,
};

impl Links {
    /// What the templates declare that makes tasks of them: whom they come before. And what is wrong with them whatever
    /// their parameters are, so that it is found before somebody names a task of them.
    pub(super) fn declare_templates(&mut self, catalog: &Catalog) -> Result<()> {
        for (index, template) in catalog.templates.iter().enumerate() {
            if !template.is_open() {
                continue;
            }
            let owner = Owner::Template(index);
            let options = template.task.options();
            let afters = template.task.after.iter().map(|word| (Via::After, word));
            let thens = options.then.iter().map(|word| (Via::Then, word));
            for (via, word) in afters.chain(thens) {
                let naming = declared(catalog, (owner, via), word);
                if via == Via::After {
                    no_parameter(&naming, &template.parameters)?;
                }
                if !is_glob(word) && !word.contains('[') {
                    match self.names.look_up(catalog, naming.library, word) {
                        Found::Task(_) | Found::Made(_) => {}
                        Found::Misfit(index, misfit) => return Err(naming.misfit(index, &misfit)),
                        Found::Two(one, other) => return Err(naming.ambiguous(one, other)),
                        Found::Nothing => return Err(naming.unknown(Missing::Name)),
                    }
                }
            }
            for word in &options.before {
                let by = (owner, Via::Before);
                let rules = self.add_rules(&declared(catalog, by, word), by)?;
                self.must_match(by, word, rules, None);
            }
        }
        Ok(())
    }

    /// Resolves the names of all tasks that are new, and of those that this makes; those from `first` on are made.
    pub(super) fn settle(&mut self, catalog: &Catalog, first: usize) -> Result<()> {
        let mut wordy = std::mem::take(&mut self.wordy).into_iter().peekable();
        while self.settled < catalog.len() {
            let id = TaskId::new(self.settled);
            self.settled += 1;
            for rule in self.rules.meet(catalog, id) {
                for index in 0..self.rules.get(rule).owners.len() {
                    let owner = self.rules.get(rule).owners[index];
                    self.apply(catalog, rule, owner, id)?;
                }
            }
            let is_made = id.index() >= self.named.ids();
            let too_many = catalog.len() - first > self.made_max;
            if wordy.next_if_eq(&id).is_some() || is_made || too_many {
                self.declare(catalog, id, first)?;
            }
        }
        let open = std::mem::take(&mut self.open);
        open.iter().try_for_each(|open| self.check(catalog, open))
    }

    /// Links a task by its own words.
    fn declare(&mut self, catalog: &Catalog, id: TaskId, first: usize) -> Result<()> {
        let task = catalog.task(id);
        let options = task.options();
        self.has_last |= options.condition == Condition::NoFailures;
        let words = [
            (Via::After, task.after()),
            (
                Via::Before,
                options.before.iter().map(Box::as_ref).collect(),
            ),
            (Via::Then, options.then.iter().map(Box::as_ref).collect()),
        ];
        for (via, words) in words {
            for word in &words {
                self.declare_word(catalog, id, via, word)?;
            }
            if catalog.len() - first > self.made_max {
                let word = words.last().copied().unwrap_or(task.name());
                let naming = declared(catalog, (Owner::Task(id), via), word);
                return Err(naming.too_many(self.made_max));
            }
        }
        Ok(())
    }

    fn declare_word(&mut self, catalog: &Catalog, id: TaskId, via: Via, text: &str) -> Result<()> {
        let by = (Owner::Task(id), via);
        let naming = &declared(catalog, by, text);
        if let Some(target) = self.names.get(catalog, naming.library, text) {
            return self.link_name(id, via, target, naming);
        }
        let word = Word::parse(text).map_err(|why| naming.unreadable(&why))?;
        if word.is_name() {
            let found = self.names.look_up(catalog, naming.library, text);
            if let (Found::Made(task), Via::Before) = (&found, via) {
                // Nobody needs it; should somebody come to, this holds.
                let word = Word::parse(&task.name).map_err(|why| naming.unreadable(&why))?;
                self.add_rule(catalog, task.library, word, by);
                return Ok(());
            }
            let target = self.take(catalog, found, naming)?;
            let target = target.ok_or_else(|| naming.unknown(Missing::Name))?;
            return self.link_name(id, via, target, naming);
        }
        if via == Via::After {
            no_parameter(naming, &[])?;
        }
        let rules = self.add_rules(naming, by)?;
        let problem = match via {
            Via::Before => None,
            Via::After | Via::Then => self.make_of_rules(naming, &rules)?,
        };
        self.must_match(by, text, rules, problem);
        Ok(())
    }

    /// Makes the tasks of choices that the globs among some rules stand for; or tells why there are none.
    fn make_of_rules(&mut self, naming: &Naming<'_>, rules: &[usize]) -> Result<Option<Error>> {
        let mut problem = None;
        for rule in rules {
            let rule = self.rules.get(*rule);
            let (library, text) = (rule.library, rule.word.text().to_owned());
            let word = Word::parse(&text).map_err(|why| naming.unreadable(&why))?;
            if let Some(wild) = word.wild() {
                let not_made = self.make_choices(naming, library, wild)?;
                problem = problem.or(not_made);
            }
        }
        Ok(problem)
    }

    /// Rules for a word in its library, and where it says so in another.
    fn add_rules(&mut self, naming: &Naming<'_>, owner: (Owner, Via)) -> Result<Vec<usize>> {
        let catalog = naming.catalog;
        let scopes = self.names.scopes(catalog, naming.library, naming.word);
        let mut rules = Vec::new();
        for (library, text) in scopes {
            let word = Word::parse(text).map_err(|why| naming.unreadable(&why))?;
            let rule = self.add_rule(catalog, library, word, owner);
            for index in 0..self.rules.get(rule).matched.len() {
                let target = self.rules.get(rule).matched[index];
                self.apply(catalog, rule, owner, target)?;
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn add_rule(
        &mut self,
        catalog: &Catalog,
        library: LibraryId,
        word: Word,
        owner: (Owner, Via),
    ) -> usize {
        let len = self.settled;
        if word.is_name() {
            let known = self.names.get(catalog, library, word.text());
            let known = known.filter(|id| id.index() < len).into_iter();
            return self.rules.add(catalog, library, word, owner, known);
        }
        let known = (0..len).map(TaskId::new);
        let known = known.filter(|id| self.names.has(catalog, *id));
        self.rules.add(catalog, library, word, owner, known)
    }

    /// What follows for the owner of a rule from a task that matches.
    fn apply(
        &mut self,
        catalog: &Catalog,
        rule: usize,
        (owner, via): (Owner, Via),
        target: TaskId,
    ) -> Result<()> {
        match owner {
            Owner::Task(id) if id == target => Ok(()),
            Owner::Task(id) => {
                self.link(id, via, target);
                Ok(())
            }
            Owner::Template(index) => self.make_before(catalog, rule, index, target),
        }
    }

    /// Makes the tasks of a template that come before a task, with the arguments that its name has.
    fn make_before(
        &mut self,
        catalog: &Catalog,
        rule: usize,
        index: usize,
        target: TaskId,
    ) -> Result<()> {
        let template = &catalog.templates[index];
        let word = &self.rules.get(rule).word;
        let text = word.text().to_owned();
        let naming = declared(catalog, (Owner::Template(index), Via::Before), &text);
        let known = word.arguments(catalog.task(target).name());
        let all =
            derived(template, &known).map_err(|parameter| naming.underivable(parameter, target))?;
        for arguments in all {
            let name = arguments.fill(&template.task.name);
            match self.names.look_into(catalog, template.task.library, &name) {
                // It comes before those that it fits.
                Found::Misfit(..) => {}
                found => drop(self.take(catalog, found, &naming)?),
            }
        }
        Ok(())
    }

    fn link_name(
        &mut self,
        id: TaskId,
        via: Via,
        target: TaskId,
        naming: &Naming<'_>,
    ) -> Result<()> {
        if target == id {
            return Err(naming.itself());
        }
        self.link(id, via, target);
        Ok(())
    }

    /// To be checked when there are no new tasks any more.
    fn must_match(
        &mut self,
        (owner, via): (Owner, Via),
        word: &str,
        rules: Vec<usize>,
        problem: Option<Error>,
    ) {
        self.open.push(Open {
            owner,
            via,
            word: word.into(),
            rules,
            problem,
        });
    }

    fn check(&self, catalog: &Catalog, open: &Open) -> Result<()> {
        let rules = || open.rules.iter().map(|rule| self.rules.get(*rule));
        let may_match = |rule: &Rule| {
            let templates = catalog.templates.iter();
            let mut others = templates.filter(|t| t.is_open() && t.task.library == rule.library);
            others.any(|template| rule.word.may_match(template))
        };
        let is_matched = !self.is_unmatched(&open.rules, open.owner);
        if is_matched || (open.via != Via::After && rules().any(may_match)) {
            return Ok(());
        }
        if let Some(problem) = &open.problem {
            return Err(problem.clone());
        }
        let missing = if rules().any(|rule| rule.word.is_name()) {
            Missing::Name
        } else {
            Missing::Match
        };
        let naming = declared(catalog, (open.owner, open.via), &open.word);
        Err(naming.unknown(missing))
    }

    fn is_unmatched(&self, rules: &[usize], owner: Owner) -> bool {
        let mut matched = rules.iter().flat_map(|rule| &self.rules.get(*rule).matched);
        !matched.any(|id| Owner::Task(*id) != owner)
    }

    /// The task that was found, made where need be.
    pub(super) fn take(
        &mut self,
        catalog: &Catalog,
        found: Found,
        naming: &Naming<'_>,
    ) -> Result<Option<TaskId>> {
        match found {
            Found::Task(task) => Ok(Some(task)),
            Found::Made(task) => self.make(catalog, *task, naming).map(Some),
            Found::Misfit(template, misfit) => Err(naming.misfit(template, &misfit)),
            Found::Two(one, other) => Err(naming.ambiguous(one, other)),
            Found::Nothing => Ok(None),
        }
    }

    fn make(&mut self, catalog: &Catalog, task: Task, naming: &Naming<'_>) -> Result<TaskId> {
        if task.name.len() > NAME_MAX {
            return Err(naming.too_long());
        }
        let id = catalog.push(task);
        let entered = self.names.enter(catalog, id);
        entered.map_err(|other| duplicate(catalog, catalog.task(other), catalog.task(id)))?;
        Ok(id)
    }

    /// Makes the tasks of choices that a glob stands for; or tells why there are none of a template.
    pub(super) fn make_choices(
        &mut self,
        naming: &Naming<'_>,
        library: LibraryId,
        wild: &Wild,
    ) -> Result<Option<Error>> {
        let catalog = naming.catalog;
        let mut problem = None;
        for (index, template) in catalog.templates.iter().enumerate() {
            if template.task.library != library || !template.is_open() {
                continue;
            }
            match over_choices(wild, template) {
                Chosen::Open(parameter) => {
                    problem.get_or_insert_with(|| naming.open(index, parameter));
                }
                Chosen::Names(names) => {
                    for name in names {
                        match self.names.look_into(catalog, library, &name) {
                            Found::Misfit(index, misfit) => {
                                problem.get_or_insert_with(|| naming.misfit(index, &misfit));
                            }
                            found => drop(self.take(catalog, found, naming)?),
                        }
                    }
                }
            }
        }
        Ok(problem)
    }
}

/// What the tasks that were loaded come after by names of others that were too; and those tasks that declare more than that.
pub(super) fn named(catalog: &Catalog) -> (Adjacency, Vec<TaskId>) {
    /// Tasks whose words are looked up together.
    const BLOCK: usize = 64;
    let (mut named, mut wordy) = (Adjacency::with_capacity(catalog.len()), Vec::new());
    let (mut block, mut wanted, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for library in (0..catalog.libraries.len()).map(LibraryId::new) {
        let mut ids = catalog.ids_of(library);
        while ids.len() > 0 {
            for id in ids.by_ref().take(BLOCK) {
                let task = catalog.task(id);
                task.each_after(&mut |name| wanted.push(name));
                block.push((id, is_leading(task), wanted.len()));
            }
            catalog.find_all(library, &wanted, &mut found);
            let mut found = found.drain(..);
            let mut start = 0;
            for (id, mut is_wordy, end) in block.drain(..) {
                for target in found.by_ref().take(end - start) {
                    match target {
                        Some(target) if target != id => named.push(target),
                        _ => is_wordy = true,
                    }
                }
                named.end_sorted_row();
                wordy.extend(is_wordy.then_some(id));
                start = end;
            }
            wanted.clear();
        }
    }
    (named, wordy)
}

/// It declares more than what it comes after, that others have to know.
fn is_leading(task: TaskRef<'_>) -> bool {
    task.declared().is_some_and(|options| {
        let leads = !(options.before.is_empty() && options.then.is_empty());
        leads || options.condition == Condition::NoFailures
    })
}

/// A word that an owner declares.
fn declared<'a>(catalog: &'a Catalog, (owner, via): (Owner, Via), word: &'a str) -> Naming<'a> {
    let library = match owner {
        Owner::Task(id) => catalog.task(id).library(),
        Owner::Template(index) => catalog.templates[index].task.library,
    };
    Naming {
        catalog,
        by: By::Declared(owner, via),
        library,
        word,
    }
}

/// The arguments of a template where some are known: the others are all of their choices. Or the name of a parameter that
/// is neither known nor has choices.
fn derived<'a>(template: &'a Template, known: &Arguments) -> Result<Vec<Arguments>, &'a str> {
    let mut rows: Vec<Vec<(Box<str>, Box<str>)>> = vec![Vec::new()];
    for parameter in &template.parameters {
        let values: Vec<Box<str>> = match (known.get(&parameter.name), &parameter.choices) {
            (Some(value), _) => vec![value.into()],
            (None, Some(choices)) => choices.to_vec(),
            (None, None) => return Err(&parameter.name),
        };
        let longer = rows.iter().flat_map(|row| {
            values.iter().map(|value| {
                let mut row = row.clone();
                row.push((parameter.name.clone(), value.clone()));
                row
            })
        });
        rows = longer.collect();
    }
    Ok(rows.into_iter().map(Arguments::new).collect())
}

/// Every `[x]` in a word has to be one of some parameters.
pub(super) fn no_parameter(naming: &Naming<'_>, but: &[Parameter]) -> Result<()> {
    if !naming.word.contains(['[', ']']) {
        return Ok(());
    }
    let pattern = Pattern::parse(naming.word);
    let pattern = pattern.map_err(|why| naming.unreadable(&Unreadable::Pattern(why)))?;
    let mut parameters = pattern.parameters();
    let other = parameters.find(|name| but.iter().all(|own| *own.name != **name));
    other.map_or(Ok(()), |other| Err(naming.left_over(other)))
}

pub(super) fn duplicate(catalog: &Catalog, one: TaskRef<'_>, other: TaskRef<'_>) -> Error {
    let place = |task: TaskRef<'_>| match task.place() {
        Some(place) => place.to_string(),
        None => "an unknown place".to_owned(),
    };
    let message = format!(
        "two tasks of `{}` are called `{}`: {} and {}",
        catalog.libraries[one.library().index()].path,
        one.name(),
        place(one),
        place(other)
    );
    Error::new("graph.duplicate", message)
}
