//! What is wrong with a name, in words.
//!
//! Knows who named it; decides nothing.

use std::collections::HashSet;

use super::word::Unreadable;
use crate::error::{Error, nearest};
use crate::glob::Glob;
use crate::task::{Catalog, LibraryId, Misfit, NAME_MAX, TaskId, TaskRef, Template};

/// Who declares something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Task(TaskId),
    /// The template of that index; the tasks that it makes have words of their own.
    Template(usize),
}

/// How a declaration joins two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// The dependent names the dependency.
    After,
    /// The dependency names the dependent, which does not run without it.
    Before,
    /// The dependency names the dependent, which it takes along.
    Then,
}

/// Who names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A declaration.
    Declared(Owner, Via),
    /// A selector of the user.
    Selector,
    /// `--result-NAME`
    Given,
    /// A running task.
    Asked,
}

/// A word, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) by: By,
    /// Where it is looked up first.
    pub(super) library: LibraryId,
    pub(super) word: &'a str,
}

/// The stable ids: of declarations and of what running tasks ask for, and of what the user asks for.
mod id {
    pub(super) type Pair = (&'static str, &'static str);
    pub(super) const SYNTAX: Pair = ("graph.syntax", "select.syntax");
    pub(super) const CHOICE: Pair = ("graph.choice", "select.choice");
    pub(super) const VALUE: Pair = ("graph.value", "select.value");
    pub(super) const PARAM: Pair = ("graph.param", "select.param");
    pub(super) const AMBIGUOUS: Pair = ("graph.ambiguous", "select.ambiguous");
    pub(super) const LIMIT: Pair = ("graph.limit", "select.limit");
}

