//! `--list`: the selected tasks, in declaration order, and the templates that need a value, as text or JSON.

use std::io;

use serde::{Serialize, Serializer};

use super::traits::{condition, traits};
use crate::error::escape;
use crate::task::{Catalog, Options, Parameter, Place, TaskId, TaskRef, Template};

/// How `--list` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A line a task: name, tags, what else it declares, first line of its doc.
    Text,
    /// One object with all that is known.
    Json,
}

/// Writes the list.
pub fn list(
    out: &mut dyn io::Write,
    catalog: &Catalog,
    tasks: &[TaskId],
    format: ListFormat,
) -> io::Result<()> {
    match format {
        ListFormat::Text => text(out, catalog, tasks),
        ListFormat::Json => json(out, catalog, tasks),
    }
}

/// Names longer than this do not push the other columns aside.
const WIDTH: usize = 40;

fn text(out: &mut dyn io::Write, catalog: &Catalog, tasks: &[TaskId]) -> io::Result<()> {
    let widths = tasks.iter().map(|&task| catalog.name(task).chars().count());
    let width = widths.max().unwrap_or(0).min(WIDTH);
    for &id in tasks {
        let task = catalog.task(id);
        let name = format!("{:width$}", catalog.name(id));
        writeln!(out, "{}", line(name, task).trim_end())?;
    }
    templates(out, catalog, tasks)
}

fn line(mut line: String, task: TaskRef<'_>) -> String {
    let tags = task.tags();
    if !tags.is_empty() {
        line.push_str("  [");
        line.push_str(&tags.join(", "));
        line.push(']');
    }
    let traits = traits(task.options());
    if !traits.is_empty() {
        line.push_str("  (");
        line.push_str(&escape(&traits.join("; ")));
        line.push(')');
    }
    if let Some(doc) = task.doc().lines().next() {
        line.push_str("  ");
        line.push_str(&escape(doc));
    }
    line
}

/// The templates of which tasks are there only where they are named, with what their parameters may be; nothing where there
/// are none.
pub(super) fn templates(
    out: &mut dyn io::Write,
    catalog: &Catalog,
    tasks: &[TaskId],
) -> io::Result<()> {
    let open = open(catalog, tasks);
    if !open.is_empty() {
        writeln!(out, "\nTemplates:")?;
    }
    for template in open {
        let task = TaskRef::from(&template.task);
        let line = line(format!("  {}", task.name()), task);
        writeln!(out, "{}", line.trim_end())?;
        for parameter in &template.parameters {
            writeln!(
                out,
                "    {}: {}",
                parameter.name,
                escape(&values(parameter))
            )?;
        }
    }
    Ok(())
}

/// The templates with a parameter without choices, of the libraries of some tasks.
fn open<'a>(catalog: &'a Catalog, tasks: &[TaskId]) -> Vec<&'a Template> {
    let mut is_listed = vec![false; catalog.libraries.len()];
    for &task in tasks {
        is_listed[catalog.task(task).library().index()] = true;
    }
    let templates = catalog.templates.iter();
    let listed = templates.filter(|t| t.is_open() && is_listed[t.task.library.index()]);
    listed.collect()
}

fn values(parameter: &Parameter) -> String {
    match &parameter.choices {
        Some(choices) => choices.join(", "),
        None if parameter.wants.is_empty() => "any text".to_owned(),
        None => parameter.wants.to_string(),
    }
}

fn json(out: &mut dyn io::Write, catalog: &Catalog, tasks: &[TaskId]) -> io::Result<()> {
    #[derive(Serialize)]
    struct List<'a, T: Serialize> {
        v: u32,
        tasks: T,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        templates: Vec<TemplateEntry<'a>>,
    }
    let list = List {
        v: 1,
        tasks: Each(|| tasks.iter().map(|task| Entry::new(catalog, *task))),
        templates: template_entries(catalog, tasks),
    };
    serde_json::to_writer_pretty(&mut *out, &list)?;
    writeln!(out)
}

/// A list of which each element is made when it is written: there may be millions.
pub(super) struct Each<F>(pub(super) F);

impl<I: IntoIterator<Item: Serialize>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// A task as programs read it. What it does not declare is not there.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    name: std::borrow::Cow<'a, str>,
    /// To be typed again: `path::task`.
    target: String,
    library: &'a str,
    after: Vec<&'a str>,
    #[serde(flatten)]
    declared: Declared<'a>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    parameters: serde_json::Map<String, serde_json::Value>,
    tags: Vec<&'a str>,
    doc: &'a str,
    #[serde(flatten)]
    place: Option<PlaceEntry>,
}

/// A template as programs read it.
#[derive(Serialize)]
pub(super) struct TemplateEntry<'a> {
    name: &'a str,
    library: &'a str,
    parameters: Vec<ParameterEntry<'a>>,
    after: Vec<&'a str>,
    #[serde(flatten)]
    declared: Declared<'a>,
    tags: Vec<&'a str>,
    doc: &'a str,
    #[serde(flatten)]
    place: Option<PlaceEntry>,
}

#[derive(Serialize)]
struct ParameterEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<&'a [Box<str>]>,
    #[serde(skip_serializing_if = "str::is_empty")]
    wants: &'a str,
}

/// Where either is declared.
#[derive(Serialize)]
struct PlaceEntry {
    file: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

/// What both may declare.
#[derive(Serialize)]
struct Declared<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    before: &'a [Box<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    then: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_timeouts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    isolate: Option<bool>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(catalog: &'a Catalog, id: TaskId) -> Self {
        let (task, library) = (catalog.task(id), catalog.library(id));
        let parameters = task.arguments().iter();
        Self {
            name: catalog.name(id),
            target: format!("{}::{}", library.path, task.name()),
            library: &library.name,
            after: task.after(),
            declared: Declared::new(task.options()),
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
            tags: task.tags(),
            doc: task.doc(),
            place: task.place().map(PlaceEntry::from),
        }
    }
}

impl From<Place> for PlaceEntry {
    fn from(place: Place) -> Self {
        Self {
            line: some(place.line),
            file: (*place.file).into(),
        }
    }
}

/// The templates that [`templates`] shows.
pub(super) fn template_entries<'a>(
    catalog: &'a Catalog,
    tasks: &[TaskId],
) -> Vec<TemplateEntry<'a>> {
    let entry = |template: &'a Template| {
        let task = TaskRef::from(&template.task);
        let parameters = template.parameters.iter().map(|parameter| ParameterEntry {
            name: &parameter.name,
            choices: parameter.choices.as_deref(),
            wants: &parameter.wants,
        });
        TemplateEntry {
            name: task.name(),
            library: &catalog.libraries[task.library().index()].name,
            parameters: parameters.collect(),
            after: task.after(),
            declared: Declared::new(task.options()),
            tags: task.tags(),
            doc: task.doc(),
            place: task.place().map(PlaceEntry::from),
        }
    };
    open(catalog, tasks).into_iter().map(entry).collect()
}

impl<'a> Declared<'a> {
    fn new(options: &'a Options) -> Self {
        let delay = options.retry_delay.as_millis();
        Self {
            before: &options.before,
            then: &options.then,
            wave: some(options.wave),
            locks: options.locks.iter().map(ToString::to_string).collect(),
            condition: condition(options.condition),
            priority: some(options.priority),
            exclusive: some(options.exclusive),
            retries: some(options.retries),
            retry_timeouts: some(options.retry_timeouts),
            retry_delay_ms: some(delay),
            timeout_ms: options.timeout.map(|timeout| timeout.as_millis()),
            isolate: some(options.isolate),
        }
    }
}

/// Nothing where it is as usual.
fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}
