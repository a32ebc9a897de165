//! For tests: catalogs and graphs from a few words.

use std::sync::Arc;

use super::{Graph, Links};
use crate::error::Result;
use crate::task::{
    Arguments, Catalog, Condition, Declared, Ending, Library, LibraryId, Lock, Options, Parameter,
    Pattern, Task, Template,
};

pub(crate) fn library(name: &str) -> Library {
    Library {
        name: name.into(),
        path: format!("lib{name}.so"),
        setup: None,
        teardown: None,
        aborts: false,
    }
}

pub(crate) fn task(library: u32, name: &str, after: &[&str]) -> Task {
    Task {
        name: name.into(),
        library: LibraryId(library),
        after: after.iter().map(|&name| name.into()).collect(),
        tags: [].into(),
        doc: "".into(),
        place: None,
        action: Arc::new(|_| Ending::Passed(None)),
        options: None,
        arguments: Arguments::default(),
        is_program: false,
    }
}

/// What introduces the parts of a sketched task, behind its name.
const MARKS: [char; 7] = ['<', '>', '+', '@', '!', '#', '%'];

/// A task or a template from one word: `b<a,c` is `b` after `a` and `c`. More parts may follow, each at most once:
///
/// ```text
/// <a,c   after        @1   wave             #io,slow    tags
/// >a,c   before       !n   no_failures      %db,x:r     locks
/// +a,c   then         !a   always
/// ```
///
/// In the name `[env]` is a parameter for any text, `[env=dev|prod]` one with choices, `[n:u8]` one that has to be a u8.
pub(crate) fn declared(library: u32, word: &str) -> Declared {
    let end = word.find(MARKS).unwrap_or(word.len());
    let (name, mut rest) = word.split_at(end);
    let (name, parameters) = parameters(name);
    let mut task = task(library, &name, &[]);
    let mut options = Options::default();
    while let Some(mark) = rest.chars().next() {
        let text = &rest[1..];
        let (text, behind) = text.split_at(text.find(MARKS).unwrap_or(text.len()));
        rest = behind;
        let words = text.split(',').filter(|word| !word.is_empty());
        let names = words.clone().map(Into::into).collect();
        match mark {
            '<' => task.after = names,
            '>' => options.before = names,
            '+' => options.then = names,
            '@' => options.wave = text.parse().unwrap(),
            '!' if text == "n" => options.condition = Condition::NoFailures,
            '!' => options.condition = Condition::Always,
            '#' => task.tags = names,
            _ => {
                options.locks = words.map(Lock::parse).collect();
                options.locks.sort();
            }
        }
    }
    if options != Options::default() {
        task.options = Some(Arc::new(options));
    }
    if parameters.is_empty() {
        return task.into();
    }
    let pattern = Pattern::parse(&name).unwrap();
    Template::new(task, pattern, parameters.into()).into()
}

fn parameters(name: &str) -> (String, Vec<Parameter>) {
    let (mut plain, mut parameters) = (String::new(), Vec::new());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('[') {
        let (inside, behind) = behind.split_once(']').unwrap();
        let mut parameter = Parameter::text(inside);
        if let Some((name, choices)) = inside.split_once('=') {
            parameter.name = name.into();
            parameter.choices = Some(choices.split('|').map(Into::into).collect());
        } else if let Some((name, kind)) = inside.split_once(':') {
            parameter.name = name.into();
            parameter.wants = kind.into();
            parameter.check = Some(Arc::new(|text| match text.parse::<u8>() {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string().into()),
            }));
        }
        plain = format!("{plain}{before}[{}]", parameter.name);
        parameters.push(parameter);
        rest = behind;
    }
    (plain + rest, parameters)
}

/// A catalog of one library `x` from words, as [`declared`] reads them.
pub(crate) fn catalog(words: &str) -> Catalog {
    catalog_of(&[("x", words)])
}

/// A catalog of some libraries, each from words.
pub(crate) fn catalog_of(libraries: &[(&str, &str)]) -> Catalog {
    let mut catalog = Catalog::default();
    for (index, (name, words)) in (0..).zip(libraries) {
        let words = words.split_whitespace();
        catalog.add(library(name), words.map(|word| declared(index, word)));
    }
    catalog
}

pub(crate) fn graph(catalog: &Catalog) -> Result<Graph> {
    let links = Links::resolve(catalog)?;
    Graph::new(catalog, &links, catalog.ids().collect())
}