impl Naming<'_> {
    /// No task has the name, or matches the glob or the pattern.
    pub(super) fn unknown(&self, what: Missing) -> Error {
        let (catalog, word) = (self.catalog, self.word);
        let library = &catalog.libraries[self.library.index()];
        let error = match (self.by, what) {
            (By::Declared(..), Missing::Name) => self.which(
                "graph.unknown",
                &format!("is no task of `{}`", library.path),
            ),
            (By::Declared(..), Missing::Match) => self.which(
                "graph.unknown",
                &format!("matches no task of `{}`", library.path),
            ),
            _ => {
                let message = format!("no task of `{}` matches `{word}`", library.path);
                Error::new("graph.unknown", message)
            }
        };
        let names = names_of(catalog, self.library);
        let owner = self.owner();
        let others = names.iter().copied().filter(|name| *name != owner);
        if let Some(meant) = meant(catalog, self.library, word, &others.collect::<Vec<_>>()) {
            return error.hint(meant);
        }
        let error = match names.len() {
            ..=10 => error.list(&names, "its tasks are"),
            _ => error,
        };
        match (what, word.split_once("::")) {
            (Missing::Name, Some((first, _))) if !self.is_first_part(&names, first) => {
                error.hint(format!("nor is there a library `{first}` in this run"))
            }
            _ => error,
        }
    }

    /// Names of the library begin like that, or one of the run is called so.
    fn is_first_part(&self, names: &[&str], first: &str) -> bool {
        let begins = |name: &&str| name.split("::").next() == Some(first);
        self.catalog.libraries.iter().any(|l| l.name == first) || names.iter().any(begins)
    }

    /// A template matches the name, but makes no task of it.
    pub(super) fn misfit(&self, template: usize, misfit: &Misfit) -> Error {
        let template = &self.catalog.templates[template];
        let name = &template.task.name;
        match misfit {
            Misfit::NoChoice { parameter, value } => {
                let parameter = &template.parameters[*parameter];
                let clause = format!("`{}` of `{name}` cannot be `{value}`", parameter.name);
                let choices = parameter.choices.as_deref().unwrap_or_default();
                let choices: Vec<_> = choices.iter().map(|choice| &**choice).collect();
                let error = self.but(self.id(id::CHOICE), &clause);
                error.suggest_or_list(value, &choices, "its choices are")
            }
            Misfit::Unfit {
                parameter,
                value,
                why,
            } => {
                let parameter = &template.parameters[*parameter];
                let subject = format!("`{}` of `{name}`", parameter.name);
                let clause = match &*parameter.wants {
                    "" => format!("{subject} cannot be `{value}`: {why}"),
                    wants => format!("{subject} wants {wants}, not `{value}`: {why}"),
                };
                self.but(self.id(id::VALUE), &clause)
            }
        }
    }

    /// Two templates make the name.
    pub(super) fn ambiguous(&self, one: usize, other: usize) -> Error {
        let shown = |index: usize| shown(&self.catalog.templates[index]);
        let clause = format!("two templates match: {} and {}", shown(one), shown(other));
        self.but(self.id(id::AMBIGUOUS), &clause)
    }

    /// The glob would have to choose for a parameter that has no choices.
    pub(super) fn open(&self, template: usize, parameter: usize) -> Error {
        let template = &self.catalog.templates[template];
        let parameter = &template.parameters[parameter].name;
        let clause = format!(
            "`{parameter}` of `{}` has no choices for a glob to match",
            template.task.name
        );
        self.but(self.id(id::PARAM), &clause)
            .hint(format!("write a value in the place of `[{parameter}]`"))
    }

    /// A `[x]` stands in the word that nothing fills in: it is none of the owner's parameters.
    pub(super) fn left_over(&self, parameter: &str) -> Error {
        let owner = match self.by {
            By::Declared(..) => format!("`{}`", self.owner()),
            By::Selector | By::Given | By::Asked => "the task".to_owned(),
        };
        let clause = format!("`{parameter}` cannot be derived: {owner} has no such parameter");
        self.but(self.id(id::PARAM), &clause)
    }

    /// A template comes before a task which does not tell all of its parameters.
    pub(super) fn underivable(&self, parameter: &str, from: TaskId) -> Error {
        let from = self.catalog.name(from);
        let clause = format!("`{parameter}` cannot be derived from `{from}`");
        self.but(self.id(id::PARAM), &clause)
            .hint("give it choices, or name it in the pattern")
    }

    /// The name is longer than names are.
    pub(super) fn too_long(&self) -> Error {
        let clause = format!("a name has at most {NAME_MAX} bytes");
        self.but(self.id(id::LIMIT), &clause)
    }

    /// Templates make ever more tasks.
    pub(super) fn too_many(&self, limit: usize) -> Error {
        let clause = format!("that makes more than {limit} tasks of templates");
        self.but(self.id(id::LIMIT), &clause)
    }

    pub(super) fn unreadable(&self, why: &Unreadable) -> Error {
        match why {
            Unreadable::Pattern(malformed) => self.which(self.id(id::SYNTAX), malformed.as_str()),
            Unreadable::Glob(malformed) => {
                let error = malformed.error(self.id(id::SYNTAX));
                match self.by {
                    By::Declared(..) => error.hint(format!("{}{}", self.subject(), self.at())),
                    _ => error,
                }
            }
        }
    }

    /// A task names itself.
    pub(super) fn itself(&self) -> Error {
        let verb = self.verb();
        let message = format!("`{}` {verb} itself{}", self.owner(), self.at());
        Error::new("graph.self", message)
    }

    fn id(&self, (declared, typed): id::Pair) -> &'static str {
        match self.by {
            By::Declared(..) | By::Asked => declared,
            By::Selector => typed,
            By::Given => "usage.result",
        }
    }

    /// The word, and a clause that begins with a verb.
    fn which(&self, id: &'static str, clause: &str) -> Error {
        let which = match self.by {
            By::Declared(..) => ", which ",
            _ => " ",
        };
        Error::new(
            id,
            format!("{}{which}{clause}{}", self.subject(), self.at()),
        )
    }

    /// The word, and a whole sentence.
    fn but(&self, id: &'static str, sentence: &str) -> Error {
        let but = match self.by {
            By::Declared(..) => ", but ",
            _ => ": ",
        };
        Error::new(
            id,
            format!("{}{but}{sentence}{}", self.subject(), self.at()),
        )
    }

    fn subject(&self) -> String {
        let word = self.word;
        match self.by {
            By::Declared(..) => format!("`{}` {} `{word}`", self.owner(), self.verb()),
            By::Selector | By::Asked => format!("`{word}`"),
            By::Given => format!("`--result-{word}`"),
        }
    }

    fn owner(&self) -> String {
        match self.by {
            By::Declared(Owner::Task(id), _) => self.catalog.name(id).into_owned(),
            By::Declared(Owner::Template(index), _) => {
                self.catalog.templates[index].task.name.to_string()
            }
            By::Selector | By::Given | By::Asked => String::new(),
        }
    }

    fn verb(&self) -> &'static str {
        match self.by {
            By::Declared(_, Via::Before) => "comes before",
            By::Declared(_, Via::Then) => "is followed by",
            _ => "comes after",
        }
    }

    fn at(&self) -> String {
        let place = match self.by {
            By::Declared(Owner::Task(id), _) => self.catalog.task(id).place(),
            By::Declared(Owner::Template(index), _) => {
                self.catalog.templates[index].task.place.clone()
            }
            By::Selector | By::Given | By::Asked => None,
        };
        place.map_or_else(String::new, |place| format!(" ({place})"))
    }
}

/// How nothing was found.
#[derive(Clone, Copy)]
pub(super) enum Missing {
    /// There is no such name.
    Name,
    /// Nothing matches.
    Match,
}

/// What somebody may have meant by a word that names nothing: one of `names`, the tasks whose names begin like that, or what
/// a template would make of it.
pub fn meant(catalog: &Catalog, library: LibraryId, word: &str, names: &[&str]) -> Option<String> {
    if let Some(near) = nearest(word, names.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let own = catalog.templates.iter();
    let open: Vec<_> = own
        .filter(|template| template.is_open() && template.task.library == library)
        .collect();
    if let Some(template) = open.iter().find(|template| begins(template, word)) {
        let name = &template.task.name;
        let hint = format!("`{name}` is a template: write values in its brackets' places");
        return Some(hint);
    }
    let inside = |name: &str| name.strip_prefix(word).is_some_and(|r| r.starts_with("::"));
    if names.iter().any(|name| inside(name)) {
        return Some(format!("did you mean `{word}::*`?"));
    }
    // A task that is there, and not among the names, is the one that asks.
    let is_there = |name: &String| catalog.tasks().any(|task| task.name() == *name);
    let made = open.iter().filter_map(|template| respelt(template, word));
    let made: Vec<_> = made.filter(|name| !is_there(name)).collect();
    let near = nearest(word, made.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

/// The word stands for the first parts of the template's names, but not for all.
fn begins(template: &Template, word: &str) -> bool {
    let parts = template.pattern().parts();
    let values: Vec<_> = word.split("::").collect();
    let is_shorter = values.len() < parts.len();
    let mut pairs = parts.zip(values);
    is_shorter && pairs.all(|((text, parameter), value)| parameter.is_some() || text == value)
}

/// The name that a template would have with the values that stand in their places in a word of as many parts.
fn respelt(template: &Template, word: &str) -> Option<String> {
    let values: Vec<_> = word.split("::").collect();
    let parts = template.pattern().parts();
    if parts.len() != values.len() || Glob::is_glob(word) {
        return None;
    }
    let parts = parts.zip(values).map(|((text, parameter), value)| {
        // Where there is text around the parameter, nobody can tell the value.
        match parameter {
            None => Some(text),
            Some((_, behind)) => (text.is_empty() && behind.is_empty()).then_some(value),
        }
    });
    Some(parts.collect::<Option<Vec<_>>>()?.join("::"))
}

/// The names of a library's tasks, and of its templates that need a value; each once.
pub fn names_of(catalog: &Catalog, library: LibraryId) -> Vec<&str> {
    let templates = catalog.templates.iter().filter(|t| t.is_open());
    let all = catalog
        .tasks()
        .chain(templates.map(|t| TaskRef::from(&t.task)));
    let own = all.filter(|task| task.library() == library);
    let mut seen = HashSet::new();
    let names = own.map(TaskRef::name);
    names.filter(|name| seen.insert(*name)).collect()
}

fn shown(template: &Template) -> String {
    let place = template.task.place.as_ref();
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    format!("`{}`{place}", template.task.name)
}

/// ` (file:line)`, where it is known.
pub(super) fn at(catalog: &Catalog, id: TaskId) -> String {
    let place = catalog.task(id).place();
    place.map_or_else(String::new, |place| format!(" ({place})"))
}
